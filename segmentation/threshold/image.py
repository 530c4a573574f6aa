"""What all methods need of an image: that it is one, its background, its optical density, its smoothing.

Thresholds of grey levels are found on 256 bins between the smallest and the largest value (scikit-image's default).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from skimage.filters import threshold_multiotsu, threshold_otsu

from segmentation.errors import ImageError

__all__ = [
    "Floats",
    "RGBImage",
    "background_colour",
    "blur",
    "check_image",
    "multi_otsu_levels",
    "optical_density",
    "otsu_level",
]

_OTSU: Callable[..., Any] = threshold_otsu
_MULTI_OTSU: Callable[..., Any] = threshold_multiotsu

RGBImage = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def check_image(image: npt.NDArray[Any]) -> RGBImage:
    """Return the image if it is (H, W, 3) uint8 RGB of at least one pixel.

    Raises:
        ImageError: It is grey, has an alpha channel, holds no bytes, or is empty.
    """
    what = "Expected `image` to be RGB of shape (H, W, 3) and uint8, but got"
    shape = getattr(image, "shape", None)
    if shape is None or len(shape) not in (2, 3):
        raise ImageError(f"{what} {type(image).__name__} {shape or ''}; give one image as an array.")
    if len(shape) == 2 or shape[2] == 1:
        raise ImageError(f"{what} a grey one {shape}; colour is what is thresholded: give the colour image.")
    if shape[2] == 4:
        raise ImageError(f"{what} RGBA {shape}; drop the alpha channel (image[..., :3]).")
    if shape[2] != 3:
        raise ImageError(f"{what} {shape}; put channels last.")
    if image.dtype != np.uint8:
        raise ImageError(f"{what} {image.dtype}; scale it to 0-255 and convert it with astype('uint8').")
    if image.size == 0:
        raise ImageError(f"{what} {shape}; give an image with pixels.")
    return image


def background_colour(image: RGBImage) -> Floats:
    """Return the colour of the empty glass, (3,) float32.

    It is the brightest peak of the smoothed green histogram that is at least a quarter as high as the highest one
    (haemoglobin and nuclear stain both absorb green), and there the median of every channel.

    Args:
        image: (H, W, 3) uint8 RGB.
    """
    green = image[..., 1]
    counts = np.bincount(green.ravel(), minlength=256).astype(np.float64)
    padded = np.pad(counts, 12, mode="edge")
    kernel = np.exp(-0.5 * (np.arange(-12, 13) / 3.0) ** 2)
    smooth = np.convolve(padded, kernel / kernel.sum(), mode="valid")
    around = np.max([np.roll(np.pad(smooth, 3), shift)[3:-3] for shift in range(-3, 4)], axis=0)
    peaks = np.flatnonzero((smooth >= around) & (smooth > 0.25 * smooth.max()))
    near = np.abs(green.astype(np.int16) - int(peaks.max())) <= 6
    if not near.any():
        near = green == green.max()
    colour: Floats = np.median(image[near], axis=0).astype(np.float32)
    return colour


def optical_density(image: RGBImage, background: Floats) -> Floats:
    """Return -ln(I / background) of every channel, (H, W, 3) float32: 0 on empty glass, proportional to stain."""
    bright = np.maximum(background, 8)
    density: Floats = -np.log(np.maximum(image.astype(np.float32), 4) / bright)
    return density


def blur(values: npt.NDArray[Any], sigma: float) -> Floats:
    """Return values smoothed by a Gaussian of sigma pixels as float32, edges repeated; 0 leaves them as they are."""
    floats = np.ascontiguousarray(values, dtype=np.float32)
    if sigma <= 0:
        return floats
    smooth = cv2.GaussianBlur(floats, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return smooth.astype(np.float32, copy=False)


def otsu_level(values: npt.NDArray[Any]) -> float:
    """Return Otsu's level; nothing is above it where all values are equal or there are none."""
    if _flat(values):
        return float(values.max()) if values.size else 0.0
    level: float = _OTSU(values)
    return float(level)


def multi_otsu_levels(values: npt.NDArray[Any], classes: int = 3) -> list[float]:
    """Return classes - 1 rising levels that split values best; fewer classes where there are too few values."""
    if _flat(values):
        return [otsu_level(values)] * (classes - 1)
    try:
        return [float(level) for level in _MULTI_OTSU(values, classes)]
    except ValueError:  # fewer different values than classes
        return [otsu_level(values)] * (classes - 1)


def _flat(values: npt.NDArray[Any]) -> bool:
    """Return whether there is nothing to split: no values, or a span too narrow for 256 bins of float32."""
    if values.size == 0:
        return True
    low, high = float(values.min()), float(values.max())
    return high - low <= 1e-4 * max(1.0, abs(low), abs(high))
