"""DeLong: the variance of an AUROC, and of the difference of two on the same images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from mtl.statistics._checks import Floats, checked
from mtl.statistics._errors import expected
from mtl.statistics._result import TestResult

__all__ = ["Auroc", "delong_auroc", "delong_test"]

_SOURCE = "DeLong, DeLong & Clarke-Pearson (1988); fast form: Sun & Xu (2014)"
_ASSUMES = "images are independent (not so for several images of a patient), both classes are many"


@dataclass(frozen=True)
class Auroc:
    """An AUROC with its 95 % interval.

    Attributes:
        value: Area under the curve, 0 to 1; ties count one half.
        error: Standard error.
        low: Lower end, not below 0; NaN where the variance is zero.
        high: Upper end, not above 1; NaN where the variance is zero.
        positive: Number of positive images.
        negative: Number of negative images.
        source: Where the formula is from.
        note: What the reader must know; empty if nothing.
    """

    value: float
    error: float
    low: float
    high: float
    positive: int
    negative: int
    source: str = _SOURCE
    note: str = ""


def delong_auroc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> Auroc:
    """Return an AUROC with its error and 95 % interval (normal, cut at 0 and 1).

    Source: DeLong, DeLong & Clarke-Pearson (1988), Biometrics 44; mid-ranks: Sun & Xu (2014), IEEE SPL 21.

    Args:
        labels: Whether each image is positive, (N,) bool or 0/1.
        scores: Higher is more positive, (N,).

    Raises:
        StatisticsError: If lengths differ, a score is not finite or a class has fewer than two images.
    """
    positive, one = _classes(labels, scores, "scores")
    areas, covariance = _areas(positive, one[None])
    value, error = float(areas[0]), float(np.sqrt(covariance[0, 0]))
    counts = int(positive.sum()), int((~positive).sum())
    if error == 0:
        nan = float("nan")
        note = "The sample shows no variance (for example, perfect separation): no interval can be given."
        return Auroc(value, 0.0, nan, nan, *counts, note=note)
    reach = float(stats.norm.ppf(0.975)) * error
    return Auroc(value, error, max(0.0, value - reach), min(1.0, value + reach), *counts)


def delong_test(labels: npt.ArrayLike, first: npt.ArrayLike, second: npt.ArrayLike) -> TestResult:
    """Test whether two models' AUROCs on the same images differ.

    Source: DeLong, DeLong & Clarke-Pearson (1988), Biometrics 44; mid-ranks: Sun & Xu (2014), IEEE SPL 21.

    Args:
        labels: Whether each image is positive, (N,) bool or 0/1.
        first: Scores of one model, (N,); higher is more positive.
        second: Scores of the other, (N,).

    Returns:
        Statistic z; difference and interval in AUROC.

    Raises:
        StatisticsError: If lengths differ, a score is not finite or a class has fewer than two images.
    """
    positive, one = _classes(labels, first, "first")
    _, other = _classes(labels, second, "second")
    areas, covariance = _areas(positive, np.stack([one, other]))
    difference = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    name, nan, count = "DeLong", float("nan"), len(one)
    if variance <= 1e-15:
        if abs(difference) <= 1e-12:
            note = "Both rank the images alike."
            return TestResult(name, 0.0, None, 1.0, 0.0, 0.0, 0.0, count, _ASSUMES, _SOURCE, note, "normal")
        note = "The sample shows no variance of the difference: there is no test."
        return TestResult(
            name, nan, None, nan, difference, nan, nan, count, _ASSUMES, _SOURCE, note, "normal"
        )
    error = float(np.sqrt(variance))
    reach = float(stats.norm.ppf(0.975)) * error
    return TestResult(
        name,
        difference / error,
        None,
        float(2 * stats.norm.sf(abs(difference) / error)),
        difference,
        difference - reach,
        difference + reach,
        count,
        _ASSUMES,
        _SOURCE,
        distribution="normal",
    )


def _classes(
    labels: npt.ArrayLike, scores: npt.ArrayLike, argument: str
) -> tuple[npt.NDArray[np.bool_], Floats]:
    truth, said = checked(labels, "labels"), checked(scores, argument)
    if not np.isin(truth, (0, 1)).all():
        raise expected("labels", "0 or 1", "other numbers", "name one class positive, `labels == k`")
    if len(truth) != len(said):
        raise expected(argument, f"as long as `labels` ({len(truth)})", f"{len(said)}", "score every image")
    fewest = int(min(truth.sum(), len(truth) - truth.sum()))
    if fewest < 2:
        raise expected(
            "labels",
            "two images or more of each class",
            f"{fewest} of one class",
            "leave this class or this part out of AUROC",
        )
    return truth == 1, said


def _areas(positive: npt.NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats]:
    """Return the areas (M,) and their covariance (M, M) from the mid-ranks of scores (M, N)."""
    ours, theirs = scores[:, positive], scores[:, ~positive]
    many, few = ours.shape[1], theirs.shape[1]
    together = stats.rankdata(np.concatenate([ours, theirs], axis=1), axis=1)
    above = (together[:, :many] - stats.rankdata(ours, axis=1)) / few
    below = 1 - (together[:, many:] - stats.rankdata(theirs, axis=1)) / many
    covariance = np.atleast_2d(np.cov(above)) / many + np.atleast_2d(np.cov(below)) / few
    return above.mean(axis=1), covariance
