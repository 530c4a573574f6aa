"""Masks and cells of images, their scores, and networks that learn to find them."""
