"""What every test asks of its numbers before it looks at them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mtl.statistics._errors import expected

__all__ = ["Floats", "Labels", "checked", "fraction", "is_flat", "pair", "scale_of", "split_ratio"]

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

_RESIDUE = 1e-12
"""Differences below this share of the largest score are rounding residue (0.3 - 0.2 is not 0.2 - 0.1)."""


def checked(values: npt.ArrayLike, argument: str, *, dimensions: int = 1) -> Floats:
    """Return numbers as a finite, non-empty float array.

    Args:
        values: Anything NumPy reads.
        argument: Name for the error.
        dimensions: How many the array must have.

    Raises:
        StatisticsError: If they are no numbers, empty, of another shape, NaN or infinite.
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise expected(argument, "numbers", f"{type(values).__name__}: {error}", "pass numbers") from error
    if array.ndim != dimensions or not array.size:
        raise expected(
            argument,
            f"a non-empty array of {dimensions} dimension{'s' if dimensions > 1 else ''}",
            f"shape {array.shape}",
            "pass one number for every repeat" if dimensions == 1 else "pass one row for every data set",
        )
    bad = int((~np.isfinite(array)).sum())
    if bad:
        raise expected(
            argument,
            "finite",
            f"{bad} NaN or infinite of {array.size}",
            "leave the failed repeats out of both",
        )
    return array


def pair(first: npt.ArrayLike, second: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Return two score vectors of one length, (J,) each.

    Raises:
        StatisticsError: If one is not finite and one-dimensional, or their lengths differ.
    """
    one, other = checked(first, "first"), checked(second, "second")
    if len(one) != len(other):
        raise expected(
            "second",
            f"as long as `first` ({len(one)})",
            f"{len(other)} scores",
            "pass the same repeats of both",
        )
    return one, other


def fraction(value: float, argument: str) -> float:
    """Return a number strictly between 0 and 1.

    Raises:
        StatisticsError: If it is not.
    """
    if not 0 < value < 1:
        raise expected(argument, "between 0 and 1", value, "pass a fraction such as 0.2")
    return float(value)


def split_ratio(test_fraction: float) -> float:
    """Return n_test / n_train of a split, from the fraction that is tested.

    Raises:
        StatisticsError: If the fraction is not in (0, 1).
    """
    share = fraction(test_fraction, "test_fraction")
    return share / (1 - share)


def scale_of(*scores: Floats) -> float:
    """Return the largest absolute score, the scale at which rounding residue is judged."""
    return max(float(np.abs(part).max()) for part in scores)


def is_flat(values: Floats, scale: float) -> bool:
    """Return whether all values are equal, rounding residue aside."""
    return bool(np.ptp(values) <= _RESIDUE * scale)
