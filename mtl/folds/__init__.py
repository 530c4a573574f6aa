"""k-fold of one chain: every image predicted once, the predictions pooled, and the tables that papers print."""
