"""Tests of two unpaired samples. They ignore that both methods saw the same splits; kept to check what papers print."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

from mtl.statistics._checks import Floats, checked, is_flat, scale_of
from mtl.statistics._result import TestResult

__all__ = ["independent_t", "welch_t"]

_ASSUMES = "all scores are independent (ignores pairing and shared training images), normal"


def independent_t(first: npt.ArrayLike, second: npt.ArrayLike) -> TestResult:
    """Test whether two unpaired samples of equal variance differ in mean.

    Source: Student (1908), pooled variance; the numbers of `scipy.stats.ttest_ind`.

    Args:
        first: Scores (N,).
        second: Scores (M,); M may differ from N.

    Returns:
        Statistic t on N + M - 2 df; n is N + M.

    Raises:
        StatisticsError: If a score is not finite.
    """
    source = "Student (1908), pooled variance; scipy.stats.ttest_ind"
    return _unpaired("independent t", first, second, source, f"{_ASSUMES}, of equal variance", pooled=True)


def welch_t(first: npt.ArrayLike, second: npt.ArrayLike) -> TestResult:
    """Test whether two unpaired samples differ in mean, variances unequal.

    Source: Welch (1947); the numbers of `scipy.stats.ttest_ind(equal_var=False)`.

    Args:
        first: Scores (N,).
        second: Scores (M,); M may differ from N.

    Returns:
        Statistic t on Welch-Satterthwaite df; n is N + M.

    Raises:
        StatisticsError: If a score is not finite.
    """
    source = "Welch (1947); scipy.stats.ttest_ind(equal_var=False)"
    return _unpaired("Welch t", first, second, source, _ASSUMES, pooled=False)


def _unpaired(
    name: str, first: npt.ArrayLike, second: npt.ArrayLike, source: str, assumes: str, *, pooled: bool
) -> TestResult:
    one, other = checked(first, "first"), checked(second, "second")
    count = len(one) + len(other)
    mean = float(one.mean() - other.mean())
    undefined = _undefined(one, other, mean)
    if undefined is not None:
        statistic, p, edge, note = undefined
        df = float(max(count - 2, 0))
        return TestResult(name, statistic, df, p, mean, edge, edge, count, assumes, source, note)
    error, df = _error(one, other, pooled=pooled)
    reach = float(stats.t.ppf(0.975, df)) * error
    return TestResult(
        name,
        mean / error,
        df,
        float(2 * stats.t.sf(abs(mean) / error, df)),
        mean,
        mean - reach,
        mean + reach,
        count,
        assumes,
        source,
    )


def _error(one: Floats, other: Floats, *, pooled: bool) -> tuple[float, float]:
    """Return standard error and df; by hand, since `ttest_ind` warns where one sample does not vary."""
    rows, columns = len(one), len(other)
    ours, theirs = float(one.var(ddof=1)), float(other.var(ddof=1))
    if pooled:
        shared = ((rows - 1) * ours + (columns - 1) * theirs) / (rows + columns - 2)
        return float(np.sqrt(shared * (1 / rows + 1 / columns))), float(rows + columns - 2)
    ours, theirs = ours / rows, theirs / columns
    df = (ours + theirs) ** 2 / (ours**2 / (rows - 1) + theirs**2 / (columns - 1))
    return float(np.sqrt(ours + theirs)), df


def _undefined(one: Floats, other: Floats, mean: float) -> tuple[float, float, float, str] | None:
    """Return statistic, p, interval end and note where no test can be made, else None."""
    nan, scale = float("nan"), scale_of(one, other)
    if min(len(one), len(other)) < 2:
        return nan, nan, nan, "One score permits no test."
    if not (is_flat(one, scale) and is_flat(other, scale)):
        return None
    if np.abs(mean) <= 1e-12 * scale:
        return 0.0, 1.0, 0.0, "All scores are equal."
    return nan, nan, nan, "Neither sample varies: without variance there is no test."
