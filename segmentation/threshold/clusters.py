"""Pixels grouped by colour: k-means, k-medoids and fuzzy C-means (paper E, Faiz et al.).

Colours are CIELAB of the smoothed image. Centres are found on a random sample of pixels, then every pixel goes to the nearest one
(in fuzzy C-means that is the highest membership). The cluster with the darkest green is nucleus, the one with the brightest is
background, and what lies between and touches a nucleus is cytoplasm. Nothing tells red cells from cytoplasm but their colour.

Fuzzy C-means is written out here: scikit-fuzzy, which tests compare with, has a release once in years.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from segmentation.masks import BACKGROUND, CYTOPLASM, NUCLEUS, Labels
from segmentation.threshold.image import RGBImage, blur
from segmentation.threshold.parameters import Parameters, number
from segmentation.threshold.parts import keep_large, tidy, touching

__all__ = [
    "Clusters",
    "FuzzyClusters",
    "fuzzy_c_means",
    "fuzzy_c_means_centres",
    "k_means",
    "k_medoids",
    "k_medoids_indices",
]

Points = npt.NDArray[np.float64]


class Clusters(Parameters):
    """Settings of `k_means` and `k_medoids`."""

    clusters: int = number(3, 2, 8, "clusters")
    sigma: float = number(1.0, 0, 10, "smoothing in pixels")
    sample: int = number(1000, 50, 20000, "pixels that the centres are found on")
    seed: int = number(0, 0, 2**31 - 1, "seed of the sample and of the first centres")
    small: float = number(0.2, 0, 1, "nuclei under this share of the largest one's area are dropped")


class FuzzyClusters(Clusters):
    """Settings of `fuzzy_c_means`."""

    fuzziness: float = number(2.0, 1.05, 10, "exponent of the memberships; near 1 is k-means")


def k_means(image: RGBImage, parameters: Clusters) -> Labels:
    """Return background, cytoplasm and nucleus by k-means (scikit-learn), (H, W) uint8, of an (H, W, 3) uint8 RGB image."""
    from sklearn.cluster import KMeans

    def centres(points: Points, count: int, seed: int) -> Points:
        fitted = KMeans(count, n_init=4, random_state=seed).fit(points)
        found: Points = fitted.cluster_centers_
        return found

    return _labels(image, parameters, centres)


def k_medoids(image: RGBImage, parameters: Clusters) -> Labels:
    """Return background, cytoplasm and nucleus by k-medoids, (H, W) uint8, of an (H, W, 3) uint8 RGB image."""

    def centres(points: Points, count: int, seed: int) -> Points:
        found: Points = points[k_medoids_indices(points, count, seed)]
        return found

    return _labels(image, parameters, centres)


def fuzzy_c_means(image: RGBImage, parameters: FuzzyClusters) -> Labels:
    """Return background, cytoplasm and nucleus by fuzzy C-means, (H, W) uint8, of an (H, W, 3) uint8 RGB image."""

    def centres(points: Points, count: int, seed: int) -> Points:
        return fuzzy_c_means_centres(points, count, seed, parameters.fuzziness)

    return _labels(image, parameters, centres)


def k_medoids_indices(points: Points, count: int, seed: int = 0, starts: int = 4) -> npt.NDArray[np.int64]:
    """Return which points are medoids: least sum of distances to the nearest one, by FasterPAM from several starts.

    Source: Schubert & Rousseeuw (2021), Fast and eager k-medoids clustering, Information Systems 101; `kmedoids`.

    Args:
        points: (n, d), n at least count.
        count: Medoids.
        seed: Of the first medoids, drawn at random.
        starts: Tries, of which the best is returned.

    Returns:
        (count,) indices.
    """
    from kmedoids import fasterpam

    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    tries = [fasterpam(distances, count, random_state=seed + start, n_cpu=1) for start in range(starts)]
    best = min(tries, key=lambda found: float(found.loss))
    return np.asarray(best.medoids, np.int64)


def fuzzy_c_means_centres(points: Points, count: int, seed: int = 0, fuzziness: float = 2.0) -> Points:
    """Return centres of fuzzy C-means (Bezdek 1981), (count, d).

    Args:
        points: (n, d).
        count: Centres.
        seed: Of the first memberships.
        fuzziness: Exponent of memberships, above 1.
    """
    random = np.random.default_rng(seed)
    members = random.dirichlet(np.ones(count), len(points))
    centres: Points = np.zeros((count, points.shape[1]))
    moved = centres
    for _ in range(300):
        weights = members**fuzziness
        moved = weights.T @ points / weights.sum(axis=0)[:, None]
        if np.abs(moved - centres).max() < 1e-5:
            break
        centres = moved
        distances: Points = np.maximum(np.linalg.norm(points[:, None] - centres[None], axis=-1), 1e-9)
        closeness = (distances.min(axis=1, keepdims=True) / distances) ** (2 / (fuzziness - 1))
        members = closeness / closeness.sum(axis=1, keepdims=True)
    return moved


def _labels(image: RGBImage, parameters: Clusters, find: Callable[[Points, int, int], Points]) -> Labels:
    """Return labels from clusters of colours; an image of fewer colours than clusters is all background."""
    smooth = blur(image, parameters.sigma) / 255
    colours = cv2.cvtColor(smooth.astype(np.float32), cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float64)
    random = np.random.default_rng(parameters.seed)
    count = min(parameters.sample, len(colours))
    points = colours[random.choice(len(colours), count, replace=False)]
    if len(np.unique(points.round(3), axis=0)) < max(parameters.clusters, 2):
        return np.zeros(image.shape[:2], np.uint8)
    centres = find(points, parameters.clusters, parameters.seed)
    nearest = np.stack([((colours - centre) ** 2).sum(axis=1) for centre in centres]).argmin(axis=0)
    green = np.bincount(nearest, smooth[..., 1].ravel(), len(centres)) / np.maximum(
        np.bincount(nearest, minlength=len(centres)), 1
    )
    present = np.flatnonzero(np.bincount(nearest, minlength=len(centres)))
    meaning = np.full(len(centres), CYTOPLASM, np.uint8)
    meaning[present[green[present].argmin()]] = NUCLEUS
    meaning[present[green[present].argmax()]] = BACKGROUND
    labels = meaning[nearest].reshape(image.shape[:2])
    nucleus = keep_large(labels == NUCLEUS, parameters.small)
    cells = tidy(touching(labels > BACKGROUND, nucleus), 0)
    return cells.astype(np.uint8) + nucleus
