"""Touching cells are split: watershed basins of the distance to the background, joined where the neck between them is wide."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.segmentation import watershed

from segmentation.masks import count_values, look_up

__all__ = ["Instances", "split_parts"]

Instances = npt.NDArray[np.int32]

_BOXES = 4  # times the image: what the boxes of all parts may cover together
_BLUR = (
    256_000_000  # pixels times deviation: what is smoothed at full size; a cell of 800 px on 4000 x 4000 px
)
_REDUCED = 6.0  # px of deviation that remain where it is done at a reduced size
_FLOODED = 16_000_000  # pixels: a larger box is flooded at a reduced size
_BAND = 512  # rows that are looked at together, so that no large image is copied


def split_parts(mask: npt.NDArray[np.bool_], min_area: int, neck: float) -> Instances:
    """Number the parts of a mask, those that touch at necks apart.

    Time and memory grow with the pixels, whatever is in them.

    Args:
        mask: (H, W), where cells are, without holes.
        min_area: Smallest part in pixels; what is smaller before anything is split is left out.
        neck: Two parts are two where the mask between them is narrower than this part of the smaller one's width.

    Returns:
        (H, W) int32: 0 background, else a number from 1 for each part; some numbers may be missing.
    """
    numbered, count = ndimage.label(mask)
    parts = np.asarray(numbered, np.int32)
    # Specks are too small however they are split; without them peaks are found several times as fast.
    parts[look_up(count_values(parts) < min_area, parts)] = 0
    _drop_threads(parts)
    mask = parts > 0
    if not mask.any():
        return np.zeros(mask.shape, np.int32)
    if mask.all():
        return np.ones(mask.shape, np.int32)  # no background to be far from: nothing says where to split
    # A cell that the border cuts is as wide outside as inside: a zero frame would pinch it.
    padded = np.pad(mask, 1, mode="edge").view(np.uint8)
    distance = np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1], np.float32)
    del mask, padded
    distance = _smooth(distance)
    least = float(distance.min())
    # Each part in its own box, so that no copy of a large image is made. Most cells have one peak: no watershed for them.
    boxes: list[tuple[slice, ...] | None] = [*ndimage.find_objects(parts)]
    for part, box in enumerate(boxes, 1):
        if box is None:
            continue
        inside = parts[box] == part
        own = _peaks(distance[box], inside, least)
        if len(own) < 2:
            continue
        cells = _merged(_flooded(distance[box], own, inside), distance[box], neck)
        present = np.flatnonzero(count_values(cells, inside))
        numbers = np.zeros(present[-1] + 1, np.int32)
        numbers[present] = [part, *range(count + 1, count + len(present))]
        count += len(present) - 1
        np.copyto(parts[box], look_up(numbers, cells), where=inside)
    return parts


def _smooth(distance: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    # Overwrites it. A kernel grows with the largest part, so one huge part would cost its width for every pixel.
    sigma = max(0.04 * float(distance.max()), 0.5)
    factor = int(sigma / _REDUCED) if sigma * distance.size > _BLUR else 1
    if factor < 2:
        return np.asarray(cv2.GaussianBlur(distance, (0, 0), sigma, dst=distance), np.float32)
    height, width = distance.shape
    small = cv2.resize(distance, (-(-width // factor), -(-height // factor)), interpolation=cv2.INTER_AREA)
    cv2.GaussianBlur(small, (0, 0), sigma / factor, dst=small)
    large = cv2.resize(small, (width, height), dst=distance, interpolation=cv2.INTER_LINEAR)
    return np.asarray(large, np.float32)


def _peaks(
    distance: npt.NDArray[np.float32], inside: npt.NDArray[np.bool_], least: float
) -> npt.NDArray[np.intp]:
    # (N, 2) rows and columns, the highest first: `skimage.feature.peak_local_max` at distances of 2 and more, in a tenth
    # of its time for a small part and in a time that grows with the pixels, not with the square of the peaks.
    top = np.empty(inside.shape, bool)
    for start in range(0, len(inside), _BAND):
        first, stop = max(start - 2, 0), start + _BAND
        held = np.where(inside[first : stop + 2], distance[first : stop + 2], np.float32(-1))
        highest = (held == cv2.dilate(held, np.ones((5, 5), np.uint8))) & (held > max(least, -1))
        top[start:stop] = highest[start - first :][:_BAND]
    if np.count_nonzero(top) < 2:
        return np.argwhere(top)
    # Peaks that touch are equally high, so it does not matter that they are gone through row by row.
    alone = (
        cv2.boxFilter(top.view(np.uint8), -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT) == 1
    )
    taken: set[tuple[int, int]] = set()
    for row, column in np.argwhere(top & ~alone).tolist():
        if taken.isdisjoint(
            ((row - 1, column - 1), (row - 1, column), (row - 1, column + 1), (row, column - 1))
        ):
            taken.add((row, column))
        else:
            top[row, column] = False
    found = np.argwhere(top)
    return found[np.argsort(-distance[top], kind="stable")]


def _flooded(
    distance: npt.NDArray[np.float32], peaks: npt.NDArray[np.intp], inside: npt.NDArray[np.bool_]
) -> Instances:
    # Basins from 1 in the order of the peaks. Flooding takes 30 bytes and a microsecond for each pixel, so what is larger
    # than any cell or crowd of an ordinary field is cut at lines that are exact to some pixels.
    factor = math.ceil(math.sqrt(inside.size / _FLOODED))
    height, width = (-(-length // factor) for length in inside.shape)
    small, covered = distance, inside
    if factor > 1:
        small = np.asarray(cv2.resize(distance, (width, height), interpolation=cv2.INTER_AREA), np.float32)
        covered = (
            cv2.resize(inside.view(np.uint8) * np.uint8(255), (width, height), interpolation=cv2.INTER_AREA)
            > 0
        )
    markers = np.zeros((height, width), np.int32)
    row, column = (peaks[::-1] // factor).T  # of peaks in one pixel the highest stays
    markers[row, column] = np.arange(len(peaks), 0, -1)
    covered[row, column] = True
    basins = np.asarray(watershed(-small, markers, mask=covered), np.int32)  # type: ignore[no-untyped-call]
    if factor > 1:
        basins = np.repeat(np.repeat(basins, factor, 0), factor, 1)[: inside.shape[0], : inside.shape[1]]
        basins = np.where(inside, basins, 0)
    return basins


def _drop_threads(parts: Instances) -> None:
    # Each part costs its box. Boxes of cells and of crowds hardly overlap; long slanting lines, of which no smear is made,
    # have each nearly the whole image as their box.
    boxes: list[tuple[slice, ...] | None] = [*ndimage.find_objects(parts)]
    sizes = np.array(
        [math.prod(edge.stop - edge.start for edge in box) if box else 0 for box in boxes], np.int64
    )
    order = np.argsort(sizes, kind="stable")
    over = np.zeros(len(sizes) + 1, bool)
    over[1 + order] = np.cumsum(sizes[order]) > _BOXES * parts.size
    if over.any():
        parts[look_up(over, parts)] = 0


def _merged(basins: Instances, distance: npt.NDArray[Any], neck: float) -> Instances:
    # Join neighbours from the widest neck down, while the neck is wide against the smaller of the two.
    count = int(basins.max())
    heights = np.zeros(count + 1, distance.dtype)
    for top in range(0, len(basins), _BAND):
        np.maximum.at(heights, basins[top : top + _BAND], distance[top : top + _BAND])
    pairs, widths = [], []
    for axis in (0, 1):
        one, other = (basins[:-1], basins[1:]) if axis == 0 else (basins[:, :-1], basins[:, 1:])
        far, near = (distance[:-1], distance[1:]) if axis == 0 else (distance[:, :-1], distance[:, 1:])
        meet = one != other
        meet[meet] = (one[meet] > 0) & (other[meet] > 0)
        low, high = np.minimum(one[meet], other[meet]), np.maximum(one[meet], other[meet])
        pairs.append(low.astype(np.int64) * (count + 1) + high)
        widths.append(np.minimum(far[meet], near[meet]))
    met, first_met, which = np.unique(np.concatenate(pairs), return_index=True, return_inverse=True)
    necks = np.zeros(len(met), distance.dtype)
    np.maximum.at(necks, which, np.concatenate(widths))
    root = list(range(count + 1))

    def find(part: int) -> int:
        while root[part] != part:
            root[part] = root[root[part]]
            part = root[part]
        return part

    for place in np.lexsort((first_met, -necks)).tolist():
        a, b = divmod(int(met[place]), count + 1)
        first, second = find(a), find(b)
        if first != second and necks[place] >= neck * min(heights[first], heights[second]):
            keep, lose = (first, second) if heights[first] >= heights[second] else (second, first)
            root[lose] = keep
    return look_up(np.asarray([find(part) for part in range(count + 1)], np.int32), basins)
