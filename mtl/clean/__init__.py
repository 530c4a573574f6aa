"""`mtl data clean`: images whose label is probably wrong, to look at and to correct."""
