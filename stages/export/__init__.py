"""A model as one file for other engines: bytes of an image in, calibrated probabilities out."""
