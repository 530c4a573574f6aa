"""Errors of the learning floor; the root is `segmentation.errors.MtlError`.

::

    StagesError             what this floor can say went wrong
    ├── DataError           a file, folder, label or parameter of the data (also a ValueError)
    ├── ModelError          a backbone, weight file or training setting (also a ValueError)
    └── TrainingError       the training itself failed (also a FailedError, exit code 1)

Messages follow one form: "Expected `argument` to be ..., but got ...; do ...".
"""

from segmentation.errors import FailedError, MtlError

__all__ = ["DataError", "ModelError", "StagesError", "TrainingError"]


class StagesError(MtlError):
    """Base class of everything that `stages` raises on purpose."""


class DataError(StagesError, ValueError):
    """The data or a parameter that describes the data is not what was expected."""


class ModelError(StagesError, ValueError):
    """A backbone, a weight file or a training setting is not what was expected."""


class TrainingError(FailedError, StagesError):
    """A training that began well failed: its loss is no longer finite."""
