"""Errors of the application floor.

::

    MtlError                what this floor can say went wrong: one line, exit code 2
    ├── ConfigError         a flag, a YAML file or a value in it
    ├── RunError            a run folder
    └── MissingExtraError   an optional package is not installed (also an ImportError)

Messages follow one form: "Expected `argument` to be ..., but got ...; do ...".
"""

__all__ = ["ConfigError", "MissingExtraError", "MtlError", "RunError"]


class MtlError(Exception):
    """Base class of everything that `mtl` raises on purpose."""


class ConfigError(MtlError, ValueError):
    """A flag, a configuration file or a value in it is not what was expected."""


class RunError(MtlError):
    """A run folder cannot be used as asked."""


class MissingExtraError(MtlError, ImportError):
    """A feature needs an extra that is not installed."""
