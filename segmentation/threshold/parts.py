"""Parts of masks: connected components, holes, opening. Sizes are in pixels; parts are 4-connected.

Opening and depth treat the image's edge as if the mask went on behind it, so that a cell which the edge cuts is not eaten.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from segmentation.masks import Mask
from segmentation.threshold.image import Floats

__all__ = [
    "depth",
    "distance_to",
    "fill_holes",
    "fill_small_holes",
    "keep_large",
    "label_parts",
    "largest",
    "maximum_of",
    "median_of",
    "opened",
    "tidy",
    "touching",
    "without_cut",
]

Numbers = npt.NDArray[np.int32]


def label_parts(mask: Mask) -> tuple[Numbers, int]:
    """Return the number of the part that a pixel belongs to, (H, W) int32 with 0 outside, and how many there are."""
    count, numbers = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    return numbers.astype(np.int32, copy=False), count - 1


def distance_to(mask: Mask) -> Floats:
    """Return every pixel's distance to the mask, (H, W) float32; very far everywhere if the mask is empty."""
    if not mask.any():
        return np.full(mask.shape, np.finfo(np.float32).max, np.float32)
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5).astype(np.float32, copy=False)


def depth(mask: Mask) -> Floats:
    """Return how deep inside the mask a pixel lies, (H, W) float32: 0 outside; at most half the image's longer side."""
    pad = max(mask.shape) // 2 + 1
    wide = cv2.copyMakeBorder(mask.astype(np.uint8), pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    wide = cv2.copyMakeBorder(wide, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inside = cv2.distanceTransform(wide, cv2.DIST_L2, 5)[pad + 1 : -pad - 1, pad + 1 : -pad - 1]
    return np.ascontiguousarray(inside, np.float32)


def opened(mask: Mask, radius: float) -> Mask:
    """Return the mask without what a disc of the radius does not fit into; a radius below 1 changes nothing."""
    if radius < 1 or not mask.any():
        return mask
    core = depth(mask) > radius
    result: Mask = mask & (distance_to(core) <= radius)
    return result


def touching(mask: Mask, seeds: Mask) -> Mask:
    """Return the parts of the mask that hold a pixel of the seeds."""
    numbers, count = label_parts(mask)
    keep = np.zeros(count + 1, bool)
    keep[np.unique(numbers[seeds])] = True
    keep[0] = False
    return keep[numbers]


def keep_large(mask: Mask, share: float) -> Mask:
    """Return the parts whose area is at least this share of the largest part's."""
    numbers, count = label_parts(mask)
    if count == 0:
        return mask
    areas = np.bincount(numbers.ravel())[1:]
    return np.append(False, areas >= share * areas.max())[numbers]


def tidy(mask: Mask, small: float) -> Mask:
    """Return the mask with holes filled and without parts under this share of the largest one's area."""
    return keep_large(fill_holes(mask), small)


def largest(mask: Mask) -> Mask:
    """Return the part with the largest area, the first of equals."""
    numbers, count = label_parts(mask)
    if count == 0:
        return mask
    result: Mask = numbers == 1 + int(np.bincount(numbers.ravel())[1:].argmax())
    return result


def fill_holes(mask: Mask) -> Mask:
    """Return the mask with everything filled that it encloses."""
    numbers, count = label_parts(~mask)
    open_ = np.zeros(count + 1, bool)
    open_[_edge(numbers)] = True
    open_[0] = False
    filled: Mask = ~open_[numbers]
    return filled


def fill_small_holes(mask: Mask, area: float) -> Mask:
    """Return the mask with gaps filled whose area is at most so many pixels."""
    numbers, count = label_parts(~mask)
    if count == 0:
        return mask
    small = np.bincount(numbers.ravel(), minlength=count + 1) <= area
    small[0] = False
    result: Mask = mask | small[numbers]
    return result


def without_cut(mask: Mask) -> Mask:
    """Return the mask without parts that touch the image's edge, unless all do."""
    numbers, count = label_parts(mask)
    keep = np.ones(count + 1, bool)
    keep[_edge(numbers)] = False
    keep[0] = False
    return keep[numbers] if keep.any() else mask


def maximum_of(values: npt.NDArray[Any], numbers: Numbers, count: int) -> npt.NDArray[np.float64]:
    """Return the largest value of every part, (count,) float64; 0 for a number that no pixel has."""
    result = np.zeros(count + 1)
    inside = numbers > 0
    np.maximum.at(result, numbers[inside], values[inside])
    return result[1:]


def median_of(values: npt.NDArray[Any], numbers: Numbers, count: int) -> npt.NDArray[np.float64]:
    """Return the median value of every part, (count,) float64; 0 for a number that no pixel has."""
    inside = numbers > 0
    present, values_inside = numbers[inside], values[inside]
    result = np.zeros(count + 1)
    if present.size:
        index = np.unique(present)
        result[index] = ndimage.median(values_inside, present, index)
    return result[1:]


def _edge(numbers: Numbers) -> Numbers:
    return np.concatenate([numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]])
