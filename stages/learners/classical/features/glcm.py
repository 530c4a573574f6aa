"""Grey-level co-occurrence (Haralick et al. 1973): symmetric, normalised, as scikit-image's `graycomatrix` and `graycoprops`."""

from __future__ import annotations

import numpy as np

from stages.classical_settings import ClassicalSettings
from stages.learners.classical.features.grey import Levels, quantise, shifted
from stages.learners.classical.features.view import Floats, View

__all__ = ["ASKS", "PROPERTIES", "columns", "cooccurrence", "describe", "properties"]

ASKS = ("levels", "distances")
PROPERTIES = ("contrast", "dissimilarity", "homogeneity", "ASM", "energy", "correlation", "entropy")
_ANGLES = (0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)


def columns(settings: ClassicalSettings) -> tuple[str, ...]:
    """Return the names of the features."""
    return tuple(
        f"{how} {name}, {distance} px"
        for distance in settings.distances
        for how in ("mean", "range of")
        for name in PROPERTIES
    )


def describe(view: View, settings: ClassicalSettings) -> Floats:
    """Return the mean over four directions and its range of every property at every distance: what turning hardly changes."""
    values = quantise(view.grey, view.mask, settings.levels)
    matrices = cooccurrence(values, settings.levels, settings.distances)
    found = properties(matrices)
    return np.stack([found.mean(axis=2), np.ptp(found, axis=2)], axis=1).reshape(-1)


def cooccurrence(values: Levels, levels: int, distances: tuple[int, ...]) -> Floats:
    """Return how often two grey levels are neighbours, both ways, each matrix summing to 1 (or to 0 where there are no pairs).

    Args:
        values: Grey levels (H, W); pixels of `levels` are in no pair.
        levels: L.
        distances: D of them, in px; a slanted one goes to the nearest pixel, as scikit-image's.

    Returns:
        (D, 4, L, L), directions 0, 45, 90 and 135 degrees.
    """
    tables = np.empty((len(distances), len(_ANGLES), levels, levels))
    side = levels + 1
    for place, distance in enumerate(distances):
        for turn, angle in enumerate(_ANGLES):
            down, right = round(np.sin(angle) * distance), round(np.cos(angle) * distance)
            if right < 0:
                down, right = -down, -right
            first, second = shifted(values, down, right)
            counts = np.bincount(first * side + second, minlength=side * side).reshape(side, side)
            table = counts[:levels, :levels]
            tables[place, turn] = table + table.T
    sums = tables.sum(axis=(2, 3), keepdims=True)
    found: Floats = np.divide(tables, sums, out=np.zeros_like(tables), where=sums > 0)
    return found


def properties(matrices: Floats) -> Floats:
    """Return what Haralick's matrices (D, A, L, L) say: (D, 7, A), in the order of `PROPERTIES`.

    Entropy is in nats; where all pixels have one level the correlation is 1, as scikit-image's.
    """
    levels = matrices.shape[-1]
    index = np.arange(levels, dtype=np.float64)
    away = index[:, None] - index
    flat = matrices.reshape(*matrices.shape[:2], -1)
    squares = (flat**2).sum(axis=2)
    weights = np.stack([away**2, np.abs(away), 1 / (1 + away**2), index[:, None] * index], axis=-1)
    contrast, dissimilarity, homogeneity, product = np.moveaxis(flat @ weights.reshape(-1, 4), 2, 0)
    ones = matrices.sum(axis=3)  # symmetric: rows and columns alike
    mean = ones @ index
    variance = (ones * (index - mean[..., None]) ** 2).sum(axis=2)
    plain = variance < 1e-30
    correlation = np.where(plain, 1.0, (product - mean**2) / np.where(plain, 1.0, variance))
    logs = np.log(flat, out=np.zeros_like(flat), where=flat > 0)
    entropy = -(flat * logs).sum(axis=2)
    return np.stack(
        [contrast, dissimilarity, homogeneity, squares, np.sqrt(squares), correlation, entropy], axis=1
    )
