"""Data sets, splits, augmentation and the image store."""
