from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestPower

from mtl.statistics import (
    StatisticsError,
    bootstrap_difference,
    cliffs_delta,
    cohens_dz,
    corrected_t_power,
    power_limit,
    power_of,
    repeats_needed,
)
from mtl.statistics._noncentral import noncentral_t_cdf
from stages.bootstrap import bootstrap, group_index
from stages.metrics import paired_difference

scores = st.integers(0, 20).map(lambda hits: hits / 20)
pairs = st.lists(st.tuples(scores, scores), min_size=2, max_size=12)


@pytest.mark.parametrize("df", [1, 2, 9, 99])
@pytest.mark.parametrize("value", [-40, -2.26, 0, 0.7, 5, 49])
@pytest.mark.parametrize("shift", [-3, 0, 0.5, 6])
def test_noncentral_t_agrees_with_scipy(df: float, value: float, shift: float) -> None:
    theirs = stats.nct.cdf(value, df, shift)
    if np.isfinite(theirs):
        assert noncentral_t_cdf(value, df, shift) == pytest.approx(theirs, abs=1e-9)


def test_noncentral_t_far_out_is_where_chi_is() -> None:
    far = [noncentral_t_cdf(value, 9, value) for value in (49.9, 50.1, 1e4, 1e8)]
    assert far[0] == pytest.approx(far[1], abs=1e-4)
    assert far[3] == pytest.approx(stats.chi2.sf(9, 9), abs=1e-4)


def test_dz_by_hand_and_its_interval_by_definition() -> None:
    found = cohens_dz([3, 5, 4, 8], [1, 2, 3, 2])  # differences 2 3 1 6
    assert found.value == pytest.approx(3 / np.sqrt(14 / 3))
    statistic = found.value * 2
    assert stats.nct.cdf(statistic, 3, found.low * 2) == pytest.approx(0.975)
    assert stats.nct.cdf(statistic, 3, found.high * 2) == pytest.approx(0.025)


def test_dz_is_defined_for_an_enormous_effect() -> None:
    found = cohens_dz([1.0, 2.0, 3.0001], [0.0, 1.0, 2.0])
    assert found.low < found.value < found.high
    assert found.low > 1000


def test_cliffs_delta_by_hand() -> None:
    assert cliffs_delta([1, 2, 3], [2, 2, 5]).value == pytest.approx((2 - 5) / 9)
    assert cliffs_delta([1, 1], [1, 1]).value == 0
    # Feng & Cliff's variance, term by term
    a, b = np.array([3.0, 5, 6, 9]), np.array([1.0, 4, 5, 7, 2])
    signs = np.array([[np.sign(x - y) for y in b] for x in a])
    delta = signs.mean()
    variance = (
        25 * sum((signs[i].mean() - delta) ** 2 for i in range(4))
        + 16 * sum((signs[:, j].mean() - delta) ** 2 for j in range(5))
        - ((signs - delta) ** 2).sum()
    ) / (4 * 5 * 3 * 4)
    z = 1.959963984540054
    reach = z * np.sqrt(variance * ((1 - delta**2) ** 2 + z**2 * variance))
    found = cliffs_delta(a, b)
    under = 1 - delta**2 + z**2 * variance
    assert found.low == pytest.approx((delta - delta**3 - reach) / under)
    assert found.high == pytest.approx((delta - delta**3 + reach) / under)


def test_cliffs_delta_of_samples_that_do_not_overlap() -> None:
    found = cliffs_delta(np.arange(10) + 20, np.arange(10))
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx((10 - 3.8415) / (10 + 3.8415), abs=1e-4)
    assert "do not overlap" in found.note


@settings(deadline=None, max_examples=60)
@given(pairs)
def test_swapping_turns_effects_round(drawn: list[tuple[float, float]]) -> None:
    a, b = zip(*drawn, strict=True)
    for effect in (cohens_dz, cliffs_delta):
        there, back = effect(a, b), effect(b, a)
        assert (there.value, there.low, there.high) == pytest.approx(
            (-back.value, -back.high, -back.low), nan_ok=True, abs=1e-7, rel=1e-6
        )
        assert not there.low > there.value + 1e-9
        assert not there.high < there.value - 1e-9


def test_effects_without_spread() -> None:
    assert np.isnan(cohens_dz([0.9], [0.8]).value)
    assert np.isnan(cohens_dz([0.3, 0.2], [0.2, 0.1]).value)
    assert cohens_dz([0.3, 0.2], [0.3, 0.2]).value == 0
    assert cliffs_delta([0.9], [0.8]).value == 1
    assert np.isnan(cliffs_delta([0.9], [0.8]).low)


def test_power_without_correlation_is_statsmodels() -> None:
    for repeats in (5, 10, 40):
        ours = corrected_t_power(0.4, 0.7, repeats, test_fraction=1e-12)
        assert ours == pytest.approx(TTestPower().power(0.4 / 0.7, repeats, 0.05), abs=1e-6)
    needed = repeats_needed(0.4, 0.7, test_fraction=1e-12)
    assert needed == np.ceil(TTestPower().solve_power(0.4 / 0.7, power=0.8, alpha=0.05))


def test_power_agrees_with_simulated_correlated_scores() -> None:
    random, repeats, share, shift = np.random.default_rng(1), 10, 0.2, 1.0
    common = random.normal(size=(4000, 1)) * np.sqrt(share)
    drawn = shift + common + random.normal(size=(4000, repeats)) * np.sqrt(1 - share)
    error = np.sqrt((1 / repeats + 0.25) * drawn.var(axis=1, ddof=1))
    hits = np.abs(drawn.mean(axis=1) / error) > stats.t.ppf(0.975, repeats - 1)
    expected = corrected_t_power(shift, np.sqrt(1 - share), repeats, test_fraction=share)
    assert hits.mean() == pytest.approx(expected, abs=0.025)


def test_power_has_a_limit_that_repeats_cannot_pass() -> None:
    assert corrected_t_power(0.01, 0.02, 50_000, test_fraction=0.2) == pytest.approx(
        power_limit(0.01, 0.02, test_fraction=0.2), abs=1e-3
    )
    assert repeats_needed(0.01, 0.02, test_fraction=0.2) is None
    needed = repeats_needed(0.04, 0.02, test_fraction=0.2)
    assert needed is not None
    assert corrected_t_power(0.04, 0.02, needed, test_fraction=0.2) >= 0.8
    assert corrected_t_power(0.04, 0.02, needed - 1, test_fraction=0.2) < 0.8
    assert repeats_needed(1000, 1, test_fraction=0.2) == 2
    assert corrected_t_power(0, 1, 10, test_fraction=0.2) == pytest.approx(0.05)


def test_power_in_one_record() -> None:
    found = power_of(0.01, 0.02, 10, test_fraction=0.2)
    assert found.repeats_needed is None
    assert found.power < found.limit < 0.8


@pytest.mark.parametrize(
    ("arguments", "says"),
    [((0.1, 0.0, 10), "sd"), ((0.1, 1.0, 1), "repeats"), ((float("nan"), 1.0, 10), "difference")],
)
def test_power_says_what_it_needs(arguments: tuple[float, float, int], says: str) -> None:
    with pytest.raises(StatisticsError, match=f"`{says}`"):
        corrected_t_power(*arguments, test_fraction=0.2)
    with pytest.raises(StatisticsError, match="`power`"):
        repeats_needed(0.1, 1, test_fraction=0.2, power=1)


def test_bootstrap_is_the_one_of_the_lower_floor() -> None:
    random = np.random.default_rng(2)
    labels = random.integers(0, 2, 300)
    first, second = random.dirichlet([1, 1], 300), random.dirichlet([1, 1], 300)
    groups = [f"patient {number % 60}" for number in range(300)]
    right = [(probabilities.argmax(1) == labels).astype(float) for probabilities in (first, second)]
    found = bootstrap_difference(*right, groups, resamples=500, seed=7)
    index = group_index(groups, 300)
    difference = right[0] - right[1]
    theirs = bootstrap(lambda weights: weights @ difference / weights.sum(axis=1), index, 500, 7)
    assert (found.difference, found.low, found.high) == pytest.approx((theirs.value, theirs.low, theirs.high))
    metric = paired_difference(labels, first, second, groups, resamples=500, seed=7)
    assert (found.low, found.high) == pytest.approx((metric.low, metric.high))
    assert found.n == 60


def test_bootstrap_swaps_and_agrees_with_its_interval() -> None:
    random = np.random.default_rng(5)
    for shift in (0.0, 0.2, 0.5):
        a, b = random.normal(shift, 1, 80), random.normal(0, 1, 80)
        there, back = bootstrap_difference(a, b, None), bootstrap_difference(b, a, None)
        assert there.p == back.p
        assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
        assert (there.p < 0.05) == (there.low > 0 or there.high < 0)


def test_bootstrap_cases_without_answer() -> None:
    assert bootstrap_difference([1, 0], [1, 0], None).p == 1
    assert np.isnan(bootstrap_difference([1, 1], [1, 0], ["a", "a"]).p)
    assert "too narrow" in bootstrap_difference([1, 1, 0], [1, 0, 1], ["a", "b", "c"]).note
    with pytest.raises(StatisticsError, match="groups"):
        bootstrap_difference([1, 1], [1, 0], ["a"])
    with pytest.raises(StatisticsError, match="resamples"):
        bootstrap_difference([1, 1], [1, 0], None, resamples=10)
