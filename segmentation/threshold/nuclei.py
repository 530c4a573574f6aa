"""Nuclei of white cells: purple beyond an absolute contrast to the empty glass, by three-class Otsu, tidied at their own scale.

Purple is what azure-stained chromatin has and haemoglobin lacks: blue over green, with no lack of red against green. It is
measured as the difference to the glass, in grey levels, so a yellow lamp does not matter. Medians on real smears (wbc, BCCD):
nuclei 73 to 184, red cells 0 to 60; hence the floor of 60, below which a field has no white cell.

After: three-class Otsu on B - G (see shared/data/README.md); the floor, the scale-free tidying and the penalty on teal are ours.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from segmentation.masks import Mask
from segmentation.threshold.image import (
    Floats,
    RGBImage,
    background_colour,
    blur,
    multi_otsu_levels,
    otsu_level,
)
from segmentation.threshold.parameters import Parameters, flag, number
from segmentation.threshold.parts import (
    depth,
    fill_small_holes,
    label_parts,
    maximum_of,
    median_of,
    opened,
    without_cut,
)

__all__ = ["Nuclei", "find_nuclei", "purple"]


class Nuclei(Parameters):
    """Settings of `find_nuclei`. Shares of sizes refer to the radius of the largest disc that fits into any nucleus."""

    sigma: float = number(0.7, 0, 10, "smoothing before the threshold, in pixels")
    blue: float = number(0.85, 0, 2, "weight of blue against green")
    teal: float = number(1.0, 0, 4, "penalty on less red than green (bluish red cells)")
    floor: float = number(60.0, 0, 255, "contrast below which nothing is a nucleus, in grey levels")
    pale: float = number(0.5, 0, 1, "share of the strongest nucleus' contrast that every nucleus has")
    hole: float = number(0.15, 0, 1, "radius of the largest hole that is filled, as a share")
    opening: float = number(0.2, 0, 1, "radius of the opening that takes rims and threads away, as a share")
    small: float = number(0.4, 0, 1, "least radius of a nucleus, as a share")
    drop_cut: bool = flag(False, "leave nuclei out that the image's edge cuts, unless it cuts all")


def purple(image: RGBImage, background: Floats, *, blue: float, teal: float, sigma: float) -> Floats:
    """Return how purple a pixel is against the glass, in grey levels.

    Args:
        image: (H, W, 3) uint8 RGB.
        background: Colour of the glass, (3,) float32.
        blue: Weight of blue against green.
        teal: Weight of a lack of red against green.
        sigma: Smoothing in pixels.

    Returns:
        (H, W) float32, 0 or more.
    """
    change = image.astype(np.float32) - background
    lack = np.minimum(change[..., 0] - change[..., 1], 0)
    return blur(np.maximum(blue * change[..., 2] - change[..., 1] + teal * lack, 0), sigma)


def find_nuclei(image: RGBImage, parameters: Nuclei, background: Floats | None = None) -> Mask:
    """Return where nuclei are, (H, W) bool; nothing where no pixel reaches the floor.

    Red cells that share the upper class with few nuclei are paler: they are left out, and where they are most of what
    was found, the level is found anew above the first.

    Args:
        image: (H, W, 3) uint8 RGB.
        parameters: Settings.
        background: Colour of the glass, (3,); None finds it.
    """
    glass = background_colour(image) if background is None else background
    contrast = purple(image, glass, blue=parameters.blue, teal=parameters.teal, sigma=parameters.sigma)
    if contrast.max() <= parameters.floor:
        return np.zeros(contrast.shape, bool)
    level = multi_otsu_levels(contrast)[-1]
    found, left_out = _nuclei_above(contrast, level, parameters)
    if left_out > found.sum() > 0:
        found, _ = _nuclei_above(contrast, otsu_level(contrast[contrast > level]), parameters)
    return without_cut(found) if parameters.drop_cut else found


def _nuclei_above(contrast: Floats, level: float, parameters: Nuclei) -> tuple[Mask, int]:
    """Return tidied parts above a level that are large and strong enough, and the area of all others."""
    mask: Mask = contrast > level
    radius = float(depth(mask).max())
    mask = fill_small_holes(mask, math.pi * (parameters.hole * radius) ** 2)
    mask = opened(mask, parameters.opening * radius)
    numbers, count = label_parts(mask)
    if count == 0:
        return mask, 0
    radii = maximum_of(depth(mask), numbers, count)
    tones = median_of(contrast, numbers, count)
    good = tones >= parameters.floor
    if good.any():
        strongest = tones[good & _large(radii, good, parameters.small)].max()
        good &= tones >= parameters.pale * strongest
        good = _large(radii, good, parameters.small)
    areas = np.bincount(numbers.ravel())[1:]
    return np.append(False, good)[numbers], int(areas[~good].sum())


def _large(radii: npt.NDArray[np.float64], among: Mask, share: float) -> Mask:
    """Return which of some parts are not much smaller than the largest of them."""
    result: Mask = among & (radii >= share * radii[among].max())
    return result
