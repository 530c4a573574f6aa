"""Each statistic once more, on drawn numbers, against SciPy, statsmodels, scikit-posthocs, baycomp or its formula in few lines."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import baycomp
import numpy as np
import pytest
import scikit_posthocs
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW, ttest_ind

from mtl.statistics import (
    StatisticsError,
    TestResult,
    bayesian_correlated_t,
    bootstrap_difference,
    cliffs_delta,
    cohens_dz,
    compare_pairs,
    corrected_repeated_kfold_t,
    corrected_resampled_t,
    corrected_t_power,
    delong_auroc,
    delong_test,
    five_by_two_f,
    five_by_two_t,
    fraction_of,
    friedman,
    independent_t,
    mcnemar,
    nemenyi,
    paired_t,
    power_limit,
    repeats_needed,
    self_check,
    welch_t,
    wilcoxon,
)
from mtl.statistics._checks import is_flat, scale_of
from mtl.statistics._result import binomial_p, signed_rank_counts
from mtl.statistics.paired import differences_of

SEEDS = st.integers(0, 10_000)


def drawn(seed: int, count: int = 12, shift: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    common = random.normal(0.8, 0.05, count)
    return common + random.normal(shift, 0.02, count), common + random.normal(0, 0.02, count)


# --- tests of a difference in mean -----------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(3, 30))
def test_the_paired_t_is_that_of_two_libraries(seed: int, count: int) -> None:
    one, other = drawn(seed, count)
    found = paired_t(one, other)
    theirs = stats.ttest_rel(one, other)
    described = DescrStatsW(one - other)
    assert (found.statistic, found.p) == pytest.approx((theirs.statistic, theirs.pvalue))
    assert (found.statistic, found.p, found.df) == pytest.approx(described.ttest_mean(0))
    assert (found.low, found.high) == pytest.approx(described.tconfint_mean(0.05))


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(2, 20), st.integers(2, 20))
def test_unpaired_tests_are_those_of_two_libraries(seed: int, rows: int, columns: int) -> None:
    random = np.random.default_rng(seed)
    one, other = random.normal(0.8, 0.1, rows), random.normal(0.7, 0.2, columns)
    for test, pooled, usevar in ((independent_t, True, "pooled"), (welch_t, False, "unequal")):
        found = test(one, other)
        theirs = stats.ttest_ind(one, other, equal_var=pooled)
        assert (found.statistic, found.p, found.df) == pytest.approx(
            (theirs.statistic, theirs.pvalue, theirs.df)
        )
        assert (found.statistic, found.p, found.df) == pytest.approx(ttest_ind(one, other, usevar=usevar))
        low, high = theirs.confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((low, high))


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(3, 40), st.floats(0.05, 0.6))
def test_the_corrected_t_is_the_paired_one_shrunk(seed: int, count: int, share: float) -> None:
    one, other = drawn(seed, count)
    plain, corrected = paired_t(one, other), corrected_resampled_t(one, other, test_fraction=share)
    shrink = np.sqrt((1 / count) / (1 / count + share / (1 - share)))
    assert corrected.statistic == pytest.approx(plain.statistic * shrink)
    assert corrected.p >= plain.p
    width, wide = plain.high - plain.low, corrected.high - corrected.low
    assert width == pytest.approx(wide * shrink)
    assert corrected.difference == pytest.approx(plain.difference)


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(2, 10), st.integers(1, 4))
def test_kfold_is_the_resampled_t_of_one_in_k(seed: int, folds: int, repeats: int) -> None:
    one, other = drawn(seed, folds * repeats)
    kfold = corrected_repeated_kfold_t(one, other, folds=folds)
    resampled = corrected_resampled_t(one, other, test_fraction=1 / folds)
    assert (kfold.statistic, kfold.p, kfold.low) == pytest.approx(
        (resampled.statistic, resampled.p, resampled.low)
    )


@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_the_tested_fraction_of_counts(trained: int, tested: int) -> None:
    share = fraction_of(trained, tested)
    assert share / (1 - share) == pytest.approx(tested / trained)


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_five_times_two_folds_by_their_formulas(seed: int) -> None:
    one, other = (scores.reshape(5, 2) for scores in drawn(seed, 10))
    gained = one - other
    spread = ((gained - gained.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    t, f = five_by_two_t(one, other), five_by_two_f(one, other)
    assert t.statistic == pytest.approx(gained[0, 0] / np.sqrt(spread.mean()), rel=1e-6)
    assert t.p == pytest.approx(2 * stats.t(5).sf(abs(t.statistic)))
    assert f.statistic == pytest.approx((gained**2).sum() / (2 * spread.sum()), rel=1e-6)
    assert f.p == pytest.approx(stats.f(10, 5).sf(f.statistic))


# --- ranks -----------------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(6, 14))
def test_signed_ranks_are_exact_as_in_scipy(seed: int, count: int) -> None:
    one, other = drawn(seed, count)
    theirs = stats.wilcoxon(one, other, method="exact")
    found = wilcoxon(one, other)
    assert (found.statistic, found.p) == pytest.approx((theirs.statistic, theirs.pvalue))
    walsh = [(a + b) / 2 for a, b in itertools.combinations_with_replacement(one - other, 2)]
    assert found.difference == pytest.approx(np.median(walsh), abs=1e-9)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_sign_patterns_are_counted_one_by_one(ranks: list[int]) -> None:
    sums = [
        sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign)
        for signs in itertools.product((0, 1), repeat=len(ranks))
    ]
    counts = signed_rank_counts(ranks)
    assert sum(counts) == 2 ** len(ranks)
    assert counts == [sums.count(total) for total in range(len(counts))]


@given(st.integers(0, 40), st.integers(0, 40))
def test_a_fair_coin_is_scipys(heads: int, tails: int) -> None:
    if heads + tails:
        expected = stats.binomtest(heads, heads + tails).pvalue
        assert binomial_p(heads, heads + tails, mid=False) == pytest.approx(expected)
        point = stats.binom.pmf(heads, heads + tails, 0.5)
        mid = expected - point if heads != tails else 1 - point / 2
        assert binomial_p(heads, heads + tails, mid=True) == pytest.approx(mid)


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(3, 20), st.integers(3, 7))
def test_friedman_and_nemenyi_are_those_of_libraries(seed: int, rows: int, methods: int) -> None:
    table = np.random.default_rng(seed).normal(size=(rows, methods))
    names = [f"m{place}" for place in range(methods)]
    theirs = stats.friedmanchisquare(*table.T)
    found = friedman(table, names)
    assert (found.chi2.statistic, found.chi2.p) == pytest.approx((theirs.statistic, theirs.pvalue))
    ranks = stats.rankdata(-table, axis=1).mean(axis=0)
    np.testing.assert_allclose(found.ranks, ranks)
    pairs = nemenyi(table, names)
    expected = scikit_posthocs.posthoc_nemenyi_friedman(table).to_numpy()
    order = [names.index(name) for name in pairs.names]
    np.testing.assert_allclose(np.array(pairs.p), expected[np.ix_(order, order)], atol=1e-4)
    for clique in pairs.cliques:
        own = [pairs.ranks[pairs.names.index(name)] for name in clique]
        assert max(own) - min(own) <= pairs.critical_difference + 1e-9


@pytest.mark.parametrize(
    ("methods", "q"), [(3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (8, 3.031), (10, 3.164)]
)
def test_critical_values_are_those_of_demsars_table_5(methods: int, q: float) -> None:
    table = np.random.default_rng(0).normal(size=(20, methods))
    found = nemenyi(table, [str(place) for place in range(methods)]).critical_difference
    assert found == pytest.approx(q * np.sqrt(methods * (methods + 1) / (6 * 20)), abs=2e-3)


# --- posterior, effects, power ---------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(3, 30), st.floats(0, 0.05))
def test_the_posterior_is_baycomps(seed: int, count: int, rope: float) -> None:
    one, other = drawn(seed, count)
    found = bayesian_correlated_t(one, other, test_fraction=0.1, rope=rope)
    # baycomp takes runs of k folds and counts rho as 1 / k; here: one run of ten folds a score
    theirs = baycomp.two_on_single(one, other, rope=rope, runs=count / 10) if count % 10 == 0 else None
    density = stats.t(count - 1, found.mean, found.scale)
    assert found.first == pytest.approx(density.sf(rope), abs=1e-9)
    assert found.second == pytest.approx(density.cdf(-rope), abs=1e-9)
    assert found.first + found.equal + found.second == pytest.approx(1)
    assert density.cdf(found.high) - density.cdf(found.low) == pytest.approx(0.95)
    if theirs is not None and rope > 0:
        assert (found.second, found.equal, found.first) == pytest.approx(theirs[::-1], abs=1e-6)


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.integers(5, 25))
def test_the_interval_of_dz_holds_the_noncentralities_of_scipy(seed: int, count: int) -> None:
    one, other = drawn(seed, count)
    found = cohens_dz(one, other)
    t = found.value * np.sqrt(count)
    for end, probability in ((found.low, 0.975), (found.high, 0.025)):
        # At the end itself: looking for it, SciPy comes by shifts where its own distribution is NaN.
        assert stats.nct.cdf(t, count - 1, end * np.sqrt(count)) == pytest.approx(probability, abs=1e-5)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(2, 15), st.integers(2, 15))
def test_cliffs_delta_is_twice_the_auroc_less_one(seed: int, rows: int, columns: int) -> None:
    random = np.random.default_rng(seed)
    one, other = random.integers(0, 6, rows).astype(float), random.integers(0, 6, columns).astype(float)
    area = roc_auc_score([1] * rows + [0] * columns, [*one, *other])
    found = cliffs_delta(one, other)
    assert found.value == pytest.approx(2 * area - 1)
    u = stats.mannwhitneyu(one, other).statistic
    assert found.value == pytest.approx(2 * u / (rows * columns) - 1)
    assert -1 <= found.low <= found.value <= found.high <= 1


@settings(max_examples=15, deadline=None)
@given(st.floats(0.1, 2), st.integers(2, 60), st.floats(0.05, 0.5))
def test_power_is_that_of_a_t_test_with_a_smaller_effect(effect: float, repeats: int, share: float) -> None:
    found = corrected_t_power(effect, 1.0, repeats, test_fraction=share)
    smaller = effect / np.sqrt(1 + repeats * share / (1 - share))
    assert found == pytest.approx(TTestPower().power(smaller, repeats, 0.05), abs=1e-6)
    assert found <= power_limit(effect, 1.0, test_fraction=share) + 1e-9


@settings(max_examples=10, deadline=None)
@given(st.floats(0.8, 4), st.floats(0.05, 0.3))
def test_the_repeats_that_are_needed_are_the_fewest(effect: float, share: float) -> None:
    needed = repeats_needed(effect, 1.0, test_fraction=share)
    if needed is None:
        assert power_limit(effect, 1.0, test_fraction=share) <= 0.8 + 1e-3
        return
    assert corrected_t_power(effect, 1.0, needed, test_fraction=share) >= 0.8
    if needed > 2:
        assert corrected_t_power(effect, 1.0, needed - 1, test_fraction=share) < 0.8


# --- predictions -----------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(8, 60))
def test_delong_is_its_double_sum(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    labels = np.r_[0, 0, 1, 1, random.integers(0, 2, count)]
    one, other = (labels + random.normal(0, s, len(labels)) for s in (1.0, 2.0))
    one = one.round(1)

    def parts(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        up, down = scores[labels == 1][:, None], scores[labels == 0][None]
        wins = (up > down) + 0.5 * (up == down)
        return wins.mean(axis=1), wins.mean(axis=0)

    found = delong_auroc(labels, one)
    ups, downs = parts(one)
    assert found.value == pytest.approx(roc_auc_score(labels, one))
    assert found.error**2 == pytest.approx(ups.var(ddof=1) / len(ups) + downs.var(ddof=1) / len(downs))
    test = delong_test(labels, one, other)
    variance = sum(np.var(a - b, ddof=1) / len(a) for a, b in zip(parts(one), parts(other), strict=True))
    if variance > 1e-12:
        assert test.statistic == pytest.approx((ups.mean() - parts(other)[0].mean()) / np.sqrt(variance))
        assert test.p == pytest.approx(2 * stats.norm.sf(abs(test.statistic)))


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(5, 80))
def test_mcnemars_interval_holds_its_difference_and_its_p_its_counts(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    one, other = random.random(count) < 0.9, random.random(count) < 0.7
    found = mcnemar(one, other)
    assert found.difference == pytest.approx(one.mean() - other.mean())
    assert -1 <= found.low <= found.high <= 1
    swapped = mcnemar(other, one)
    assert (swapped.p, swapped.low, swapped.high) == pytest.approx((found.p, -found.high, -found.low))
    assert mcnemar(one, other, mid_p=True).p <= found.p


@settings(max_examples=8, deadline=None)
@given(SEEDS)
def test_the_group_bootstrap_of_single_images_is_scipys_percentile(seed: int) -> None:
    one, other = drawn(seed, 60)
    found = bootstrap_difference(one, other, None, resamples=4000, seed=1)
    theirs = stats.bootstrap(
        (one - other,), np.mean, n_resamples=4000, method="percentile", random_state=2, vectorized=True
    ).confidence_interval
    width = theirs.high - theirs.low
    assert found.low == pytest.approx(theirs.low, abs=0.1 * width)
    assert found.high == pytest.approx(theirs.high, abs=0.1 * width)


# --- what they share -------------------------------------------------------------------------------------------------

PAIRED: list[Callable[[np.ndarray, np.ndarray], TestResult]] = [paired_t, wilcoxon, independent_t, welch_t]


@pytest.mark.parametrize("test", PAIRED, ids=lambda test: test.__name__)
@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, factor=st.floats(0.01, 100), offset=st.floats(-5, 5))
def test_another_unit_changes_no_p(
    test: Callable[[np.ndarray, np.ndarray], TestResult], seed: int, factor: float, offset: float
) -> None:
    one, other = drawn(seed)
    plain, scaled = test(one, other), test(one * factor + offset, other * factor + offset)
    assert scaled.p == pytest.approx(plain.p, rel=1e-4)
    assert scaled.difference == pytest.approx(plain.difference * factor, rel=1e-4, abs=1e-9)


@settings(max_examples=10, deadline=None)
@given(
    SEEDS,
    st.sampled_from([{"test_fraction": 0.2}, {"folds": 5}, {"folds": 2}, {"n_train": 80, "n_test": 20}]),
)
def test_every_test_of_a_comparison_agrees_with_itself_and_no_other_p_does(
    seed: int, splits: dict[str, float]
) -> None:
    one, other = drawn(seed, 10)
    found = compare_pairs(one, other, **splits)  # type: ignore[arg-type]
    for test in found.tests:
        check = self_check(test)
        assert check.agrees in (True, None)
        if check.agrees:
            assert self_check(replace(test, p=test.p * 0.9)).agrees is False
    assert len(found.tests) == (7 if splits == {"folds": 2} else 5)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8), st.floats(-1e3, 1e3))
def test_adding_one_number_to_all_is_flat(values: list[float], offset: float) -> None:
    base = np.array(values)
    moved = base + offset
    assert is_flat(np.full(4, offset), scale_of(base, moved))
    settled = differences_of(moved, base)
    assert len(np.unique(settled)) <= 1 or np.ptp(settled) <= 1e-9 * scale_of(base, moved)


def test_a_density_that_is_written_down_sums_to_one() -> None:
    one, other = drawn(3)
    found = bayesian_correlated_t(one, other, test_fraction=0.2)
    total, _ = integrate.quad(stats.t(found.df, found.mean, found.scale).pdf, -5, 5, points=[found.mean])
    assert total == pytest.approx(1, abs=1e-6)


def test_a_share_of_wins_has_the_interval_of_a_proportion_where_ties_are_none() -> None:
    # Of 100 images that only one model gets right the first gets 65: Wilson's interval of the share excludes one half,
    # and so does McNemar's test at 5 %.
    one = np.r_[np.ones(65), np.zeros(35), np.ones(200)]
    other = np.r_[np.zeros(65), np.ones(35), np.ones(200)]
    low, _ = proportion_confint(65, 100, method="wilson")
    assert (low > 0.5) == (mcnemar(one, other).p < 0.05)
    with pytest.raises(StatisticsError, match="right"):
        mcnemar(one * 2, other)
