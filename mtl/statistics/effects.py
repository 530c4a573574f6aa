"""Effect sizes with intervals: how large a difference is, in units that do not depend on the score's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from mtl.statistics._checks import Floats, checked, is_flat, pair, scale_of
from mtl.statistics._noncentral import noncentral_t_cdf

__all__ = ["EffectSize", "cliffs_delta", "cohens_dz"]


@dataclass(frozen=True)
class EffectSize:
    """An effect size with its 95 % interval; NaN where it is not defined.

    Attributes:
        name: Of the effect size.
        value: First against second: above zero if the first is larger.
        low: Lower end.
        high: Upper end.
        n: Number of pairs, or of all observations where samples are not paired.
        assumes: What must hold for the interval.
        source: Where the formula is from.
        note: What the reader must know; empty if nothing.
    """

    name: str
    value: float
    low: float
    high: float
    n: int
    assumes: str
    source: str
    note: str = ""


def cohens_dz(first: npt.ArrayLike, second: npt.ArrayLike) -> EffectSize:
    """Return the mean paired difference in standard deviations of the differences.

    The interval holds the effects whose noncentral t (J - 1 df, noncentrality d_z * sqrt(J)) is compatible with the
    observed t.

    Source: Cohen (1988), 2.3.5; interval: Cumming & Finch (2001), Educ Psychol Meas 61.

    Args:
        first: Scores (J,).
        second: Scores (J,) of the other, on the same repeats.

    Raises:
        StatisticsError: If lengths differ or a score is not finite.
    """
    one, other = pair(first, second)
    name, source, nan = "d_z", "Cohen (1988), 2.3.5; Cumming & Finch (2001)", float("nan")
    assumes = "pairs are independent (over overlapping training sets the interval is too narrow), differences are normal"
    difference, count = one - other, len(one)
    scale = scale_of(one, other)
    if count == 1:
        return EffectSize(name, nan, nan, nan, 1, assumes, source, "One repeat has no spread.")
    if is_flat(difference, scale):
        if abs(difference.mean()) <= 1e-12 * scale:
            return EffectSize(name, 0.0, nan, nan, count, assumes, source, "All differences are zero.")
        return EffectSize(name, nan, nan, nan, count, assumes, source, "All differences are equal.")
    value = float(difference.mean() / difference.std(ddof=1))
    root = float(np.sqrt(count))
    low, high = _noncentral(value * root, count - 1)
    return EffectSize(name, value, low / root, high / root, count, assumes, source)


def cliffs_delta(first: npt.ArrayLike, second: npt.ArrayLike) -> EffectSize:
    """Return how much more often a score of the first is above one of the second than below, -1 to 1.

    The interval is asymmetric and stays within -1 and 1; at -1 or 1 it rests on the smaller sample's size.

    Source: Cliff (1993), Psychol Bull 114; interval: Feng & Cliff (2004), J Mod Appl Stat Methods 3, (9).

    Args:
        first: Scores (N,).
        second: Scores (M,); pairing is not used.

    Examples:
        >>> round(cliffs_delta([3, 4, 5], [1, 2, 3]).value, 3)
        0.889

    Raises:
        StatisticsError: If a score is not finite.
    """
    one, other = checked(first, "first"), checked(second, "second")
    rows, columns = len(one), len(other)
    name, source = "Cliff's delta", "Cliff (1993); Feng & Cliff (2004)"
    assumes = "all scores are independent (ignores pairing)"
    signs = np.sign(_settled(one[:, None] - other, scale_of(one, other)))
    value = float(signs.mean())
    if min(rows, columns) < 2:
        nan = float("nan")
        return EffectSize(name, value, nan, nan, rows + columns, assumes, source, "One score has no spread.")
    z = float(stats.norm.ppf(0.975))
    if abs(value) == 1:
        small = min(rows, columns)
        inner = (small - z * z) / (small + z * z)
        low, high = (inner, 1.0) if value > 0 else (-1.0, -inner)
        note = "The samples do not overlap."
        return EffectSize(name, value, low, high, rows + columns, assumes, source, note)
    by_row = np.square(signs.mean(axis=1) - value).sum() * columns**2
    by_column = np.square(signs.mean(axis=0) - value).sum() * rows**2
    rest = np.square(signs - value).sum()
    pairs = rows * columns
    variance = (by_row + by_column - rest) / (pairs * (rows - 1) * (columns - 1))
    variance = max(float(variance), (1 - value**2) / (pairs - 1))
    reach = z * np.sqrt(variance) * np.sqrt((1 - value**2) ** 2 + z * z * variance)
    middle, under = value - value**3, 1 - value**2 + z * z * variance
    low, high = max(-1.0, float((middle - reach) / under)), min(1.0, float((middle + reach) / under))
    return EffectSize(name, value, low, high, rows + columns, assumes, source)


def _settled(differences: Floats, scale: float) -> Floats:
    """Return differences with rounding residue set to zero."""
    settled: Floats = np.where(np.abs(differences) <= 1e-12 * scale, 0.0, differences)
    return settled


def _noncentral(statistic: float, df: int) -> tuple[float, float]:
    """Return the noncentralities under which the statistic is at the 97.5 and at the 2.5 percentile."""
    span = 10 + 6 * abs(statistic)

    def end(probability: float) -> float:
        def miss(shift: float) -> float:
            return noncentral_t_cdf(statistic, df, shift) - probability

        return float(optimize.brentq(miss, statistic - span, statistic + span))

    return end(0.975), end(0.025)
