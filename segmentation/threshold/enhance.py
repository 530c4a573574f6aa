"""Edges sharpened before the threshold: Laplacian of Gaussian and its high-boost (LoGMH of paper E, Faiz et al.)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from segmentation.masks import NUCLEUS, Labels, Mask
from segmentation.threshold.image import Floats, RGBImage, multi_otsu_levels
from segmentation.threshold.otsu import blue_minus_green
from segmentation.threshold.parameters import Parameters, number
from segmentation.threshold.parts import tidy

__all__ = ["HighBoost", "high_boost", "high_boost_log", "laplacian_of_gaussian"]


class HighBoost(Parameters):
    """Settings of `high_boost_log`."""

    sigma: float = number(1.5, 0.3, 20, "width of the Gaussian in pixels")
    boost: float = number(
        1.0, 0, 10, "weight of the Laplacian that is taken off; 0 leaves the image as it is"
    )
    classes: int = number(3, 2, 5, "classes of Otsu's method; the highest is nucleus")
    small: float = number(0.2, 0, 1, "parts under this share of the largest part's area are dropped")


def laplacian_of_gaussian(grey: npt.NDArray[np.float32], sigma: float = 1.5) -> Floats:
    """Return sigma squared times the Laplacian of the smoothed image, (H, W) float32: below 0 on bright blobs."""
    response: Floats = sigma**2 * ndimage.gaussian_laplace(grey.astype(np.float32), sigma, mode="nearest")
    return response


def high_boost(grey: npt.NDArray[np.float32], sigma: float = 1.5, boost: float = 1.0) -> Floats:
    """Return the smoothed image minus boost times its Laplacian of Gaussian, (H, W) float32: borders stand out, noise does not."""
    smooth = ndimage.gaussian_filter(grey.astype(np.float32), sigma, mode="nearest")
    sharp: Floats = smooth - np.float32(boost) * laplacian_of_gaussian(grey, sigma)
    return sharp


def high_boost_log(image: RGBImage, parameters: HighBoost) -> Labels:
    """Return the highest class of the high-boosted blue minus green, as nucleus.

    Args:
        image: (H, W, 3) uint8 RGB.
        parameters: Width, boost, classes.

    Returns:
        (H, W) uint8 of 0 and 2.
    """
    sharp = high_boost(blue_minus_green(image, 0), parameters.sigma, parameters.boost)
    mask: Mask = sharp > multi_otsu_levels(sharp, parameters.classes)[-1]
    return tidy(mask, parameters.small).astype(np.uint8) * np.uint8(NUCLEUS)
