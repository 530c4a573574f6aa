"""Errors of the application floor; `MtlError` is the root of all three floors.

::

    MtlError                one line, exit code 2 (1 where the work failed: `FailedError`)
    ├── ConfigError         a flag, a YAML file or a value in it
    ├── RunError            a run folder
    └── MissingExtraError   an optional package is not installed (also an ImportError)

Messages follow one form: "Expected `argument` to be ..., but got ...; do ...".
"""

from segmentation.errors import FailedError, MtlError, WriteError

__all__ = ["ConfigError", "FailedError", "MissingExtraError", "MtlError", "RunError", "WriteError"]


class ConfigError(MtlError, ValueError):
    """A flag, a configuration file or a value in it is not what was expected."""


class RunError(MtlError):
    """A run folder cannot be used as asked."""


class MissingExtraError(MtlError, ImportError):
    """A feature needs an extra that is not installed."""
