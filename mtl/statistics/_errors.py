"""The one error of the statistics.

::

    MtlError
    └── StatisticsError     numbers that no test can be made of (also a ValueError)

Raised for what the caller must repair: NaN or infinite scores, unequal lengths, one class only, a fraction outside (0, 1).
Data that are in order but permit no test (one repeat, no variance) raise nothing: the result says so in its `note`.
"""

from __future__ import annotations

from mtl.errors import MtlError

__all__ = ["StatisticsError", "expected"]


class StatisticsError(MtlError, ValueError):
    """Numbers handed to a statistical function are not what was expected."""


def expected(argument: str, what: str, got: object, remedy: str) -> StatisticsError:
    """Return the error in the house's sentence form.

    Args:
        argument: Name of the parameter.
        what: What it should be.
        got: What it is.
        remedy: What to do, as an imperative.
    """
    return StatisticsError(f"Expected `{argument}` to be {what}, but got {got}; do {remedy}")
