"""Errors of the learning floor; the root is `segmentation.errors.MtlError`.

::

    StagesError             what this floor can say went wrong
    ├── DataError           a file, folder, label or parameter of the data (also a ValueError)
    └── ModelError          a backbone, weight file or training setting (also a ValueError)

Messages follow one form: "Expected `argument` to be ..., but got ...; do ...".
"""

from segmentation.errors import MtlError

__all__ = ["DataError", "ModelError", "StagesError"]


class StagesError(MtlError):
    """Base class of everything that `stages` raises on purpose."""


class DataError(StagesError, ValueError):
    """The data or a parameter that describes the data is not what was expected."""


class ModelError(StagesError, ValueError):
    """A backbone, a weight file or a training setting is not what was expected."""
