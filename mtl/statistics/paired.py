"""Tests of paired scores: the paired t and Wilcoxon's signed ranks.

Both take the pairs to be independent. Repeats that share training images are not: see `corrected`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

from mtl.statistics._checks import Floats, is_flat, pair, scale_of
from mtl.statistics._result import TestResult, signed_rank_counts

__all__ = ["differences_of", "no_test", "paired_t", "wilcoxon"]

_PAIRED_ASSUMES = (
    "pairs are independent (not so for repeats over overlapping training sets), differences are normal"
)
_RANK_ASSUMES = "pairs are independent, differences are symmetric about their median"
_EXACT_UP_TO = 50


def paired_t(first: npt.ArrayLike, second: npt.ArrayLike) -> TestResult:
    """Test whether paired scores differ in mean, as if the pairs were independent.

    Source: Student (1908); `scipy.stats.ttest_rel`.

    Args:
        first: Scores (J,), one for every repeat.
        second: Scores (J,) of the other, on the same repeats.

    Returns:
        Statistic t on J - 1 df; difference and interval in the unit of the scores.

    Raises:
        StatisticsError: If lengths differ or a score is not finite.
    """
    one, other = pair(first, second)
    name, source = "paired t", "Student (1908); scipy.stats.ttest_rel"
    undefined = no_test(name, one, other, _PAIRED_ASSUMES, source)
    if undefined is not None:
        return undefined
    found = stats.ttest_rel(one, other)
    low, high = found.confidence_interval(0.95)
    return TestResult(
        name,
        float(found.statistic),
        float(len(one) - 1),
        float(found.pvalue),
        float((one - other).mean()),
        float(low),
        float(high),
        len(one),
        _PAIRED_ASSUMES,
        source,
        "Two pairs: one degree of freedom." if len(one) == 2 else "",
    )


def wilcoxon(first: npt.ArrayLike, second: npt.ArrayLike) -> TestResult:
    """Test whether paired scores differ, by the ranks of their absolute differences.

    Zero differences are dropped (Wilcoxon), ties get mid-ranks. p is exact over all sign patterns up to 50 pairs, also
    with ties; beyond, normal. The difference is the Hodges-Lehmann estimate with the interval
    of ordered Walsh averages over all pairs. Fewer than six pairs cannot reach p < 0.05 and have no 95 % interval.

    Source: Wilcoxon (1945); interval: Hollander, Wolfe & Chicken (2014), section 3.3.

    Args:
        first: Scores (J,).
        second: Scores (J,) of the other, on the same repeats.

    Returns:
        Statistic min(W+, W-); df is the number of pairs that differ.

    Raises:
        StatisticsError: If lengths differ or a score is not finite.
    """
    one, other = pair(first, second)
    name, source = "Wilcoxon signed-rank", "Wilcoxon (1945); interval: Hollander et al. (2014), 3.3"
    difference = differences_of(one, other)
    moved = difference[difference != 0]
    walsh = np.sort(((difference[:, None] + difference) / 2)[np.triu_indices(len(difference))])
    low, high = _walsh_interval(walsh, len(difference))
    middle = float(np.median(walsh))
    if not len(moved):
        note = "All differences are zero."
        return TestResult(
            name, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, len(one), _RANK_ASSUMES, source, note, "signed-rank"
        )
    ranks = stats.rankdata(np.abs(moved))
    statistic = float(min(ranks[moved > 0].sum(), ranks[moved < 0].sum()))
    tied = len(np.unique(ranks)) < len(ranks)
    if len(moved) <= _EXACT_UP_TO:
        counts = signed_rank_counts([round(2 * rank) for rank in ranks])
        p = min(1.0, 2 * sum(counts[: round(2 * statistic) + 1]) / 2 ** len(moved))
    else:
        spread = np.sqrt(np.square(ranks).sum()) / 2
        p = float(2 * stats.norm.sf((ranks.sum() / 2 - statistic) / spread))
    dropped = len(one) - len(moved)
    notes = [
        f"{dropped} zero difference{'s' if dropped > 1 else ''} dropped." if dropped else "",
        "Fewer than six pairs differ: p cannot fall below 0.05." if len(moved) < 6 else "",
        "Ties: exact over all sign patterns." if tied and len(moved) <= _EXACT_UP_TO else "",
    ]
    exact = len(moved) <= _EXACT_UP_TO and not tied
    return TestResult(
        name,
        statistic,
        float(len(moved)),
        p,
        middle,
        low,
        high,
        len(one),
        _RANK_ASSUMES,
        source,
        " ".join(note for note in notes if note),
        "signed-rank" if exact else "permutation",
    )


def differences_of(first: Floats, second: Floats) -> Floats:
    """Return first minus second, (J,), rounded so that differences equal but for rounding residue are equal."""
    scale = scale_of(first, second)
    if scale == 0:
        return np.zeros(len(first))
    decimals = 11 - int(np.floor(np.log10(scale)))
    rounded: Floats = np.round(first - second, min(decimals, 300)) + 0.0
    return rounded


def no_test(name: str, first: Floats, second: Floats, assumes: str, source: str) -> TestResult | None:
    """Return the defined answer where a mean over its error is not: one repeat, or differences without variance.

    Equal differences of zero: statistic 0, p = 1. Equal differences other than zero, or one repeat: statistic and p are
    NaN, since there is nothing to judge the difference by. None where the test can be made.
    """
    difference, scale, count = first - second, scale_of(first, second), len(first)
    mean = float(difference.mean())
    nan = float("nan")
    if count == 1:
        note = "One repeat permits no test."
        return TestResult(name, nan, 0.0, nan, mean, nan, nan, 1, assumes, source, note)
    if not is_flat(difference, scale):
        return None
    if abs(mean) <= 1e-12 * scale:
        note = "All differences are zero."
        return TestResult(name, 0.0, float(count - 1), 1.0, 0.0, 0.0, 0.0, count, assumes, source, note)
    note = f"All {count} differences are equal: without variance there is no test."
    return TestResult(name, nan, float(count - 1), nan, mean, nan, nan, count, assumes, source, note)


def _walsh_interval(walsh: Floats, count: int) -> tuple[float, float]:
    """Return the interval between the k-th smallest and k-th largest Walsh average."""
    if count <= _EXACT_UP_TO:
        counts = signed_rank_counts([2 * rank for rank in range(1, count + 1)])[::2]
        tail = np.cumsum([share / 2**count for share in counts])
        place = int(np.searchsorted(tail, 0.025, side="right"))
    else:
        spread = np.sqrt(count * (count + 1) * (2 * count + 1) / 24)
        place = int(count * (count + 1) / 4 - stats.norm.ppf(0.975) * spread)
    if place < 1:
        return float("nan"), float("nan")
    return float(walsh[place - 1]), float(walsh[-place])
