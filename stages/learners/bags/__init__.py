"""Multiple-instance learning: what is known is known of a bag, the cells of a field or the images of a patient."""

AGGREGATE_FILE = "aggregate.safetensors"
"""What was learned, beside the backbone."""
