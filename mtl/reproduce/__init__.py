"""The source papers run again: their tables beside ours, and what their own splits would have claimed."""
