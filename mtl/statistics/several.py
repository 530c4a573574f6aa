"""More than two methods: Holm's adjustment, Friedman's test, Nemenyi's critical difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from mtl.statistics._checks import Floats, checked, fraction
from mtl.statistics._errors import expected
from mtl.statistics._result import TestResult
from mtl.statistics.paired import differences_of

__all__ = ["FriedmanResult", "NemenyiResult", "friedman", "holm", "holm_defined", "nemenyi"]

_ASSUMES = "rows (data sets) are independent; repeats over one data set are not"


@dataclass(frozen=True)
class FriedmanResult:
    """Whether K methods differ over N data sets.

    Attributes:
        names: Of the methods, in the order given.
        ranks: Mean rank of each, 1 is best.
        chi2: Friedman's test.
        f: Iman and Davenport's F, less conservative: the one to read.
        rows: N.
    """

    names: tuple[str, ...]
    ranks: tuple[float, ...]
    chi2: TestResult
    f: TestResult
    rows: int


@dataclass(frozen=True)
class NemenyiResult:
    """Which of K methods differ, pair by pair; what a critical-difference diagram draws.

    Attributes:
        names: Of the methods, best mean rank first.
        ranks: Mean rank of each, 1 is best.
        critical_difference: Mean ranks further apart than this differ at `alpha`.
        cliques: Largest sets of neighbours no further apart than that: the bars of the diagram.
        p: Adjusted p of every pair, (K, K), in the order of `names`; 1 on the diagonal.
        alpha: Family-wise level.
        assumes: What must hold.
        source: Where the formula is from.
    """

    names: tuple[str, ...]
    ranks: tuple[float, ...]
    critical_difference: float
    cliques: tuple[tuple[str, ...], ...]
    p: tuple[tuple[float, ...], ...]
    alpha: float
    assumes: str = _ASSUMES
    source: str = "Nemenyi (1963); Demsar (2006), JMLR 7, 3.2.2"


def holm(p: npt.ArrayLike) -> Floats:
    """Return p-values adjusted for several comparisons, in the order given.

    The i-th smallest of m is multiplied by m - i + 1, never falls below one before it, and is at most 1.

    Source: Holm (1979), Scand J Stat 6.

    Args:
        p: p-values (m,). Leave undefined tests out: each one counts.

    Examples:
        >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
        [0.03, 0.06, 0.06]

    Raises:
        StatisticsError: If one is not in [0, 1].
    """
    values = checked(p, "p")
    if values.min() < 0 or values.max() > 1:
        raise expected("p", "between 0 and 1", "other numbers", "pass p-values")
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def holm_defined(p: npt.ArrayLike) -> Floats:
    """Return `holm` of the p-values that are defined; NaN stays NaN: a test that is not defined is no comparison that was made.

    Args:
        p: p-values (m,), or NaN.

    Examples:
        >>> holm_defined([0.01, float("nan"), 0.03]).round(2).tolist()
        [0.02, nan, 0.03]
    """
    found = np.array(p, np.float64)
    known = np.isfinite(found)
    if known.any():
        found[known] = holm(found[known])
    return found


def friedman(scores: npt.ArrayLike, names: Sequence[str]) -> FriedmanResult:
    """Test whether K methods differ over N data sets, by their ranks on each; ties get mid-ranks.

    Source: Friedman (1937), chi-square corrected for ties; Iman & Davenport (1980), F = (N - 1) chi2 / (N (K - 1) - chi2)
    on K - 1 and (K - 1)(N - 1) df; Demsar (2006), JMLR 7, 3.2.2.

    Args:
        scores: (N, K), more is better; a row for every data set, a column for every method.
        names: Of the K methods.

    Raises:
        StatisticsError: If N < 2, K < 3, a score is not finite or names do not fit.
    """
    ranks, labels = _ranks(scores, names)
    rows, methods = ranks.shape
    mean = ranks.mean(axis=0)
    spread = np.square(ranks - (methods + 1) / 2).sum()
    note = "All methods tie on every row." if spread == 0 else ""
    total = rows * np.square(mean - (methods + 1) / 2).sum()
    chi2 = float(rows * (methods - 1) * total / spread) if spread else 0.0
    rest = rows * (methods - 1) - chi2
    f = float((rows - 1) * chi2 / rest) if rest > 1e-9 else float("inf")
    df = (methods - 1.0, (methods - 1.0) * (rows - 1.0))
    if np.isinf(f):
        note = "Every row ranks the methods alike."
    return FriedmanResult(
        labels,
        tuple(float(rank) for rank in mean),
        TestResult(
            "Friedman",
            chi2,
            df[0],
            float(stats.chi2.sf(chi2, df[0])),
            n=rows,
            assumes=f"{_ASSUMES}; many rows",
            source="Friedman (1937)",
            note=note,
            distribution="chi2",
        ),
        TestResult(
            "Iman-Davenport F",
            f,
            df,
            float(stats.f.sf(f, *df)),
            n=rows,
            assumes=_ASSUMES,
            source="Iman & Davenport (1980); Demsar (2006)",
            note=note,
            distribution="F",
        ),
        rows,
    )


def nemenyi(scores: npt.ArrayLike, names: Sequence[str], *, alpha: float = 0.05) -> NemenyiResult:
    """Compare K methods pair by pair over N data sets, after Friedman's test has shown that they differ.

    Critical difference: q * sqrt(K (K + 1) / (6 N)), q the studentized range (K, infinite df) over sqrt(2).

    Source: Nemenyi (1963); Demsar (2006), JMLR 7, 3.2.2; `scipy.stats.studentized_range`.

    Args:
        scores: (N, K), more is better; a row for every data set, a column for every method.
        names: Of the K methods.
        alpha: Family-wise level.

    Raises:
        StatisticsError: If N < 2, K < 3, a score is not finite, names do not fit or alpha is not in (0, 1).
    """
    ranks, labels = _ranks(scores, names)
    rows, methods = ranks.shape
    mean = ranks.mean(axis=0)
    order = np.argsort(mean, kind="stable")
    mean = mean[order]
    sorted_names = tuple(labels[place] for place in order)
    error = np.sqrt(methods * (methods + 1) / (6 * rows))
    q = stats.studentized_range.isf(fraction(alpha, "alpha"), methods, np.inf) / np.sqrt(2)
    critical = float(q * error)
    apart = np.abs(mean[:, None] - mean) / error * np.sqrt(2)
    p = np.asarray(stats.studentized_range.sf(apart, methods, np.inf), dtype=np.float64)
    np.fill_diagonal(p, 1.0)
    return NemenyiResult(
        sorted_names,
        tuple(float(rank) for rank in mean),
        critical,
        _cliques(sorted_names, mean, critical),
        tuple(tuple(float(value) for value in row) for row in np.clip(p, 0.0, 1.0)),
        alpha,
    )


def _cliques(names: tuple[str, ...], ranks: Floats, critical: float) -> tuple[tuple[str, ...], ...]:
    found: list[tuple[str, ...]] = []
    reached = 0
    for start in range(len(names)):
        end = int(np.searchsorted(ranks, ranks[start] + critical + 1e-12, side="right"))
        if end > max(reached, start + 1):
            found.append(names[start:end])
            reached = end
    return tuple(found)


def _ranks(scores: npt.ArrayLike, names: Sequence[str]) -> tuple[Floats, tuple[str, ...]]:
    """Return ranks (N, K), 1 is best, and the names."""
    table = checked(scores, "scores", dimensions=2)
    rows, methods = table.shape
    if methods < 3:
        raise expected("scores", "of three methods or more", f"{methods}", "compare two with `compare_pairs`")
    if rows < 2:
        raise expected("scores", "of two rows or more", f"{rows}", "pass a row for every data set")
    if len(names) != methods or len(set(names)) != methods:
        raise expected("names", f"{methods} different names", f"{list(names)}", "name every column once")
    settled = differences_of(table.ravel(), np.zeros(table.size)).reshape(table.shape)
    ranks: Floats = stats.rankdata(-settled, axis=1)
    return ranks, tuple(names)
