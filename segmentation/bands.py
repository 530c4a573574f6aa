"""Numbers of a large image counted and looked up a band of rows at a time: numpy widens to 64 bits whatever is an index."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["count_values", "look_up"]

_ROWS = 512
T = TypeVar("T", bound=np.generic)


def count_values(
    numbers: npt.NDArray[np.integer[Any]], where: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.int64]:
    """Return how many pixels have each value, (largest value + 1,), as `np.bincount` does.

    Args:
        numbers: (H, W), 0 or more.
        where: (H, W), which pixels count; None takes all.
    """
    counts = np.zeros(int(numbers.max(initial=0)) + 1, np.int64)
    for top in range(0, len(numbers), _ROWS):
        band = numbers[top : top + _ROWS]
        band = band.ravel() if where is None else band[where[top : top + _ROWS]]
        counts += np.bincount(band, minlength=len(counts))
    return counts


def look_up(table: npt.NDArray[T], numbers: npt.NDArray[np.integer[Any]]) -> npt.NDArray[T]:
    """Return `table[numbers]`, (H, W).

    Args:
        table: (N,) values.
        numbers: (H, W), 0 to N - 1.
    """
    result = np.empty(numbers.shape, table.dtype)
    for top in range(0, len(numbers), _ROWS):
        result[top : top + _ROWS] = table[numbers[top : top + _ROWS]]
    return result
