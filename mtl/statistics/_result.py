"""The one record of a test, and the check that its numbers belong together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from scipy import stats

from mtl.statistics._errors import expected

__all__ = ["Distribution", "SelfCheck", "TestResult", "binomial_p", "self_check", "signed_rank_counts"]

Distribution = Literal[
    "t", "F", "chi2", "normal", "binomial", "mid-p", "signed-rank", "permutation", "bootstrap"
]
_NAN = float("nan")


@dataclass(frozen=True)
class TestResult:
    """A test of two samples, so that a report prints all tests side by side. NaN is "not defined"; `note` says why.

    Attributes:
        name: Of the test.
        statistic: Its value.
        df: Degrees of freedom; two for F; for "binomial", "mid-p" and "signed-rank" the number of pairs that differ;
            None where there is none.
        p: Two-sided p-value (F and chi2: upper tail).
        difference: First minus second, in the unit of the scores.
        low: Lower end of its 95 % interval.
        high: Upper end.
        n: Number of pairs; of all observations where samples are not paired.
        assumes: What must hold for p to mean what it says.
        source: Where the formula is from.
        note: What the reader must know about these very numbers; empty if nothing.
        distribution: Under the null hypothesis; what `self_check` recomputes p with.
    """

    __test__: ClassVar[bool] = False  # no test class for pytest

    name: str
    statistic: float
    df: float | tuple[float, float] | None
    p: float
    difference: float = _NAN
    low: float = _NAN
    high: float = _NAN
    n: int = 0
    assumes: str = ""
    source: str = ""
    note: str = ""
    distribution: Distribution = "t"


@dataclass(frozen=True)
class SelfCheck:
    """Whether a test's p follows from its statistic and df.

    Attributes:
        agrees: None where it cannot be known from these numbers.
        printed: The p of the result.
        recomputed: The p of its statistic and df; NaN where `agrees` is None.
        sentence: The finding, in one sentence.
    """

    agrees: bool | None
    printed: float
    recomputed: float
    sentence: str


def self_check(result: TestResult, *, decimals: int | None = None) -> SelfCheck:
    """Recompute p from statistic and df and say whether they agree.

    Args:
        result: Of any test, or one typed in from a paper: `TestResult("t", 0.85310, 18, 0.0001)`.
        decimals: Decimals to which a paper prints p; None asks for agreement to six digits.

    Examples:
        >>> self_check(TestResult("printed t", 0.8531, 18, 0.0001), decimals=4).agrees
        False

    Raises:
        StatisticsError: If df does not fit the distribution.
    """
    label = f"{result.name}: statistic {result.statistic:.6g}"
    if not np.isfinite(result.p) or np.isnan(result.statistic):
        return SelfCheck(None, result.p, _NAN, f"{result.name}: not defined, so there is nothing to check")
    recomputed = _p_of(result)
    if recomputed is None:
        what = f"{result.name}: the p of a {result.distribution} test does not follow from statistic and df alone"
        return SelfCheck(None, result.p, _NAN, what)
    tolerance = 1e-6 * recomputed + 1e-300 if decimals is None else 0.5 * 10.0**-decimals * (1 + 1e-9)
    agrees = abs(result.p - recomputed) <= tolerance
    label += "" if result.df is None else f" and df {_df_text(result.df)}"
    word = "agrees" if agrees else "does not agree"
    return SelfCheck(
        agrees,
        result.p,
        recomputed,
        f"{label} give p = {recomputed:.3g}, which {word} with p = {result.p:.3g}",
    )


def signed_rank_counts(doubled_ranks: list[int]) -> list[int]:
    """Return how many of the 2^n sign patterns give every doubled rank sum, by adding one rank at a time.

    Args:
        doubled_ranks: Twice the mid-ranks of the absolute differences, n whole numbers.

    Returns:
        Counts for rank sum 0, 1/2, 1, ... (whole numbers without rounding, so exact for any n).
    """
    counts = [1]
    for rank in doubled_ranks:
        grown = counts + [0] * rank
        for place, count in enumerate(counts):
            grown[place + rank] += count
        counts = grown
    return counts


def _p_of(result: TestResult) -> float | None:
    value, df = result.statistic, result.df
    if result.distribution == "normal":
        return float(2 * stats.norm.sf(abs(value)))
    if result.distribution in ("permutation", "bootstrap"):
        return None
    if result.distribution == "F":
        if not isinstance(df, tuple) or min(df) <= 0:
            raise expected("df", "two positive numbers for an F test", df, "pass (numerator, denominator)")
        return float(stats.f.sf(value, *df))
    if df is None or isinstance(df, tuple) or not df >= 0:
        raise expected("df", f"one number for a {result.distribution} test", df, "pass it")
    if result.distribution == "t":
        return float(2 * stats.t.sf(abs(value), df))
    if result.distribution == "chi2":
        return float(stats.chi2.sf(value, df))
    if df == 0:
        return 1.0
    if result.distribution == "signed-rank":
        counts = signed_rank_counts([2 * rank for rank in range(1, int(df) + 1)])
        return float(min(1.0, 2 * sum(counts[: int(2 * value) + 1]) / (1 << int(df))))
    return binomial_p(int(value), int(df), mid=result.distribution == "mid-p")


def binomial_p(successes: int, trials: int, *, mid: bool) -> float:
    """Return the two-sided p of a fair coin, exact or mid-p (half of what is just as extreme is left out)."""
    if not trials:
        return 1.0
    fewer = min(successes, trials - successes)
    point = float(stats.binom.pmf(fewer, trials, 0.5))
    if 2 * fewer == trials:
        return 1 - point / 2 if mid else 1.0
    tail = 2 * float(stats.binom.cdf(fewer, trials, 0.5))
    return tail - point if mid else min(1.0, tail)


def _df_text(df: float | tuple[float, float]) -> str:
    return " and ".join(f"{part:g}" for part in (df if isinstance(df, tuple) else (df,)))
