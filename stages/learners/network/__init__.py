"""A backbone and a head, trained by Lightning."""
