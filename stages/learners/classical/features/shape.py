"""Shape of the segmented white cells, as scikit-image's `regionprops`."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.classical_settings import ClassicalSettings
from stages.learners.classical.features.view import Floats, Mask, View

__all__ = ["PROPERTIES", "cell_properties", "columns", "describe"]

PROPERTIES = (
    "area",
    "perimeter",
    "major axis",
    "minor axis",
    "eccentricity",
    "solidity",
    "extent",
    "circularity",
)
_SPECK = 1e-3  # of the image: smaller parts are no cells
_WEIGHTS = np.zeros(50)
_WEIGHTS[[5, 7, 15, 17, 25, 27]] = 1
_WEIGHTS[[21, 33]] = np.sqrt(2)
_WEIGHTS[[13, 23]] = (1 + np.sqrt(2)) / 2
_STEPS = np.array([[10, 2, 10], [2, 1, 2], [10, 2, 10]], np.float32)
"""Perimeter of Benkrid & Crookes (2000): what a pixel of the border adds, by its neighbours on the border."""


def columns(_: ClassicalSettings) -> tuple[str, ...]:
    """Return the names of the features."""
    found = [f"{how} {name}" for how in ("mean", "deviation of", "largest cell's") for name in PROPERTIES]
    return ("cells", "covered", *found)


def describe(view: View, _: ClassicalSettings) -> Floats:
    """Return how many cells there are, the share that they cover, and their properties: mean, deviation, those of the largest.

    Lengths are in sides of the image, areas in images.
    """
    mask = view.mask
    count, labels, boxes, _centres = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = boxes[1:count, cv2.CC_STAT_AREA]
    kept = np.flatnonzero(areas >= min(_SPECK * mask.size, areas.max())) + 1
    rows = []
    for label in kept:
        left, top, width, height = boxes[label, :4]
        rows.append(cell_properties(labels[top : top + height, left : left + width] == label))
    table = np.stack(rows)
    side = float(max(mask.shape))
    table /= np.array([side**2, side, side, side, 1, 1, 1, 1])
    largest = table[table[:, 0].argmax()]
    return np.concatenate([[len(kept), mask.mean()], table.mean(axis=0), table.std(axis=0), largest])


def cell_properties(cell: Mask) -> Floats:
    """Return the properties of one cell, (8,), in the order of `PROPERTIES`, in px.

    Args:
        cell: (H, W) bool, cut to its box.
    """
    padded = np.pad(cell, 1).astype(np.uint8)
    rows, places = np.nonzero(cell)
    area = float(len(rows))
    centred = np.stack([rows - rows.mean(), places - places.mean()])
    spread = np.linalg.eigvalsh(centred @ centred.T / area).clip(0)[::-1]
    major, minor = 4 * np.sqrt(spread)
    eccentricity = np.sqrt(1 - spread[1] / spread[0]) if spread[0] else 0.0
    perimeter = _perimeter(padded)
    circularity = (
        min(1.0, 4 * np.pi * area / perimeter**2) if perimeter else 1.0
    )  # of a few pixels it is more
    return np.array(
        [area, perimeter, major, minor, eccentricity, area / _hull(padded), area / cell.size, circularity]
    )


def _perimeter(padded: npt.NDArray[np.uint8]) -> float:
    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
    border = padded - cv2.erode(padded, cross, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    steps = cv2.filter2D(border, cv2.CV_32F, _STEPS, borderType=cv2.BORDER_CONSTANT)
    return float(np.bincount(steps.astype(np.int64).ravel(), minlength=50)[:50] @ _WEIGHTS)


def _hull(padded: npt.NDArray[np.uint8]) -> float:
    """Return how many pixels have their centre in the convex hull of the cell's pixels, taken as squares without corners."""
    contours, _ = cv2.findContours(padded, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    points = np.concatenate(contours)[:, 0]
    # The middles of the four sides of a pixel, in half pixels, as scikit-image's hull has them.
    sides = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    hull = cv2.convexHull((2 * points[:, None] + sides).reshape(-1, 2).astype(np.int32))[:, 0]
    height, width = padded.shape
    grid = np.stack(np.meshgrid(2 * np.arange(width), 2 * np.arange(height)), axis=-1)
    inside = np.ones((height, width), bool)
    turns = np.roll(hull, -1, axis=0) - hull
    area = (hull[:, 0] * np.roll(hull[:, 1], -1) - hull[:, 1] * np.roll(hull[:, 0], -1)).sum()
    for (x, y), (along, down) in zip(hull, turns, strict=True):
        inside &= np.sign(area) * (along * (grid[..., 1] - y) - down * (grid[..., 0] - x)) >= 0
    return float(np.count_nonzero(inside))
