"""`mtl run`: a chain of stages from configuration to report."""
