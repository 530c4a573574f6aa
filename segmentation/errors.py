"""Errors of the seeing floor, and the root of all of ours.

::

    MtlError                everything that we raise on purpose; the command line prints it in one line
    ├── FailedError         the input was right and the work failed (exit code 1; all others 2)
    │   ├── TrainingError   a training that began well failed
    │   └── WriteError      a file could not be written
    ├── ReadError           a file that we wrote is missing or damaged
    └── SegmentationError   what this floor can say went wrong
        ├── ImageError          an image is not what was expected (also a ValueError)
        ├── MaskError           a mask, its values or its size (also a ValueError)
        ├── ParameterError      a name or setting of a method (also a ValueError)
        └── ModelError          a network, weight file or training setting (also a ValueError)

Messages follow one form: "Expected `argument` to be ..., but got ...; do ...".
"""

from typing import ClassVar

__all__ = [
    "FailedError",
    "ImageError",
    "MaskError",
    "ModelError",
    "MtlError",
    "ParameterError",
    "ReadError",
    "SegmentationError",
    "TrainingError",
    "WriteError",
]


class MtlError(Exception):
    """Base class of everything that `mtl`, `stages` and `segmentation` raise on purpose.

    Attributes:
        exit_code: Of the command that ends with it: 2, bad input.
    """

    exit_code: ClassVar[int] = 2


class FailedError(MtlError):
    """The input was right and the work failed: a full disk, a worker that was killed, a loss that is no number."""

    exit_code: ClassVar[int] = 1


class TrainingError(FailedError):
    """A training that began well failed: its loss is no longer finite, or one of its processes died."""


class WriteError(FailedError):
    """A file could not be written."""


class ReadError(MtlError):
    """A file that we wrote is missing or damaged."""


class SegmentationError(MtlError):
    """Base class of everything that `segmentation` raises on purpose."""


class ImageError(SegmentationError, ValueError):
    """An image is not what was expected."""


class MaskError(SegmentationError, ValueError):
    """A mask, its values or its size is not what was expected."""


class ParameterError(SegmentationError, ValueError):
    """A method's name or setting is not what was expected."""


class ModelError(SegmentationError, ValueError):
    """A network, a weight file or a training setting is not what was expected."""
