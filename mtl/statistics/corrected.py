"""Tests of paired scores over splits that share training images: the t with a corrected variance.

The variance of a mean of J scores is var / J only if scores are independent. Over random splits of one data set they are
not: they share training and test images, so the naive paired t rejects a true null far too often. The correction takes the
correlation of two splits' scores to be the tested fraction, hence var * (1 / J + n_test / n_train), which has a floor:
more repeats alone cannot make a small data set large. `test_fraction` is a fraction of what is drawn: of groups where
splits are drawn over groups.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

from mtl.statistics._checks import pair, split_ratio
from mtl.statistics._errors import expected
from mtl.statistics._result import TestResult
from mtl.statistics.paired import no_test

__all__ = ["corrected_repeated_kfold_t", "corrected_resampled_t", "fraction_of"]

_ASSUMES = "scores of two splits correlate by the tested fraction, differences are normal"


def fraction_of(n_train: float, n_test: float) -> float:
    """Return the tested fraction of a split, n_test / (n_train + n_test).

    Raises:
        StatisticsError: If a count is not positive.
    """
    for name, value in (("n_train", n_train), ("n_test", n_test)):
        if not 0 < value < float("inf"):
            raise expected(
                name, "a positive number of images or groups", value, "pass the sizes of one split"
            )
    return n_test / (n_train + n_test)


def corrected_resampled_t(first: npt.ArrayLike, second: npt.ArrayLike, *, test_fraction: float) -> TestResult:
    """Test whether paired scores over J random splits differ in mean; the default verdict.

    t = mean / sqrt((1 / J + n_test / n_train) * var), with J - 1 df; the interval uses the same error.

    Source: Nadeau & Bengio (2003), Inference for the generalization error, Machine Learning 52.

    Args:
        first: Scores (J,), one for every random split.
        second: Scores (J,) of the other, on the same splits.
        test_fraction: Share of every split that is tested, in (0, 1); see `fraction_of`.

    Returns:
        Statistic t; difference and interval in the unit of the scores.

    Examples:
        Table V of Maaliw et al. 2022 (docs/benchmark.md):

        >>> multistage = [93.45, 95.23, 92.82, 94.73, 92.38, 93.85, 95.03, 93.73, 94.39, 94.52]
        >>> classical = [89.17, 90.28, 87.31, 90.12, 89.35, 88.72, 87.39, 92.43, 89.32, 88.85]
        >>> test = corrected_resampled_t(multistage, classical, test_fraction=0.2)
        >>> round(test.statistic, 4), test.df, round(test.p, 4)
        (4.7712, 9.0, 0.001)

    Raises:
        StatisticsError: If lengths differ, a score is not finite or the fraction is not in (0, 1).
    """
    source = "Nadeau & Bengio (2003), Machine Learning 52"
    return _corrected("corrected resampled t", first, second, split_ratio(test_fraction), source)


def corrected_repeated_kfold_t(first: npt.ArrayLike, second: npt.ArrayLike, *, folds: int) -> TestResult:
    """Test whether paired scores of r times repeated k-fold cross-validation differ in mean.

    The variance factor is 1 / (k * r) + 1 / (k - 1), df k * r - 1.

    Source: Bouckaert & Frank (2004), Evaluating the replicability of significance tests, PAKDD, section 3.2.

    Args:
        first: Scores (r * k,), one for every fold of every repeat.
        second: Scores (r * k,) of the other, on the same folds.
        folds: k.

    Returns:
        Statistic t; difference and interval in the unit of the scores.

    Raises:
        StatisticsError: If lengths differ, a score is not finite or the number of scores is no multiple of k >= 2.
    """
    one, other = pair(first, second)
    if folds < 2:
        raise expected("folds", "2 or more", folds, "pass the number of folds of the cross-validation")
    if len(one) % folds:
        raise expected(
            "first",
            f"whole repeats of {folds} folds",
            f"{len(one)} scores",
            "pass every fold of every repeat",
        )
    source = "Bouckaert & Frank (2004), PAKDD"
    return _corrected("corrected repeated k-fold t", one, other, split_ratio(1 / folds), source)


def _corrected(
    name: str, first: npt.ArrayLike, second: npt.ArrayLike, ratio: float, source: str
) -> TestResult:
    one, other = pair(first, second)
    undefined = no_test(name, one, other, _ASSUMES, source)
    if undefined is not None:
        return undefined
    difference = one - other
    count, mean = len(difference), float(difference.mean())
    error = float(np.sqrt((1 / count + ratio) * difference.var(ddof=1)))
    reach = float(stats.t.ppf(0.975, count - 1)) * error
    return TestResult(
        name,
        mean / error,
        float(count - 1),
        float(2 * stats.t.sf(abs(mean / error), count - 1)),
        mean,
        mean - reach,
        mean + reach,
        count,
        _ASSUMES,
        source,
        "Two repeats: one degree of freedom." if count == 2 else "",
    )
