"""Heads without epochs: least squares whose strength folds choose, temperatures, and weights of several opinions. Arrays alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.learners.model import Floats

__all__ = ["STRENGTHS", "LeastSquares", "block_folds", "choose_temperature", "log_loss", "softmax", "weigh"]

Labels = npt.NDArray[np.int64]
STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Ridge penalties that are tried, in units of the mean squared feature."""
_TEMPERATURES = tuple(np.geomspace(0.03, 1.0, 16))
_LEAST = 1e-6


@dataclass(frozen=True)
class LeastSquares:
    """A linear head: scores are `(x - mean) / scale @ matrix + bias`.

    Attributes:
        mean: Of every feature, (F,).
        scale: (F,).
        matrix: (F, K).
        bias: (K,).
    """

    mean: Floats
    scale: Floats
    matrix: Floats
    bias: Floats

    def __call__(self, features: Floats) -> Floats:
        """Return scores (N, K) of features (N, F)."""
        scores: Floats = (features - self.mean) / self.scale @ self.matrix + self.bias
        return scores

    @staticmethod
    def path(features: Floats, labels: Labels, classes: int) -> dict[float, LeastSquares]:
        """Return ridge regressions on one-hot labels, classes of equal weight, by their strength.

        One eigendecomposition, of the smaller of (M, M) and (F, F), serves all strengths.

        Args:
            features: (M, F).
            labels: Class indices, (M,).
            classes: K; one that is absent gets no vote.
        """
        counts = np.bincount(labels, minlength=classes)
        weight = (len(labels) / (np.count_nonzero(counts) * counts.clip(1)))[labels][:, None]
        mean, scale = features.mean(axis=0), features.std(axis=0) + _LEAST
        centre = np.average((features - mean) / scale, axis=0, weights=weight[:, 0])
        targets = np.eye(classes)[labels]
        bias = np.average(targets, axis=0, weights=weight[:, 0])
        root = np.sqrt(weight)
        # In single precision: the penalty is far above its rounding, and large products take half the time.
        rows = (((features - mean) / scale - centre) * root).astype(np.float32)
        wanted = ((targets - bias) * root).astype(np.float32)
        wide = rows.shape[1] > rows.shape[0]
        values, vectors = np.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
        unit = float((rows**2).sum()) / len(rows)
        seen = vectors.T @ (wanted if wide else rows.T @ wanted)
        found = {}
        for strength in STRENGTHS:
            solved = vectors @ (seen / (values.clip(0) + strength * unit)[:, None])
            matrix = np.asarray(rows.T @ solved if wide else solved, np.float64)
            found[strength] = LeastSquares(mean, scale, matrix, bias - centre @ matrix)
        return found


def block_folds(labels: Labels, groups: Labels, most: int) -> Labels:
    """Return the fold of every image: each class cut into blocks in the order of its rows, whole groups together.

    Neighbours look alike, so blocks tell more of images to come than folds at random do. Every class stands in the training side
    of each fold.

    Args:
        labels: Class indices in the order of the source, (M,).
        groups: (M,).
        most: Folds, or fewer where a class has not so many groups.

    Returns:
        (M,), from 0; all zero where a class has a single group, so that there are no folds.
    """
    names, member = np.unique(groups, return_inverse=True)
    for count in range(most, 1, -1):
        place = np.empty(len(labels))
        for label in np.unique(labels):
            own = np.flatnonzero(labels == label)
            place[own] = (np.arange(len(own)) + 0.5) * count / len(own)
        centre = np.bincount(member, place, len(names)) / np.bincount(member, minlength=len(names))
        # Large groups may leave a fold without any; those that are left are numbered anew.
        folds: Labels = np.unique(np.floor(centre), return_inverse=True)[1].astype(np.int64)[member]
        if folds.any() and all(np.isin(labels, labels[folds != one]).all() for one in np.unique(folds)):
            return folds
    return np.zeros(len(labels), np.int64)


def softmax(scores: Floats, temperature: float) -> Floats:
    """Return probabilities (N, K) of scores (N, K)."""
    raised = np.exp((scores - scores.max(axis=1, keepdims=True)) / temperature)
    probabilities: Floats = raised / raised.sum(axis=1, keepdims=True)
    return probabilities


def log_loss(probabilities: Floats, labels: Labels) -> float:
    """Return the mean negative log-likelihood of labels (N,) under probabilities (N, K)."""
    return float(-np.log(probabilities[np.arange(len(labels)), labels].clip(_LEAST)).mean())


def choose_temperature(scores: Floats, labels: Labels) -> tuple[float, float]:
    """Return the temperature that gives scores (N, K) the least log loss, and that loss (Guo et al. 2017)."""
    losses = {float(one): log_loss(softmax(scores, float(one)), labels) for one in _TEMPERATURES}
    best = min(losses, key=lambda one: losses[one])
    return best, losses[best]


def weigh(opinions: npt.NDArray[np.float64], labels: Labels, rounds: int = 200) -> Floats:
    """Return weights that sum to 1 under which the average of several opinions has the greatest likelihood.

    The mixture's maximum, found by expectation maximisation (Dempster et al. 1977): concave, so there is one, and an opinion that is
    worse than the others wherever they differ gets nothing.

    Args:
        opinions: Probabilities of J models of images that they did not learn from, (J, N, K).
        labels: (N,).
        rounds: Of expectation maximisation.

    Examples:
        >>> sure = np.array([[0.9, 0.1], [0.1, 0.9]])
        >>> weigh(np.stack([sure, sure[::-1]]), np.array([0, 1])).round(2).tolist()
        [1.0, 0.0]
    """
    told = opinions[:, np.arange(len(labels)), labels].clip(_LEAST)
    weights: Floats = np.full(len(opinions), 1 / len(opinions))
    for _ in range(rounds):
        shares = told * weights[:, None]
        weights = (shares / shares.sum(axis=0)).mean(axis=1)
    return weights
