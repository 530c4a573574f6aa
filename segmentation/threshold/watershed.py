"""Watersheds: touching cells split at their necks, and cells flooded from nuclei over the gradient (paper E; Meyer 1992)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed as _watershed

from segmentation.errors import ParameterError
from segmentation.masks import Labels, Mask
from segmentation.threshold.image import RGBImage, background_colour, blur, otsu_level
from segmentation.threshold.otsu import MultiOtsu, multi_otsu
from segmentation.threshold.parameters import Parameters, number
from segmentation.threshold.parts import Numbers, depth, distance_to, fill_holes, label_parts, maximum_of

__all__ = ["Watershed", "split_touching", "watershed"]

_FLOOD: Callable[..., Any] = _watershed
_LOCAL_MAXIMA: Callable[..., Any] = local_maxima
_RECONSTRUCTION: Callable[..., Any] = reconstruction


class Watershed(Parameters):
    """Settings of `watershed`."""

    sigma: float = number(1.5, 0, 10, "smoothing in pixels")
    rim: float = number(0.25, 0, 2, "how far around a nucleus is surely cell, as a share of its depth")
    glass: float = number(0.5, 0, 1, "share of Otsu's level of green contrast below which is surely glass")
    far: float = number(3.0, 1, 20, "beyond so many times a nucleus' depth is surely no cell")
    small: float = number(0.2, 0, 1, "nuclei under this share of the largest one's area are dropped")


def watershed(image: RGBImage, parameters: Watershed) -> Labels:
    """Return background, cytoplasm and nucleus: nuclei by three-class Otsu, cells flooded from them and from the glass.

    Args:
        image: (H, W, 3) uint8 RGB.
        parameters: Markers.

    Returns:
        (H, W) uint8. Red cells that touch a white one may be taken in.
    """
    nucleus: Mask = multi_otsu(image, MultiOtsu(sigma=parameters.sigma, small=parameters.small)) > 0
    if not nucleus.any():
        return np.zeros(nucleus.shape, np.uint8)
    contrast = blur(
        np.maximum(background_colour(image)[1] - image[..., 1].astype(np.float32), 0), parameters.sigma
    )
    away, deep = distance_to(nucleus), float(depth(nucleus).max())
    stained = contrast > parameters.glass * otsu_level(contrast)
    markers = np.zeros(nucleus.shape, np.int32)
    markers[~stained | (away > parameters.far * deep)] = 1
    markers[stained & (away <= parameters.rim * deep)] = 2
    markers[nucleus] = 2
    rows, columns = np.gradient(np.pad(contrast, 1, mode="edge"))
    slope = np.hypot(rows, columns)[1:-1, 1:-1]
    cells = fill_holes(_FLOOD(slope, markers) == 2)
    return cells.astype(np.uint8) + nucleus


def split_touching(mask: Mask, neck: float = 0.25) -> Numbers:
    """Return cells of a mask one by one: touching ones are split where they are thinner than in their middles.

    A part is split between two depth maxima if its depth between them falls by more than this share of its largest depth.

    Args:
        mask: (H, W) bool.
        neck: From 0 (every bump is a cell) to 1 (nothing is split).

    Returns:
        (H, W) int32, 0 background, 1 to n the cells.
    """
    if not 0 <= neck <= 1:
        raise ParameterError(f"Expected `neck` to be from 0 to 1, but got {neck}; 0.25 suits round cells.")
    numbers, count = label_parts(mask)
    if count == 0:
        return numbers
    inside = depth(mask)
    deepest = np.append(0, maximum_of(inside, numbers, count)).astype(np.float32)[numbers]
    fall = np.minimum(np.maximum(neck * deepest, 0.5), 0.9 * deepest)
    raised = _RECONSTRUCTION(inside - fall, inside)
    tops, _ = label_parts(_LOCAL_MAXIMA(np.pad(raised, 1), connectivity=1)[1:-1, 1:-1] & mask)
    cells: Numbers = _FLOOD(-inside, tops, mask=mask).astype(np.int32)
    return cells
