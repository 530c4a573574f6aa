"""Local directional patterns (Jabid, Kabir & Chae 2010): which of eight edge responses are the strongest."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.classical_settings import ClassicalSettings
from stages.learners.classical.features.view import Floats, Image, View

__all__ = ["CODES", "columns", "describe", "directional_patterns", "responses"]

_STRONGEST = 3
CODES = tuple(code for code in range(256) if code.bit_count() == _STRONGEST)
"""The 56 patterns with three ones."""
_PLACE = np.searchsorted(np.array(CODES), np.arange(256)).astype(np.int64)
_RING = ((1, 2), (0, 2), (0, 1), (0, 0), (1, 0), (2, 0), (2, 1), (2, 2))
"""Row and column in 3x3 of the neighbour to the east, north-east, and so on round."""


def columns(_: ClassicalSettings) -> tuple[str, ...]:
    """Return the names of the features."""
    return tuple(f"pattern {code:08b}" for code in CODES)


def describe(view: View, _: ClassicalSettings) -> Floats:
    """Return the histogram of the patterns, summing to 1, of pixels whose neighbours count, too."""
    codes = directional_patterns(view.grey)[view.inside(1)]
    return np.bincount(_PLACE[codes], minlength=len(CODES)) / len(codes)


def responses(grey: Image) -> npt.NDArray[np.int32]:
    """Return Kirsch's eight edge responses, (8, H, W): 5 on three neighbours in a row of the ring, -3 on the others.

    The first looks east, each next one an eighth further against the clock. Beyond the edge the image is mirrored.
    """
    found = []
    for direction in range(8):
        kernel = np.full((3, 3), -3.0, np.float32)
        kernel[1, 1] = 0
        for step in (-1, 0, 1):
            kernel[_RING[(direction + step) % 8]] = 5
        found.append(cv2.filter2D(grey, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT_101))
    return np.stack(found).astype(np.int32)


def directional_patterns(grey: Image) -> npt.NDArray[np.int64]:
    """Return the pattern of every pixel, (H, W): bit i is set where response i is among the three of largest size.

    Of equal responses the earlier direction counts as the larger.
    """
    size = np.abs(responses(grey))
    ranked = size * 8 + np.arange(7, -1, -1, dtype=np.int32)[:, None, None]
    least = np.partition(ranked, 8 - _STRONGEST, axis=0)[8 - _STRONGEST]
    bits = (ranked >= least).astype(np.int64)
    found: npt.NDArray[np.int64] = (bits << np.arange(8)[:, None, None]).sum(axis=0)
    return found
