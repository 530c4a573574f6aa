"""What a comparison over J splits could have shown, and how many splits it would need.

Under the model of the corrected resampled t (scores of two splits correlate by the tested fraction) its statistic is a
noncentral t with noncentrality difference / (sd * sqrt(1 / J + n_test / n_train)). As J grows the root tends to
sqrt(n_test / n_train): power has a limit below 1, and some differences cannot be shown by any number of repeats, only by
more data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from mtl.statistics._checks import fraction, split_ratio
from mtl.statistics._errors import expected
from mtl.statistics._noncentral import noncentral_t_cdf

__all__ = ["Power", "corrected_t_power", "power_limit", "power_of", "repeats_needed"]

_MOST = 100_000


@dataclass(frozen=True)
class Power:
    """What the corrected resampled t can show.

    Attributes:
        difference: The true difference asked about, in the unit of the scores.
        sd: Standard deviation of the paired differences over splits.
        repeats: J of the comparison.
        test_fraction: Share of every split that is tested.
        power: Probability that J repeats show the difference.
        limit: The same with endless repeats.
        target: Power asked for.
        repeats_needed: Fewest repeats that reach the target; None if no number of repeats suffices.
        source: Where the formula is from.
    """

    difference: float
    sd: float
    repeats: int
    test_fraction: float
    power: float
    limit: float
    target: float
    repeats_needed: int | None
    source: str = "noncentral t under the model of Nadeau & Bengio (2003)"


def corrected_t_power(
    difference: float, sd: float, repeats: int, *, test_fraction: float, alpha: float = 0.05
) -> float:
    """Return the probability that the corrected resampled t shows a true difference.

    Source: noncentral t (Johnson, Kotz & Balakrishnan 1995, 31) under the model of Nadeau & Bengio (2003), section 3.

    Args:
        difference: True mean difference, in the unit of the scores.
        sd: Standard deviation of the paired differences over splits, above 0.
        repeats: J, 2 or more.
        test_fraction: Share of every split that is tested, in (0, 1).
        alpha: Level of the two-sided test.

    Raises:
        StatisticsError: If an argument is out of its range.
    """
    size = _effect(difference, sd)
    if repeats < 2:
        raise expected("repeats", "2 or more", repeats, "run more repeats; one permits no test")
    shift = size / np.sqrt(1 / repeats + split_ratio(test_fraction))
    edge = float(stats.t.isf(fraction(alpha, "alpha") / 2, repeats - 1))
    upper = noncentral_t_cdf(-edge, repeats - 1, -shift)  # P(T > edge), without cancellation
    return min(1.0, upper + noncentral_t_cdf(-edge, repeats - 1, shift))


def power_limit(difference: float, sd: float, *, test_fraction: float, alpha: float = 0.05) -> float:
    """Return the power with endless repeats: that of a z-test with error sd * sqrt(n_test / n_train).

    Source: limit of `corrected_t_power`.

    Args:
        difference: True mean difference, in the unit of the scores.
        sd: Standard deviation of the paired differences over splits, above 0.
        test_fraction: Share of every split that is tested, in (0, 1).
        alpha: Level of the two-sided test.

    Raises:
        StatisticsError: If an argument is out of its range.
    """
    shift = _effect(difference, sd) / np.sqrt(split_ratio(test_fraction))
    edge = stats.norm.isf(fraction(alpha, "alpha") / 2)
    return float(stats.norm.sf(edge - shift) + stats.norm.cdf(-edge - shift))


def repeats_needed(
    difference: float, sd: float, *, test_fraction: float, power: float = 0.8, alpha: float = 0.05
) -> int | None:
    """Return the fewest repeats with which the corrected resampled t shows a true difference.

    Source: `corrected_t_power`, searched by bisection (it grows with J).

    Args:
        difference: True mean difference, in the unit of the scores.
        sd: Standard deviation of the paired differences over splits, above 0.
        test_fraction: Share of every split that is tested, in (0, 1).
        power: Probability to reach.
        alpha: Level of the two-sided test.

    Returns:
        J, or None if no number of repeats (up to 100,000) suffices: get more data.

    Raises:
        StatisticsError: If an argument is out of its range.
    """
    target = fraction(power, "power")

    def enough(repeats: int) -> bool:
        reached = corrected_t_power(difference, sd, repeats, test_fraction=test_fraction, alpha=alpha)
        return reached >= target

    if power_limit(difference, sd, test_fraction=test_fraction, alpha=alpha) <= target or not enough(_MOST):
        return None
    low, high = 1, 2
    while not enough(high):
        low, high = high, min(2 * high, _MOST)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def power_of(
    difference: float,
    sd: float,
    repeats: int,
    *,
    test_fraction: float,
    target: float = 0.8,
    alpha: float = 0.05,
) -> Power:
    """Return power, its limit and the repeats needed in one record.

    Ask for the smallest difference that matters, never for the one observed: the power of the observed difference only
    repeats what p says (Hoenig & Heisey 2001).

    Args:
        difference: True mean difference asked about, in the unit of the scores.
        sd: Standard deviation of the paired differences over splits, above 0.
        repeats: J, 2 or more.
        test_fraction: Share of every split that is tested, in (0, 1).
        target: Power asked for.
        alpha: Level of the two-sided test.

    Raises:
        StatisticsError: If an argument is out of its range.
    """
    return Power(
        float(difference),
        float(sd),
        repeats,
        test_fraction,
        corrected_t_power(difference, sd, repeats, test_fraction=test_fraction, alpha=alpha),
        power_limit(difference, sd, test_fraction=test_fraction, alpha=alpha),
        target,
        repeats_needed(difference, sd, test_fraction=test_fraction, power=target, alpha=alpha),
    )


def _effect(difference: float, sd: float) -> float:
    if not np.isfinite(difference):
        raise expected("difference", "finite", difference, "pass the smallest difference that matters")
    if not 0 < sd < float("inf"):
        raise expected("sd", "above 0", sd, "pass the standard deviation of the paired differences")
    return abs(float(difference)) / float(sd)
