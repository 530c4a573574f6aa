"""Cells found against centroids: one to one, by the Hungarian method."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from segmentation.cells import Cells
from segmentation.settings import DISTANCE

__all__ = ["match_centroids", "outside"]

Points = npt.NDArray[np.integer[Any] | np.floating[Any]]


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
