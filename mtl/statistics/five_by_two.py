"""Tests over five repeats of two-fold cross-validation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

from mtl.statistics._checks import Floats, checked
from mtl.statistics._errors import expected
from mtl.statistics._result import Distribution, TestResult
from mtl.statistics.paired import differences_of

__all__ = ["five_by_two_f", "five_by_two_t"]

_ASSUMES = "the five repeats' variances are independent, differences are normal"


def five_by_two_t(first: npt.ArrayLike, second: npt.ArrayLike) -> TestResult:
    """Test by the first difference over the root mean variance of five repeats.

    t = p_11 / sqrt(sum of s_i^2 / 5) on 5 df, p_ij the difference in fold j of repeat i and
    s_i^2 = (p_i1 - mean_i)^2 + (p_i2 - mean_i)^2 = (p_i1 - p_i2)^2 / 2.
    The statistic hangs on one fold; `five_by_two_f` uses all ten.

    Source: Dietterich (1998), Approximate statistical tests for comparing ..., Neural Computation 10.

    Args:
        first: Scores (5, 2), a row for every repeat.
        second: Scores (5, 2) of the other, on the same folds.

    Returns:
        Statistic t; `difference` is the mean of all ten; there is no interval.

    Raises:
        StatisticsError: If the shape is not (5, 2) or a score is not finite.
    """
    name, source = "5x2cv t", "Dietterich (1998), Neural Computation 10"
    difference, spread = _parts(first, second)
    note = "The statistic's numerator is the first fold's difference alone; swapping folds changes it."
    if spread == 0:
        return _undefined(name, difference, 5.0, source)
    statistic = float(difference[0, 0] / np.sqrt(spread / 5))
    p = float(2 * stats.t.sf(abs(statistic), 5))
    return TestResult(
        name, statistic, 5.0, p, float(difference.mean()), n=10, assumes=_ASSUMES, source=source, note=note
    )


def five_by_two_f(first: npt.ArrayLike, second: npt.ArrayLike) -> TestResult:
    """Test by all ten squared differences over the variances of five repeats.

    F = sum of p_ij^2 / (2 * sum of s_i^2) on (10, 5) df; the order of folds does not matter.

    Source: Alpaydin (1999), Combined 5x2 cv F test, Neural Computation 11.

    Args:
        first: Scores (5, 2), a row for every repeat.
        second: Scores (5, 2) of the other, on the same folds.

    Returns:
        Statistic F; `difference` is the mean of all ten; there is no interval.

    Raises:
        StatisticsError: If the shape is not (5, 2) or a score is not finite.
    """
    name, source = "5x2cv F", "Alpaydin (1999), Neural Computation 11"
    difference, spread = _parts(first, second)
    if spread == 0:
        return _undefined(name, difference, (10.0, 5.0), source)
    statistic = float(np.square(difference).sum() / (2 * spread))
    return TestResult(
        name,
        statistic,
        (10.0, 5.0),
        float(stats.f.sf(statistic, 10, 5)),
        float(difference.mean()),
        n=10,
        assumes=_ASSUMES,
        source=source,
        distribution="F",
    )


def _parts(first: npt.ArrayLike, second: npt.ArrayLike) -> tuple[Floats, float]:
    """Return the differences (5, 2) and the sum of the five variances; both are free of rounding residue."""
    one, other = checked(first, "first", dimensions=2), checked(second, "second", dimensions=2)
    for argument, scores in (("first", one), ("second", other)):
        if scores.shape != (5, 2):
            raise expected(
                argument, "of shape (5, 2)", f"shape {scores.shape}", "pass five repeats of two folds"
            )
    difference = differences_of(one.ravel(), other.ravel()).reshape(5, 2)
    return difference, float(np.square(difference[:, 0] - difference[:, 1]).sum() / 2)


def _undefined(name: str, difference: Floats, df: float | tuple[float, float], source: str) -> TestResult:
    kind: Distribution = "F" if isinstance(df, tuple) else "t"
    if difference.any():
        statistic, p = float("nan"), float("nan")
        note = "Both folds of every repeat differ by the same: without variance there is no test."
    else:
        statistic, p, note = 0.0, 1.0, "All differences are zero."
    mean = float(difference.mean())
    return TestResult(
        name,
        statistic,
        df,
        p,
        mean,
        n=10,
        assumes=_ASSUMES,
        source=source,
        note=note,
        distribution=kind,
    )
