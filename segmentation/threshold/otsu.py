"""Otsu's method (1979) on saturation and green, and with several classes on blue minus green: the baselines."""

from __future__ import annotations

import numpy as np

from segmentation.masks import CYTOPLASM, NUCLEUS, Labels, Mask
from segmentation.threshold.hsv import to_hsv
from segmentation.threshold.image import Floats, RGBImage, blur, multi_otsu_levels, otsu_level
from segmentation.threshold.parameters import Parameters, number
from segmentation.threshold.parts import keep_large, tidy

__all__ = ["MultiOtsu", "Otsu", "blue_minus_green", "multi_otsu", "otsu_green", "otsu_saturation"]


class Otsu(Parameters):
    """Settings of `otsu_saturation` and `otsu_green`."""

    sigma: float = number(0.0, 0, 10, "smoothing in pixels")
    small: float = number(
        1.0, 0, 1, "parts under this share of the largest part's area are dropped; 1 keeps one part"
    )


class MultiOtsu(Parameters):
    """Settings of `multi_otsu`."""

    classes: int = number(3, 2, 5, "classes; the highest is nucleus")
    sigma: float = number(1.5, 0, 10, "smoothing in pixels")
    small: float = number(0.2, 0, 1, "parts under this share of the largest part's area are dropped")


def otsu_saturation(image: RGBImage, parameters: Otsu) -> Labels:
    """Return where saturation is high, as nucleus: (H, W) uint8 of 0 and 2, of an (H, W, 3) uint8 RGB image."""
    saturation = blur(to_hsv(image)[..., 1], parameters.sigma)
    mask: Mask = saturation > otsu_level(saturation)
    return tidy(mask, parameters.small).astype(np.uint8) * np.uint8(NUCLEUS)


def otsu_green(image: RGBImage, parameters: Otsu) -> Labels:
    """Return where green is low, as whole cell: (H, W) uint8 of 0 and 1, of an (H, W, 3) uint8 RGB image.

    It knows no nucleus, and takes dark red cells for white ones.
    """
    dark = blur(255 - image[..., 1].astype(np.float32), parameters.sigma)
    mask: Mask = dark > otsu_level(dark)
    return tidy(mask, parameters.small).astype(np.uint8) * np.uint8(CYTOPLASM)


def blue_minus_green(image: RGBImage, sigma: float = 1.5) -> Floats:
    """Return blue minus green, scaled to 0-1 over the image and smoothed, (H, W) float32; zeros if it is the same everywhere."""
    difference = image[..., 2].astype(np.float32) - image[..., 1]
    low, high = float(difference.min()), float(difference.max())
    if low == high:
        return np.zeros(difference.shape, np.float32)
    return blur((difference - low) / (high - low), sigma)


def multi_otsu(image: RGBImage, parameters: MultiOtsu) -> Labels:
    """Return the highest of several classes of blue minus green, as nucleus.

    Args:
        image: (H, W, 3) uint8 RGB.
        parameters: Classes, smoothing, tidying.

    Returns:
        (H, W) uint8 of 0 and 2. Something is found in every image that is not of one colour.
    """
    values = blue_minus_green(image, parameters.sigma)
    mask: Mask = values > multi_otsu_levels(values, parameters.classes)[-1]
    return keep_large(mask, parameters.small).astype(np.uint8) * np.uint8(NUCLEUS)
