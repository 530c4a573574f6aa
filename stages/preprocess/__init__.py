"""What an image goes through before a learner sees it: colour made alike, white cells found, edges sharpened, resized.

The same object prepares the images of a training and one that nobody has seen: a model carries it (`stages.learners.model`).
"""

from stages.preprocess.chain import Preprocess, apply_mask
from stages.preprocess.fitting import Fitted

__all__ = ["Fitted", "Preprocess", "apply_mask"]
