"""Cells drawn by hand, of which all is known."""

from __future__ import annotations

import numpy as np

GLASS, RED, PINK, VIOLET = (250, 245, 240), (215, 150, 150), (190, 165, 205), (90, 40, 140)


def disc(size: int, row: float, column: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    mask: np.ndarray = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    return mask


def drawn_field() -> np.ndarray:
    """Two white cells and two red ones on glass, with noise."""
    image = np.full((120, 120, 3), GLASS, float)
    for row, column in ((30, 30), (85, 80)):
        image[disc(120, row, column, 20)] = PINK
        image[disc(120, row, column, 12)] = VIOLET
    for row, column in ((30, 90), (95, 25)):
        image[disc(120, row, column, 14)] = RED
    noise = np.random.default_rng(0).normal(0, 3, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)
