"""Scores of masks and of cells: pure functions on arrays.

Policies, each held by a test:

- Both masks empty: every overlap score is 1 and HD95 is 0. One empty: overlap scores are 0 and HD95 is the image's
  diagonal, the largest distance that it can hold. Nothing is NaN, so means run over all images.
- A border is the part of a mask that a 4-neighbour erosion takes away; mask pixels on the image's edge belong to it.
- HD95 is the larger of the two directed 95th percentiles (as in MONAI; some others pool both directions first).
- Cells match where IoU is above the threshold, and that is at least 0.5, so that no cell matches twice.
- AJI gives every true cell its best predicted cell, which more than one may share (Kumar et al. 2017); predicted cells that
  are nobody's best add to the union.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from segmentation.cells import Cells
from segmentation.errors import MaskError, ParameterError
from segmentation.masks import Labels, Mask, cell_of, nucleus_of
from segmentation.settings import DISTANCE

__all__ = [
    "InstanceScores",
    "MaskScores",
    "aji",
    "boundary_f1",
    "dice",
    "hd95",
    "iou",
    "match_centroids",
    "outside",
    "score_instances",
    "score_labels",
    "score_mask",
    "success_rate",
]

Instances = npt.NDArray[np.integer[Any]]
Points = npt.NDArray[np.integer[Any] | np.floating[Any]]


@dataclass(frozen=True)
class MaskScores:
    """How well one mask was found: `dice`, `iou`, `boundary_f1` from 0 to 1; `hd95` in pixels; `success` as 0 or 1."""

    dice: float
    iou: float
    boundary_f1: float
    hd95: float
    success: float


@dataclass(frozen=True)
class InstanceScores:
    """How well the cells of one image were found, one by one.

    Attributes:
        matched: Pairs of a true and a predicted cell whose IoU is above the threshold.
        true: Cells in the truth.
        predicted: Cells predicted.
        precision: matched / predicted.
        recall: matched / true.
        f1: Recognition quality, 2 matched / (true + predicted).
        quality: Segmentation quality: mean IoU of the matched; 0 without any, 1 where both are empty.
        pq: Panoptic quality, f1 x quality (Kirillov et al. 2019).
        aji: Aggregated Jaccard index.
    """

    matched: int
    true: int
    predicted: int
    precision: float
    recall: float
    f1: float
    quality: float
    pq: float
    aji: float


def dice(predicted: Mask, true: Mask) -> float:
    """Return 2 |A and B| / (|A| + |B|) of two masks, (H, W) bool; 1 if both are empty.

    Examples:
        >>> round(dice(np.array([[True, True]]), np.array([[True, False]])), 3)
        0.667
    """
    predicted, true = _pair(predicted, true)
    total = int(predicted.sum()) + int(true.sum())
    return 2 * int((predicted & true).sum()) / total if total else 1.0


def iou(predicted: Mask, true: Mask) -> float:
    """Return |A and B| / |A or B| of two masks, (H, W) bool; 1 if both are empty.

    Examples:
        >>> iou(np.array([[True, True]]), np.array([[True, False]]))
        0.5
    """
    predicted, true = _pair(predicted, true)
    union = int((predicted | true).sum())
    return int((predicted & true).sum()) / union if union else 1.0


def success_rate(ious: Sequence[float] | npt.NDArray[np.float64], threshold: float = 0.8) -> float:
    """Return the part of images whose IoU is above the threshold; NaN without images.

    Examples:
        >>> success_rate([0.9, 0.8, 0.95, 0.5])
        0.5
    """
    values = np.asarray(ious, np.float64)
    return float((values > threshold).mean()) if values.size else math.nan


def boundary_f1(predicted: Mask, true: Mask, tolerance: float = 2.0) -> float:
    """Return the F1 of borders: a border pixel is right when the other border is within the tolerance.

    Args:
        predicted: (H, W) bool.
        true: (H, W) bool.
        tolerance: Distance in pixels, 0 or more (Csurka et al. 2013).
    """
    if tolerance < 0:
        raise ParameterError(
            f"Expected `tolerance` to be 0 or more pixels, but got {tolerance}; give a distance."
        )
    predicted, true = _pair(predicted, true)
    if not predicted.any() or not true.any():
        return float(predicted.any() == true.any())
    there, back = _border_distances(predicted, true)
    precision, recall = float((there <= tolerance).mean()), float((back <= tolerance).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def hd95(predicted: Mask, true: Mask) -> float:
    """Return the 95th percentile of the distances between two borders, in pixels.

    Both empty: 0. One empty: the image's diagonal.

    Args:
        predicted: (H, W) bool.
        true: (H, W) bool.
    """
    predicted, true = _pair(predicted, true)
    if not predicted.any() or not true.any():
        return 0.0 if predicted.any() == true.any() else math.hypot(*true.shape)
    there, back = _border_distances(predicted, true)
    return max(float(np.percentile(there, 95)), float(np.percentile(back, 95)))


def score_mask(predicted: Mask, true: Mask, *, tolerance: float = 2.0, success: float = 0.8) -> MaskScores:
    """Return all scores of one mask.

    Args:
        predicted: (H, W) bool.
        true: (H, W) bool.
        tolerance: Of `boundary_f1`, in pixels.
        success: IoU above which an image counts as solved.
    """
    overlap = iou(predicted, true)
    return MaskScores(
        dice=dice(predicted, true),
        iou=overlap,
        boundary_f1=boundary_f1(predicted, true, tolerance),
        hd95=hd95(predicted, true),
        success=float(overlap > success),
    )


def score_labels(predicted: Labels, true: Labels) -> dict[str, MaskScores]:
    """Return scores of the `nucleus` and of the whole `cell` of labels 0, 1, 2, each (H, W) uint8."""
    return {
        "nucleus": score_mask(nucleus_of(predicted), nucleus_of(true)),
        "cell": score_mask(cell_of(predicted), cell_of(true)),
    }


def score_instances(predicted: Instances, true: Instances, threshold: float = 0.5) -> InstanceScores:
    """Return how well cells were found one by one.

    Args:
        predicted: (H, W) whole numbers, 0 background, one number a cell.
        true: The same of the truth; numbers need not agree.
        threshold: IoU above which two cells are the same, from 0.5 to below 1.
    """
    if not 0.5 <= threshold < 1:
        raise ParameterError(
            f"Expected `threshold` to be from 0.5 to below 1, but got {threshold}; lower ones match a cell twice."
        )
    overlap, predicted_areas, true_areas = _overlaps(predicted, true)
    n_predicted, n_true = len(predicted_areas), len(true_areas)
    if n_predicted == 0 or n_true == 0:
        value = float(n_predicted == n_true)
        return InstanceScores(0, n_true, n_predicted, value, value, value, value, value, value)
    shares = overlap / (true_areas[:, None] + predicted_areas[None] - overlap)
    hits = shares[shares > threshold]
    matched = len(hits)
    f1 = 2 * matched / (n_true + n_predicted)
    quality = float(hits.mean()) if matched else 0.0
    return InstanceScores(
        matched=matched,
        true=n_true,
        predicted=n_predicted,
        precision=matched / n_predicted,
        recall=matched / n_true,
        f1=f1,
        quality=quality,
        pq=f1 * quality,
        aji=_aji(overlap, predicted_areas, true_areas),
    )


def aji(predicted: Instances, true: Instances) -> float:
    """Return the aggregated Jaccard index of two images of cells, each (H, W) whole numbers with 0 as background."""
    return _aji(*_overlaps(predicted, true))


def _aji(
    overlap: npt.NDArray[np.int64],
    predicted_areas: npt.NDArray[np.int64],
    true_areas: npt.NDArray[np.int64],
) -> float:
    if len(predicted_areas) == 0 or len(true_areas) == 0:
        return float(len(predicted_areas) == len(true_areas))
    unions = true_areas[:, None] + predicted_areas[None] - overlap
    best = (overlap / unions).argmax(axis=1)
    rows = np.arange(len(true_areas))
    found = overlap[rows, best] > 0
    intersection = int(overlap[rows, best][found].sum())
    union = int(unions[rows, best][found].sum()) + int(true_areas[~found].sum())
    unused = np.setdiff1d(np.arange(len(predicted_areas)), best[found])
    return intersection / (union + int(predicted_areas[unused].sum()))


def _overlaps(
    predicted: Instances, true: Instances
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return shared pixels (true, predicted) and the areas of both, without the background."""
    for name, cells in (("predicted", predicted), ("true", true)):
        if not np.issubdtype(cells.dtype, np.integer) or (cells.size and cells.min() < 0):
            raise MaskError(
                f"Expected `{name}` to hold a whole number from 0 a cell, but got {cells.dtype}; "
                "label the mask's components first."
            )
    _same_shape(predicted, true)
    names_p, flat_p = np.unique(np.append(predicted.ravel(), 0), return_inverse=True)
    names_t, flat_t = np.unique(np.append(true.ravel(), 0), return_inverse=True)
    table = np.bincount(flat_t * len(names_p) + flat_p, minlength=len(names_t) * len(names_p))
    table = table.reshape(len(names_t), len(names_p)).astype(np.int64)
    return table[1:, 1:], table.sum(axis=0)[1:], table.sum(axis=1)[1:]


def _border_distances(predicted: Mask, true: Mask) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return distances in pixels from each predicted border pixel to the true border, and the other way round."""
    borders = [mask & ~ndimage.binary_erosion(mask) for mask in (predicted, true)]
    to_predicted, to_true = (ndimage.distance_transform_edt(~border) for border in borders)
    return to_true[borders[0]], to_predicted[borders[1]]


def _pair(predicted: Mask, true: Mask) -> tuple[Mask, Mask]:
    """Return both as bool, or say what is wrong with them."""
    for name, mask in (("predicted", predicted), ("true", true)):
        if mask.dtype != np.bool_:
            raise MaskError(
                f"Expected `{name}` to be a boolean mask, but got {mask.dtype}; compare labels with the class you mean."
            )
    _same_shape(predicted, true)
    return predicted, true


def _same_shape(predicted: npt.NDArray[Any], true: npt.NDArray[Any]) -> None:
    if predicted.shape != true.shape or true.ndim != 2:
        raise MaskError(
            f"Expected `predicted` and `true` to be (H, W) of one size, but got {predicted.shape} and {true.shape}; "
            "score a mask at the size of its truth."
        )


def match_centroids(points: Points, cells: Cells, distance: float = DISTANCE) -> npt.NDArray[np.int64]:
    """Return which cell each centroid is of: of all one-to-one assignments one with most pairs, and of these the nearest.

    A centroid and a cell may be a pair where the centroid lies in the cell's mask, or within `distance` of the cell's own.
    Source: Kuhn (1955), The Hungarian method for the assignment problem; scipy.

    Args:
        points: (N, 2), columns x and y in px, inside the image.
        cells: The cells found.
        distance: In px.

    Returns:
        (N,) `Cell.instance`, 0 where a centroid has none.
    """
    matched = np.zeros(len(points), np.int64)
    if not len(points) or not cells.cells:
        return matched
    instances = np.array([cell.instance for cell in cells.cells])
    centres = np.array([cell.centroid for cell in cells.cells])
    far = np.linalg.norm(np.asarray(points, np.float64)[:, None] - centres[None], axis=-1)
    x, y = np.round(points).astype(np.int64).T
    height, width = cells.instances.shape
    under = cells.instances[y.clip(0, height - 1), x.clip(0, width - 1)]
    pairs = (under[:, None] == instances[None]) | (far <= distance)
    # No pair at all costs more than all pairs together, so that their number comes first.
    cost = np.where(pairs, far, far.max() * min(far.shape) + 1)
    rows, columns = linear_sum_assignment(cost)
    kept = pairs[rows, columns]
    matched[rows[kept]] = instances[columns[kept]]
    return matched


def outside(points: Points, height: int, width: int) -> npt.NDArray[np.bool_]:
    """Return which centroids (N, 2) lie outside an image, (N,)."""
    x, y = points[:, 0], points[:, 1]
    return np.asarray((x < 0) | (y < 0) | (x >= width) | (y >= height))
