"""Two score vectors in, everything a report says about them out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy.typing as npt

from mtl.statistics._checks import Floats, fraction, pair
from mtl.statistics._errors import expected
from mtl.statistics._result import TestResult
from mtl.statistics.bayes import BayesianResult, bayesian_correlated_t
from mtl.statistics.corrected import corrected_repeated_kfold_t, corrected_resampled_t, fraction_of
from mtl.statistics.effects import EffectSize, cliffs_delta, cohens_dz
from mtl.statistics.five_by_two import five_by_two_f, five_by_two_t
from mtl.statistics.independent import independent_t, welch_t
from mtl.statistics.paired import differences_of, paired_t, wilcoxon
from mtl.statistics.power import Power, power_of
from mtl.statistics.verdict import verdict_of

__all__ = ["Comparison", "compare_pairs"]


@dataclass(frozen=True)
class Comparison:
    """Two methods on the same splits. Differences are first minus second, in the unit of the scores.

    Attributes:
        first_name: Of the first method.
        second_name: Of the second.
        first_mean: Mean score.
        second_mean: Mean score.
        first_sd: Standard deviation over repeats; NaN with one.
        second_sd: The same of the second.
        repeats: J.
        test_fraction: Share of every split that is tested.
        main: The test that decides: corrected resampled t, or corrected repeated k-fold t.
        tests: All tests, `main` first.
        effects: d_z and Cliff's delta.
        bayes: Posterior probabilities with the region of practical equivalence.
        power: To show a difference as large as the ROPE; None if it is 0 or there is no variance.
        verdict: One plain sentence.
    """

    first_name: str
    second_name: str
    first_mean: float
    second_mean: float
    first_sd: float
    second_sd: float
    repeats: int
    test_fraction: float
    main: TestResult
    tests: tuple[TestResult, ...]
    effects: tuple[EffectSize, ...]
    bayes: BayesianResult
    power: Power | None
    verdict: str


def compare_pairs(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    test_fraction: float | None = None,
    n_train: int | None = None,
    n_test: int | None = None,
    folds: int | None = None,
    rope: float = 0.01,
    first_name: str = "first",
    second_name: str = "second",
    points: float = 100.0,
) -> Comparison:
    """Run every test that applies to two methods' scores on the same splits.

    The corrected resampled t decides; with `folds`, the corrected repeated k-fold t. Five repeats of two folds (J = 10,
    folds = 2, repeat by repeat) also get the 5x2cv tests. The other tests are there to be compared with what papers print.

    Source: see each test.

    Args:
        first: Scores (J,), more is better (negate an error).
        second: Scores (J,) of the other, on the same splits.
        test_fraction: Share of every split that is tested; or give both counts, or `folds`.
        n_train: Images (groups, where splits are over groups) trained on in a split.
        n_test: Images (groups) tested in a split.
        folds: k, if the scores are of (repeated) k-fold cross-validation; the tested fraction is then 1 / k.
        rope: Differences up to this are practically none, in the unit of the scores.
        first_name: Of the first method, for the verdict.
        second_name: Of the second.
        points: Points in one unit of the score: 100 for scores from 0 to 1, 1 for scores in per cent.

    Raises:
        StatisticsError: If lengths differ, a score is not finite, or not exactly one of `test_fraction`, both counts and
            `folds` is given.
    """
    one, other = pair(first, second)
    share = _share(test_fraction, n_train, n_test, folds)
    if folds is None:
        main = corrected_resampled_t(one, other, test_fraction=share)
    else:
        main = corrected_repeated_kfold_t(one, other, folds=folds)
    tests = [main, *(test(one, other) for test in (paired_t, wilcoxon, independent_t, welch_t))]
    if folds == 2 and len(one) == 10:
        tests += [test(one.reshape(5, 2), other.reshape(5, 2)) for test in (five_by_two_t, five_by_two_f)]
    bayes = bayesian_correlated_t(one, other, test_fraction=share, rope=rope)
    sd = _sd(differences_of(one, other))
    power = power_of(rope, sd, len(one), test_fraction=share) if rope > 0 and sd > 0 else None
    return Comparison(
        first_name,
        second_name,
        float(one.mean()),
        float(other.mean()),
        _sd(one),
        _sd(other),
        len(one),
        share,
        main,
        tuple(tests),
        (cohens_dz(one, other), cliffs_delta(one, other)),
        bayes,
        power,
        verdict_of(main, first_name, second_name, points=points, power=power),
    )


def _sd(values: Floats) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def _share(test_fraction: float | None, n_train: int | None, n_test: int | None, folds: int | None) -> float:
    given = [test_fraction is not None, n_train is not None or n_test is not None, folds is not None]
    if sum(given) == 1:
        if test_fraction is not None:
            return fraction(test_fraction, "test_fraction")
        if n_train is not None and n_test is not None:
            return fraction_of(n_train, n_test)
        if folds is not None:
            return 1 / max(folds, 2)  # a number of folds below 2 is refused by the test itself
    names = ("test_fraction", "n_train", "n_test", "folds")
    values = (test_fraction, n_train, n_test, folds)
    got = ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True) if value is not None)
    raise expected(
        "test_fraction",
        "the one description of the splits",
        got or "none",
        "pass it, both counts, or `folds`",
    )
