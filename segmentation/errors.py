"""Errors of the seeing floor.

::

    SegmentationError       what this floor can say went wrong
    ├── ImageError          an image is not what was expected (also a ValueError)
    ├── MaskError           a mask, its values or its size (also a ValueError)
    ├── ParameterError      a name or setting of a method (also a ValueError)
    └── ModelError          a network, weight file or training setting (also a ValueError)

Messages follow one form: "Expected `argument` to be ..., but got ...; do ...".
"""

__all__ = ["ImageError", "MaskError", "ModelError", "ParameterError", "SegmentationError"]


class SegmentationError(Exception):
    """Base class of everything that `segmentation` raises on purpose."""


class ImageError(SegmentationError, ValueError):
    """An image is not what was expected."""


class MaskError(SegmentationError, ValueError):
    """A mask, its values or its size is not what was expected."""


class ParameterError(SegmentationError, ValueError):
    """A method's name or setting is not what was expected."""


class ModelError(SegmentationError, ValueError):
    """A network, a weight file or a training setting is not what was expected."""
