"""Answers for smears that nobody has labelled: which cells, how many blasts, how sure."""
