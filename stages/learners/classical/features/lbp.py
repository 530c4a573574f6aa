"""Local binary patterns, rotation-invariant and uniform (Ojala et al. 2002), as scikit-image's `local_binary_pattern`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stages.classical_settings import ClassicalSettings
from stages.learners.classical.features.view import Floats, Image, View

__all__ = ["columns", "describe", "uniform_patterns"]

_CIRCLES = ((8, 1), (16, 2))
"""Points and radius in px."""


def columns(_: ClassicalSettings) -> tuple[str, ...]:
    """Return the names of the features."""
    return tuple(
        f"{points} points, {radius} px, pattern {code}"
        for points, radius in _CIRCLES
        for code in range(points + 2)
    )


def describe(view: View, _: ClassicalSettings) -> Floats:
    """Return histograms of the patterns, each summing to 1, of pixels whose circle lies inside of what counts."""
    found = []
    for points, radius in _CIRCLES:
        codes = uniform_patterns(view.grey, points, radius)[view.inside(radius)]
        found.append(np.bincount(codes, minlength=points + 2) / len(codes))
    return np.concatenate(found)


def uniform_patterns(grey: Image, points: int, radius: int) -> npt.NDArray[np.int64]:
    """Return the pattern of every pixel, (H, W): ones on its circle where at most two steps go round it, else `points` + 1.

    What lies outside of the image is 0. Points between pixels are interpolated in the very order of scikit-image's sums:
    on plain ground the last bit decides whether a point is as bright as the centre.

    Args:
        grey: (H, W) uint8.
        points: On the circle.
        radius: In px.
    """
    height, width = grey.shape
    values = grey.astype(np.float64)
    around = np.pad(values, radius + 1)
    angles = 2 * np.pi * np.arange(points, dtype=np.float64) / points
    downs, rights = np.round(-radius * np.sin(angles), 5), np.round(radius * np.cos(angles), 5)
    bits = np.empty((points, height, width), np.int8)
    for point, (down, right) in enumerate(zip(downs, rights, strict=True)):
        bits[point] = _sampled(around, height, width, down, right, radius + 1) >= values
    steps = np.abs(np.diff(bits, axis=0)).sum(
        axis=0, dtype=np.int64
    )  # not from the last to the first, as there
    ones = bits.sum(axis=0, dtype=np.int64)
    found: npt.NDArray[np.int64] = np.where(steps <= 2, ones, points + 1)
    return found


def _sampled(around: Floats, height: int, width: int, down: float, right: float, pad: int) -> Floats:
    """Return what lies so far down and right of every pixel, (H, W), bilinear."""
    rows, columns = np.arange(height) + down, np.arange(width) + right
    row_parts = (rows - np.floor(rows))[:, None]
    column_parts = columns - np.floor(columns)
    top, left = int(np.floor(down)) + pad, int(np.floor(right)) + pad
    part = around[top : top + height + 1, left : left + width + 1]
    if not row_parts.any() and not column_parts.any():
        return part[:height, :width]
    across = (1 - column_parts) * part[:, :width] + column_parts * part[:, 1 : width + 1]
    found: Floats = (1 - row_parts) * across[:height] + row_parts * across[1:]
    return found
