"""What must not leak: splits, groups of copies, crops and their fields, chains of stages."""
