"""Colour: moments and histograms of the channels of RGB, HSV and CIELAB (Stricker & Orengo 1995; Swain & Ballard 1991)."""

from __future__ import annotations

import cv2
import numpy as np

from stages.classical_settings import ClassicalSettings
from stages.learners.classical.features.view import Floats, View

__all__ = ["columns", "describe"]

_BINS = 16
_CHANNELS = (*"RGB", "hue", "saturation", "value", "L*", "a*", "b*")
_MOMENTS = ("mean", "deviation", "skewness")


def columns(_: ClassicalSettings) -> tuple[str, ...]:
    """Return the names of the features."""
    moments = tuple(f"{moment} of {channel}" for moment in _MOMENTS for channel in _CHANNELS)
    return moments + tuple(f"{channel} bin {place}" for channel in _CHANNELS for place in range(_BINS))


def describe(view: View, _: ClassicalSettings) -> Floats:
    """Return mean, standard deviation and skewness (its cube root's sign kept) of nine channels, and histograms of 16 bins each.

    All are of channels scaled to [0, 1]; a histogram sums to 1.
    """
    pixels = view.image[view.mask]
    row = np.ascontiguousarray(pixels)[None]
    hsv, lab = (cv2.cvtColor(row, code)[0] for code in (cv2.COLOR_RGB2HSV_FULL, cv2.COLOR_RGB2LAB))
    # Hue goes round; stained nuclei and cytoplasm lie about its ends, where a mean would tear them apart, and nothing is green.
    hsv = np.stack([hsv[:, 0] + np.uint8(128), hsv[:, 1], hsv[:, 2]], axis=1)
    channels = np.concatenate([pixels, hsv, lab], axis=1)
    counts = np.stack([np.bincount(channel, minlength=256) for channel in channels.T]) / len(channels)
    levels = np.arange(256) / 255
    mean = counts @ levels
    away = levels - mean[:, None]
    moments = [mean, np.sqrt((counts * away**2).sum(axis=1)), np.cbrt((counts * away**3).sum(axis=1))]
    return np.concatenate([*moments, counts.reshape(9, _BINS, -1).sum(axis=2).ravel()])
