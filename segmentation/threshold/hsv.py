"""A colour interval in HSV: paper D (Patel et al. 2025), two bounds and a binary mask. Bounds are given or fitted on a few masks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np

from segmentation.errors import MaskError, ParameterError
from segmentation.masks import NUCLEUS, Labels, Mask
from segmentation.threshold.image import Floats, RGBImage, check_image
from segmentation.threshold.parameters import Parameters, number
from segmentation.threshold.parts import tidy

__all__ = ["HSVInterval", "fit_hsv", "hsv_interval", "to_hsv"]


class HSVInterval(Parameters):
    """Settings of `hsv_interval`. A lower hue above the upper one goes through red (0 degrees).

    The defaults were fitted by `fit_hsv` on the nuclei of every sixth image of both wbc sets.

    Raises:
        ParameterError: A value is out of its range, or a bound of saturation or value lies above the other.
    """

    hue_low: float = number(258.0, 0, 360, "lowest hue in degrees")
    hue_high: float = number(357.0, 0, 360, "highest hue in degrees")
    saturation_low: float = number(0.35, 0, 1, "lowest saturation")
    saturation_high: float = number(1.0, 0, 1, "highest saturation")
    value_low: float = number(0.31, 0, 1, "lowest value")
    value_high: float = number(0.71, 0, 1, "highest value")
    small: float = number(0.2, 0, 1, "parts under this share of the largest part's area are dropped")

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        for name in ("saturation", "value"):
            low, high = getattr(self, f"{name}_low"), getattr(self, f"{name}_high")
            if low > high:
                raise ParameterError(
                    f"Expected `{name}_low` to be at most `{name}_high`, but got {low:g} and {high:g}; do swap them "
                    "(hue alone may go round, through red)."
                )


def to_hsv(image: RGBImage) -> Floats:
    """Return hue in degrees, saturation and value from 0 to 1, (H, W, 3) float32."""
    hsv = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    return hsv.astype(np.float32, copy=False)


def hsv_interval(image: RGBImage, parameters: HSVInterval) -> Labels:
    """Return what lies between both bounds, as nucleus.

    Args:
        image: (H, W, 3) uint8 RGB.
        parameters: The bounds.

    Returns:
        (H, W) uint8 of 0 and 2.
    """
    hue, saturation, value = np.moveaxis(to_hsv(image), -1, 0)
    low, high = parameters.hue_low, parameters.hue_high
    right = (hue >= low) & (hue <= high) if low <= high else (hue >= low) | (hue <= high)
    mask: Mask = (
        right
        & (saturation >= parameters.saturation_low)
        & (saturation <= parameters.saturation_high)
        & (value >= parameters.value_low)
        & (value <= parameters.value_high)
    )
    return tidy(mask, parameters.small).astype(np.uint8) * np.uint8(NUCLEUS)


def fit_hsv(images: Iterable[RGBImage], masks: Iterable[Mask], coverage: float = 0.96) -> HSVInterval:
    """Return the interval that holds the middle part of the pixels under some masks, in each of hue, saturation, value.

    Args:
        images: (H, W, 3) uint8 RGB each.
        masks: (H, W) bool each: the nuclei. Every image weighs the same.
        coverage: How much of each channel the interval holds, above 0 to 1.

    Returns:
        Bounds for `hsv_interval`.
    """
    if not 0 < coverage <= 1:
        raise ParameterError(
            f"Expected `coverage` to be above 0 and up to 1, but got {coverage}; give a share of the pixels."
        )
    random = np.random.default_rng(0)
    samples = []
    for image, mask in zip(images, masks, strict=True):
        pixels = to_hsv(check_image(image))[mask]
        if len(pixels):
            samples.append(random.choice(pixels, 1000))
    if not samples:
        raise MaskError(
            "Expected `masks` to cover some pixels, but got only empty ones; give masks of nuclei."
        )
    hue, saturation, value = np.concatenate(samples).T.astype(np.float64)
    middle = np.degrees(np.angle(np.exp(1j * np.radians(hue)).mean()))
    turned = (hue - middle + 180) % 360 - 180
    ends = [(1 - coverage) / 2, (1 + coverage) / 2]
    hues = (np.quantile(turned, ends) + middle) % 360
    saturations, values = np.quantile(saturation, ends), np.quantile(value, ends)
    bounds = (float(bound) for bound in (*hues, *np.clip(saturations, 0, 1), *np.clip(values, 0, 1)))
    return HSVInterval(**dict(zip(HSVInterval.model_fields, bounds, strict=False)))
