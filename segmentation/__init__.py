"""What is seen: image in, mask and cells out."""
