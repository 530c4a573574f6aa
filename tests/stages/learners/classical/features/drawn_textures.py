"""Small images with texture, cells and plain ground, drawn from a seed."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]


def texture(seed: int = 0, height: int = 48, width: int = 40) -> Image:
    """A smooth random image (H, W, 3) over the whole range of grey levels, with a plain patch."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5)
    image = np.asarray(cv2.normalize(smooth, smooth.copy(), 0, 255, cv2.NORM_MINMAX), np.uint8)
    image[10:20, 8:20] = 120
    return image


def cells(seed: int = 0, side: int = 48) -> tuple[Image, npt.NDArray[np.bool_]]:
    """An image whose background is black, and the mask of its two cells."""
    down, right = np.mgrid[:side, :side]
    mask = ((down - 16) / (12 - seed % 4)) ** 2 + ((right - 18) / 8) ** 2 < 1
    mask |= (abs(down - 38) < 6) & (abs(right - 34) < 9)
    image = texture(seed, side, side) | np.uint8(1)  # no pixel of a cell is black
    image[~mask] = 0
    return image, mask
