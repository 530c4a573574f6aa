"""`mtl find-lr`: the learning rate that a stage bears, seen in a short training in which it rises."""
