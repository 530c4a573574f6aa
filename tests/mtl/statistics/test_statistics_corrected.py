from __future__ import annotations

import baycomp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.weightstats import CompareMeans

from mtl.statistics import (
    StatisticsError,
    bayesian_correlated_t,
    corrected_repeated_kfold_t,
    corrected_resampled_t,
    five_by_two_f,
    five_by_two_t,
    fraction_of,
    independent_t,
    paired_t,
    self_check,
    welch_t,
)

CLASSICAL = [89.17, 90.28, 87.31, 90.12, 89.35, 88.72, 87.39, 92.43, 89.32, 88.85]
MULTISTAGE = [93.45, 95.23, 92.82, 94.73, 92.38, 93.85, 95.03, 93.73, 94.39, 94.52]

scores = st.integers(0, 52).map(lambda hits: hits / 52)
pairs = st.lists(st.tuples(scores, scores), min_size=10, max_size=10)


def test_independent_t_gives_what_table_v_gives() -> None:
    found = independent_t(MULTISTAGE, CLASSICAL)
    assert f"{found.statistic:.4f}" == "8.5310"
    assert found.df == 18
    assert f"{found.p:.2e}" == "9.70e-08"
    assert self_check(found).agrees


def test_corrected_t_gives_what_table_v_gives() -> None:
    found = corrected_resampled_t(MULTISTAGE, CLASSICAL, test_fraction=0.2)
    assert f"{found.statistic:.4f}" == "4.7712"
    assert found.df == 9
    assert f"{found.p:.5f}" == "0.00101"
    assert self_check(found).agrees


def test_welch_and_pooled_agree_with_statsmodels() -> None:
    compared = CompareMeans.from_data(MULTISTAGE, CLASSICAL[:7])
    for ours, usevar in ((independent_t, "pooled"), (welch_t, "unequal")):
        found = ours(MULTISTAGE, CLASSICAL[:7])
        statistic, p, df = compared.ttest_ind(usevar=usevar)
        assert (found.statistic, found.p, found.df) == pytest.approx((statistic, p, df))
        assert (found.low, found.high) == pytest.approx(compared.tconfint_diff(usevar=usevar))
        assert self_check(found).agrees
        assert found.n == 17
        theirs = stats.ttest_ind(MULTISTAGE, CLASSICAL[:7], equal_var=usevar == "pooled")
        assert (found.statistic, found.p) == pytest.approx((theirs.statistic, theirs.pvalue))


def test_one_sample_may_be_without_variance() -> None:
    assert welch_t([0.0, 1 / 52], [1 / 52, 1 / 52]).df == 1
    assert independent_t([0.0, 1 / 52], [1 / 52, 1 / 52]).statistic == pytest.approx(-1)


def test_correction_is_the_published_factor() -> None:
    naive = paired_t(MULTISTAGE, CLASSICAL)
    resampled = corrected_resampled_t(MULTISTAGE, CLASSICAL, test_fraction=fraction_of(90, 10))
    kfold = corrected_repeated_kfold_t(MULTISTAGE, CLASSICAL, folds=5)
    assert naive.statistic / resampled.statistic == pytest.approx(np.sqrt((1 / 10 + 10 / 90) / (1 / 10)))
    assert naive.statistic / kfold.statistic == pytest.approx(np.sqrt((1 / 10 + 1 / 4) / (1 / 10)))
    assert (resampled.high - resampled.low) / (naive.high - naive.low) == pytest.approx(
        naive.statistic / resampled.statistic
    )


@settings(deadline=None, max_examples=60)
@given(pairs)
def test_swapping_turns_the_sign_alone(drawn: list[tuple[float, float]]) -> None:
    a, b = (np.array(side) for side in zip(*drawn, strict=True))
    found = [
        (independent_t(a, b), independent_t(b, a)),
        (welch_t(a, b), welch_t(b, a)),
        (corrected_resampled_t(a, b, test_fraction=0.2), corrected_resampled_t(b, a, test_fraction=0.2)),
        (corrected_repeated_kfold_t(a, b, folds=5), corrected_repeated_kfold_t(b, a, folds=5)),
        (five_by_two_t(a.reshape(5, 2), b.reshape(5, 2)), five_by_two_t(b.reshape(5, 2), a.reshape(5, 2))),
        (five_by_two_f(a.reshape(5, 2), b.reshape(5, 2)), five_by_two_f(b.reshape(5, 2), a.reshape(5, 2))),
    ]
    for there, back in found:
        assert there.p == pytest.approx(back.p, nan_ok=True)
        assert there.difference == pytest.approx(-back.difference, abs=1e-12)
        assert (there.low, there.high) == pytest.approx((-back.high, -back.low), nan_ok=True, abs=1e-12)
        assert self_check(there).agrees is not False
    one = bayesian_correlated_t(a, b, test_fraction=0.2)
    other = bayesian_correlated_t(b, a, test_fraction=0.2)
    assert (one.first, one.equal, one.second) == pytest.approx((other.second, other.equal, other.first))
    assert one.first + one.equal + one.second == pytest.approx(1)


def test_five_by_two_t_by_hand() -> None:
    # differences 2 0, 1 1, 3 1, 0 2, 1 3: s^2 = 2, 0, 2, 2, 2, sum 8; t = 2 / sqrt(8 / 5)
    difference = np.array([[2, 0], [1, 1], [3, 1], [0, 2], [1, 3]])
    found = five_by_two_t(difference, np.zeros((5, 2)))
    assert found.statistic == pytest.approx(2 / np.sqrt(1.6))
    assert found.p == pytest.approx(2 * stats.t.sf(1.5811388, 5))
    assert found.difference == pytest.approx(1.4)
    # sum of squares 4 + 1 + 1 + 9 + 1 + 4 + 1 + 9 = 30; F = 30 / (2 * 8)
    combined = five_by_two_f(difference, np.zeros((5, 2)))
    assert combined.statistic == pytest.approx(30 / 16)
    assert combined.p == pytest.approx(stats.f.sf(1.875, 10, 5))
    assert combined.df == (10, 5)


def test_five_by_two_f_does_not_hang_on_the_order_of_folds() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=(5, 2)), random.normal(size=(5, 2))
    assert five_by_two_f(a, b).p == pytest.approx(five_by_two_f(a[:, ::-1], b[:, ::-1]).p)
    assert five_by_two_t(a, b).p != pytest.approx(five_by_two_t(a[:, ::-1], b[:, ::-1]).p)


def test_five_by_two_without_variance() -> None:
    level = np.full((5, 2), 0.3)
    for test in (five_by_two_t, five_by_two_f):
        assert test(level, level).p == 1
        assert np.isnan(test(level, level - 0.1).p)
        assert "without variance" in test(level, level - 0.1).note
        with pytest.raises(StatisticsError, match=r"shape \(5, 2\)"):
            test(level[:4], level[:4])
        with pytest.raises(StatisticsError, match="finite"):
            test(level, level * np.nan)


@pytest.mark.parametrize("runs", [1, 2])
@pytest.mark.parametrize("rope", [0.01, 0.5, 0])
def test_bayesian_t_agrees_with_baycomp(runs: int, rope: float) -> None:
    random = np.random.default_rng(4)
    a, b = random.normal(0.3, 1, 10), random.normal(0, 1, 10)
    theirs = baycomp.CorrelatedTTest(b, a, rope, runs).probs()
    ours = bayesian_correlated_t(a, b, test_fraction=runs / 10, rope=rope)
    expected = theirs if rope else (theirs[0], 0, theirs[1])
    assert (ours.second, ours.equal, ours.first) == pytest.approx(expected, abs=1e-12)


def test_credible_and_corrected_intervals_are_the_same_numbers() -> None:
    posterior = bayesian_correlated_t(MULTISTAGE, CLASSICAL, test_fraction=0.2, rope=1)
    test = corrected_resampled_t(MULTISTAGE, CLASSICAL, test_fraction=0.2)
    assert (posterior.low, posterior.high) == pytest.approx((test.low, test.high))
    assert posterior.first > 0.99


def test_one_repeat_and_no_variance() -> None:
    single = bayesian_correlated_t([0.9], [0.8], test_fraction=0.2)
    assert np.isnan(single.first)
    assert "One repeat" in single.note
    point = bayesian_correlated_t([0.9, 0.8], [0.8, 0.7], test_fraction=0.2)
    assert (point.first, point.equal, point.second) == (1, 0, 0)
    same = bayesian_correlated_t([0.9, 0.8], [0.9, 0.8], test_fraction=0.2, rope=0)
    assert (same.first, same.equal, same.second) == (0, 1, 0)
    assert np.isnan(corrected_resampled_t([0.9], [0.8], test_fraction=0.2).p)
    assert np.isnan(corrected_resampled_t([0.9, 0.8], [0.8, 0.7], test_fraction=0.2).p)
    assert corrected_resampled_t([0.9, 0.8], [0.9, 0.8], test_fraction=0.2).p == 1
    assert "one degree" in corrected_resampled_t([0.9, 0.8], [0.8, 0.75], test_fraction=0.2).note
    assert np.isnan(independent_t([0.9], [0.8, 0.7]).p)
    assert np.isnan(welch_t([0.9, 0.9], [0.8, 0.8]).p)
    assert independent_t([0.9, 0.9], [0.9, 0.9, 0.9]).p == 1


@pytest.mark.parametrize("share", [0, 1, -0.2, float("nan"), float("inf")])
def test_a_fraction_lies_between_0_and_1(share: float) -> None:
    with pytest.raises(StatisticsError, match=r"`test_fraction` to be between 0 and 1"):
        corrected_resampled_t(MULTISTAGE, CLASSICAL, test_fraction=share)
    with pytest.raises(StatisticsError, match="test_fraction"):
        bayesian_correlated_t(MULTISTAGE, CLASSICAL, test_fraction=share)


def test_other_bad_input() -> None:
    with pytest.raises(StatisticsError, match="folds"):
        corrected_repeated_kfold_t([1, 2], [1, 3], folds=1)
    with pytest.raises(StatisticsError, match="whole repeats of 3"):
        corrected_repeated_kfold_t([1, 2], [1, 3], folds=3)
    with pytest.raises(StatisticsError, match="n_test"):
        fraction_of(10, 0)
    with pytest.raises(StatisticsError, match="rope"):
        bayesian_correlated_t([1, 2], [1, 3], test_fraction=0.2, rope=-1)
