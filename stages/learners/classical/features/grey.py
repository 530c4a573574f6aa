"""Grey levels and the pairs and lines of pixels along the four directions, shared by glcm and glrlm."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stages.learners.classical.features.view import Image, Mask

__all__ = ["Levels", "lines", "quantise", "shifted"]

Levels = npt.NDArray[np.int64]


def quantise(grey: Image, mask: Mask, levels: int) -> Levels:
    """Return the grey level of every pixel, (H, W) int64 from 0 to `levels` - 1, and `levels` outside of the mask.

    The steps are the same for every image, so that a dark one stays dark.
    """
    found: Levels = np.where(mask, grey.astype(np.int64) * levels // 256, levels)
    return found


def shifted(values: Levels, down: int, right: int) -> tuple[Levels, Levels]:
    """Return the pixels that have a neighbour so far down (or up, if negative) and right, and those neighbours, flat.

    >>> [part.tolist() for part in shifted(np.array([[1, 2], [3, 4]]), 1, 1)]
    [[1], [4]]
    """
    height, width = values.shape
    rows = slice(max(0, -down), height - max(0, down)), slice(max(0, down), height + min(0, down))
    columns = slice(0, max(0, width - right)), slice(right, width)
    return values[rows[0], columns[0]].ravel(), values[rows[1], columns[1]].ravel()


def lines(values: Levels, between: int) -> tuple[Levels, Levels, Levels, Levels]:
    """Return the pixels line after line along 0, 45, 90 and 135 degrees, flat, lines parted by `between`.

    >>> [part.tolist() for part in lines(np.array([[1, 2], [3, 4]]), 9)][1]
    [9, 1, 9, 9, 9, 2, 3, 9, 9, 9, 4, 9]
    """
    return (
        _rows(values, between),
        _slanted(values, between),
        _rows(values.T, between),
        _slanted(values[::-1], between),
    )


def _rows(values: Levels, between: int) -> Levels:
    return np.pad(values, ((0, 0), (1, 1)), constant_values=between).ravel()


def _slanted(values: Levels, between: int) -> Levels:
    """Return the antidiagonals: padded rows, cut again one longer than the image is wide, stand one step aside each."""
    height, width = values.shape
    wide = np.pad(values, ((0, 0), (0, height)), constant_values=between).ravel()
    aside = wide[: height * (width + height - 1)].reshape(height, width + height - 1)
    return _rows(aside.T, between)
