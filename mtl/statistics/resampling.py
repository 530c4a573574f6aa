"""Paired bootstrap over groups: whole patients, slides or fields are drawn, both methods on the same draw.

For a difference in accuracy, AUROC and the like of two models' probabilities, `stages.metrics.paired_difference` gives
the same interval; this is for any value that each image has (right or wrong, Dice, loss), and adds p.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mtl.statistics._checks import pair
from mtl.statistics._errors import expected
from mtl.statistics._result import TestResult
from mtl.statistics.paired import differences_of
from stages.bootstrap import group_index, interval_of, resample_weights

__all__ = ["bootstrap_difference"]

_ASSUMES = "groups are independent and some 40 or more (fewer: the interval is too narrow)"
_SOURCE = "Cameron, Gelbach & Miller (2008); percentile interval: Efron & Tibshirani (1993), ch. 13"


def bootstrap_difference(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    groups: Sequence[str] | None,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> TestResult:
    """Return the mean difference over images with a percentile interval and p from a bootstrap over groups.

    p = 2 * (1 + the rarer of "resampled difference <= 0" and ">= 0") / (R + 1), at most 1.

    Source: pairs cluster bootstrap, Cameron, Gelbach & Miller (2008), Rev Econ Stat 90; percentile interval, Efron &
    Tibshirani (1993), ch. 13; p by inverting it, Davison & Hinkley (1997), 4.4 and 5.3.

    Args:
        first: A value of every image, (N,), such as right (1) or wrong (0).
        second: The same of the other method on the same images, (N,).
        groups: Group of every image, (N,), or None if each is its own.
        resamples: R, 100 or more.
        seed: Of the draws.

    Returns:
        Statistic: the mean difference; n: the number of groups.

    Raises:
        StatisticsError: If lengths differ, a value is not finite or there are fewer than 100 resamples.
    """
    one, other = pair(first, second)
    if groups is not None and len(groups) != len(one):
        raise expected(
            "groups", f"as long as `first` ({len(one)})", f"{len(groups)}", "name every image's group"
        )
    if resamples < 100:
        raise expected("resamples", "100 or more", resamples, "draw more; 1000 is usual")
    index = group_index(groups, len(one))
    difference = differences_of(one, other)
    sums, sizes = np.bincount(index, difference), np.bincount(index).astype(float)
    value, count, nan = float(difference.mean()), len(sums), float("nan")
    if not difference.any():
        note = "All differences are zero."
        return TestResult(
            "group bootstrap", 0.0, None, 1.0, 0.0, 0.0, 0.0, count, _ASSUMES, _SOURCE, note, "bootstrap"
        )
    if count == 1:
        note = "One group permits no bootstrap."
        return TestResult(
            "group bootstrap", value, None, nan, value, nan, nan, 1, _ASSUMES, _SOURCE, note, "bootstrap"
        )
    weights = resample_weights(np.arange(count), resamples, seed)
    drawn = (weights @ sums) / (weights @ sizes)
    interval = interval_of(value, drawn)
    rarer = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return TestResult(
        "group bootstrap",
        value,
        None,
        min(1.0, 2 * (1 + rarer) / (resamples + 1)),
        value,
        interval.low,
        interval.high,
        count,
        _ASSUMES,
        _SOURCE,
        f"Only {count} groups: the interval is too narrow." if count < 40 else "",
        "bootstrap",
    )
