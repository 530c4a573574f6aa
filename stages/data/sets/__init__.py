"""The readers, one file a data set."""
