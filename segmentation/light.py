"""White balance: every slide's empty background becomes the same light grey before a network sees it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segmentation.errors import ImageError

__all__ = ["BACKGROUND_LEVEL", "background_gains", "check_image"]

BACKGROUND_LEVEL = 0.94  # where the background comes to lie, of 1; room above it keeps glare distinct
_PERCENTILE = 96.0
_SAMPLE = 256  # longest side on which the percentile is taken
_LIMITS = (0.6, 4.0)


def check_image(image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return the image if it is (H, W, 3) uint8 with pixels, else raise.

    Raises:
        ImageError: If its shape or type differs.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ImageError(
            f"Expected `image` to be (H, W, 3) uint8 RGB, but got {image.shape} {image.dtype}; do convert it first"
        )
    return np.asarray(image, np.uint8)


def background_gains(image: npt.NDArray[np.uint8]) -> tuple[float, float, float]:
    """Return the factor on each channel that brings the background to `BACKGROUND_LEVEL`.

    The background is the brightest part of a transmitted-light image, so a high percentile of each channel finds it as
    long as a few parts in a hundred of the image are free of cells.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        Factors on red, green and blue, 0.6 to 4.
    """
    step = max(max(image.shape[:2]) // _SAMPLE, 1)
    sample = cv2.blur(image, (step, step))[::step, ::step] if step > 1 else cv2.blur(image, (3, 3))
    level = np.percentile(sample.reshape(-1, 3), _PERCENTILE, axis=0) / 255.0
    red, green, blue = np.clip(BACKGROUND_LEVEL / np.maximum(level, 1e-3), *_LIMITS).tolist()
    return (red, green, blue)
