"""Bootstrap over groups: whole patients, slides or fields are drawn, since their images are not independent.

Cameron, Gelbach & Miller (2008), "pairs cluster bootstrap"; percentile intervals (Efron & Tibshirani 1993, ch. 13).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Interval", "bootstrap", "group_index", "interval_of", "resample_weights"]


@dataclass(frozen=True)
class Interval:
    """A score with its 95 % interval; NaN where it is not defined."""

    value: float
    low: float
    high: float


def group_index(groups: Sequence[str] | None, count: int) -> npt.NDArray[np.int64]:
    """Return the number of the group of every sample, (N,); without groups every sample is its own."""
    if groups is None:
        return np.arange(count)
    _, index = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    return index.astype(np.int64).ravel()


def resample_weights(index: npt.NDArray[np.int64], resamples: int, seed: int) -> npt.NDArray[np.float64]:
    """Return how often every sample is drawn in every resample of whole groups.

    Args:
        index: Group of every sample, (N,).
        resamples: R.
        seed: Of the draws.

    Returns:
        Weights (R, N).
    """
    groups = int(index.max()) + 1
    random = np.random.default_rng(seed)
    drawn = random.multinomial(groups, np.full(groups, 1 / groups), size=resamples)
    weights: npt.NDArray[np.float64] = drawn[:, index].astype(np.float64)
    return weights


def interval_of(value: float, resampled: npt.NDArray[np.float64]) -> Interval:
    """Return a value with the 2.5 and 97.5 percentiles of its finite resamples.

    Resamples in which the score is not defined (a class was not drawn) are left out.
    """
    finite = resampled[np.isfinite(resampled)]
    if not len(finite) or not np.isfinite(value):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.percentile(finite, [2.5, 97.5])
    return Interval(float(value), float(low), float(high))


def bootstrap(
    score: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
    index: npt.NDArray[np.int64],
    resamples: int,
    seed: int,
) -> Interval:
    """Return a score with its interval.

    Args:
        score: From weights (R, N) to scores (R,).
        index: Group of every sample, (N,).
        resamples: R.
        seed: Of the draws.
    """
    value = float(score(np.ones((1, len(index))))[0])
    return interval_of(value, score(resample_weights(index, resamples, seed)))
