"""What learns: the seam (`model.py`) and the kinds of learner behind it."""
