"""How probable it is that one of two methods is better, or that they are practically equal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from mtl.statistics._checks import is_flat, pair, scale_of, split_ratio
from mtl.statistics._errors import expected

__all__ = ["BayesianResult", "bayesian_correlated_t"]


@dataclass(frozen=True)
class BayesianResult:
    """Posterior of the mean difference, first minus second. The three probabilities add up to 1.

    Attributes:
        first: Probability that the first is better by more than the ROPE.
        equal: Probability that they differ by no more than the ROPE (region of practical equivalence).
        second: Probability that the second is better by more than the ROPE.
        rope: Half the width of the region, in the unit of the scores.
        mean: Of the posterior.
        low: Lower end of the 95 % credible interval.
        high: Upper end.
        scale: Of the posterior Student t; 0 if all differences are equal, NaN with one repeat.
        df: Of the posterior.
        n: Number of pairs.
        assumes: What must hold.
        source: Where the formula is from.
        note: What the reader must know about these numbers; empty if nothing.
    """

    first: float
    equal: float
    second: float
    rope: float
    mean: float
    low: float
    high: float
    scale: float
    df: float
    n: int
    assumes: str
    source: str
    note: str = ""


def bayesian_correlated_t(
    first: npt.ArrayLike, second: npt.ArrayLike, *, test_fraction: float, rope: float = 0.01
) -> BayesianResult:
    """Return the posterior probabilities of "first better", "practically equal" and "second better".

    The posterior of the mean is a Student t with J - 1 df at the mean difference, with squared scale
    var * (1 / J + rho / (1 - rho)), rho the tested fraction; the prior is flat.

    Source: Corani & Benavoli (2015), A Bayesian approach for comparing cross-validated algorithms, Machine Learning 100.

    Args:
        first: Scores (J,), one for every split.
        second: Scores (J,) of the other, on the same splits.
        test_fraction: rho, in (0, 1); 1 / k for k folds.
        rope: Differences up to this are practically none, in the unit of the scores; 0 for no such region.

    Raises:
        StatisticsError: If lengths differ, a score or rope is not finite, rope < 0 or the fraction is not in (0, 1).
    """
    one, other = pair(first, second)
    ratio = split_ratio(test_fraction)
    if not 0 <= rope < float("inf"):
        raise expected(
            "rope", "0 or more", rope, "pass the largest difference that does not matter, such as 0.01"
        )
    difference, nan = one - other, float("nan")
    count, mean = len(difference), float(difference.mean())
    assumes = "scores of two splits correlate by the tested fraction, differences are normal, flat prior"
    source = "Corani & Benavoli (2015), Machine Learning 100"
    if count == 1:
        note = "One repeat has no spread: no posterior."
        return BayesianResult(nan, nan, nan, rope, mean, nan, nan, nan, 0.0, 1, assumes, source, note)
    if is_flat(difference, scale_of(one, other)):
        mean = 0.0 if abs(mean) <= 1e-12 * scale_of(one, other) else mean
        better, worse = float(mean > rope), float(-mean > rope)
        note = "All differences are equal: the posterior is a point."
        return BayesianResult(
            better,
            1 - better - worse,
            worse,
            rope,
            mean,
            mean,
            mean,
            0.0,
            count - 1.0,
            count,
            assumes,
            source,
            note,
        )
    scale = float(np.sqrt((1 / count + ratio) * difference.var(ddof=1)))
    posterior = stats.t(count - 1, loc=mean, scale=scale)
    better, worse = float(posterior.sf(rope)), float(posterior.cdf(-rope))
    low, high = (float(end) for end in posterior.ppf([0.025, 0.975]))
    equal = max(0.0, 1 - better - worse)
    return BayesianResult(
        better, equal, worse, rope, mean, low, high, scale, count - 1.0, count, assumes, source
    )
