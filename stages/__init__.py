"""What is learned: data sets, splits, backbones, heads and the three stages."""
