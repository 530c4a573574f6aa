from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mtl.statistics import StatisticsError, TestResult, paired_t, self_check, wilcoxon

CLASSICAL = [89.17, 90.28, 87.31, 90.12, 89.35, 88.72, 87.39, 92.43, 89.32, 88.85]
MULTISTAGE = [93.45, 95.23, 92.82, 94.73, 92.38, 93.85, 95.03, 93.73, 94.39, 94.52]

scores = st.integers(0, 52).map(lambda hits: hits / 52)
pairs = st.lists(st.tuples(scores, scores), min_size=3, max_size=12)


def test_paired_t_gives_what_table_v_gives() -> None:
    found = paired_t(MULTISTAGE, CLASSICAL)
    assert f"{found.statistic:.4f}" == "8.9261"
    assert f"{found.p:.2e}" == "9.13e-06"
    assert (round(found.low, 3), round(found.high, 3)) == (3.523, 5.915)
    assert found.df == 9
    assert found.n == 10


def test_wilcoxon_gives_what_table_v_gives() -> None:
    found = wilcoxon(MULTISTAGE, CLASSICAL)
    assert f"{found.p:.6f}" == "0.001953"
    assert found.statistic == 0
    assert self_check(found).agrees


@settings(deadline=None, max_examples=60)
@given(pairs)
def test_swapping_turns_the_sign_alone(drawn: list[tuple[float, float]]) -> None:
    a, b = zip(*drawn, strict=True)
    for test in (paired_t, wilcoxon):
        there, back = test(a, b), test(b, a)
        assert there.p == pytest.approx(back.p, nan_ok=True)
        assert there.difference == pytest.approx(-back.difference, nan_ok=True)
        assert (there.low, there.high) == pytest.approx((-back.high, -back.low), nan_ok=True)
        assert self_check(there).agrees is not False


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9))
def test_wilcoxon_with_ties_counts_all_sign_patterns(drawn: list[int]) -> None:
    moved = np.array([value for value in drawn if value])
    found = wilcoxon(drawn, np.zeros(len(drawn)))
    if not len(moved):
        assert found.p == 1
        return
    ranks = stats.rankdata(np.abs(moved))
    sums = [np.dot(signs, ranks) for signs in itertools.product((0, 1), repeat=len(moved))]
    half = ranks.sum() / 2
    far = abs(ranks[moved > 0].sum() - half)
    assert found.p == pytest.approx(np.mean([abs(value - half) >= far - 1e-9 for value in sums]))


@pytest.mark.parametrize("count", [5, 20, 50, 80])
def test_wilcoxon_agrees_with_scipy(count: int) -> None:
    random = np.random.default_rng(count)
    a, b = random.normal(0.2, 1, count), random.normal(0, 1, count)
    theirs = stats.wilcoxon(a, b, method="exact" if count <= 50 else "auto")
    ours = wilcoxon(a, b)
    assert ours.statistic == theirs.statistic
    assert ours.p == pytest.approx(theirs.pvalue, rel=1e-9)


def test_wilcoxon_is_not_misled_by_rounding_residue() -> None:
    a, b = np.array([0.9, 0.8, 0.7, 0.3]), np.array([0.8, 0.7, 0.6, 0.2])
    assert wilcoxon(a, b).p == 2 / 16
    assert "Ties" in wilcoxon(a, b).note


@pytest.mark.parametrize("count", [6, 12, 60])
def test_wilcoxon_interval_holds_the_shifts_that_are_not_rejected(count: int) -> None:
    random = np.random.default_rng(3)
    a, b = random.normal(0.5, 1, count), np.zeros(count)
    found = wilcoxon(a, b)
    for end, outward in ((found.low, -1e-7), (found.high, 1e-7)):
        assert wilcoxon(a - end - outward, b).p <= 0.05 + (count > 50) * 0.001
        assert wilcoxon(a - end + outward, b).p > 0.05 - (count > 50) * 0.001
    assert found.low < found.difference < found.high


def test_one_pair_permits_no_test_and_says_so() -> None:
    found = paired_t([0.9], [0.8])
    assert np.isnan(found.p)
    assert found.difference == pytest.approx(0.1)
    assert "One repeat" in found.note
    assert self_check(found).agrees is None
    assert wilcoxon([0.9], [0.8]).p == 1


def test_two_pairs_have_one_degree_of_freedom() -> None:
    found = paired_t([0.9, 0.8], [0.8, 0.75])
    assert found.p == pytest.approx(stats.ttest_rel([0.9, 0.8], [0.8, 0.75]).pvalue)
    assert "one degree" in found.note
    assert wilcoxon([0.9, 0.8], [0.8, 0.75]).p == 0.5
    assert np.isnan(wilcoxon([0.9, 0.8], [0.8, 0.75]).low)


def test_equal_differences_have_no_variance() -> None:
    found = paired_t([0.3, 0.2, 0.7], [0.2, 0.1, 0.6])
    assert np.isnan(found.p)
    assert np.isnan(found.statistic)
    assert "without variance" in found.note
    assert found.difference == pytest.approx(0.1)


def test_no_difference_at_all_is_p_one() -> None:
    for test in (paired_t, wilcoxon):
        found = test([0.3, 0.2, 0.7], [0.3, 0.2, 0.7])
        assert (found.statistic, found.p, found.difference, found.low, found.high) == (0, 1, 0, 0, 0)
        assert self_check(found).agrees
        assert test([0.0, 0.0], [0.0, 0.0]).p == 1


@pytest.mark.parametrize("test", [paired_t, wilcoxon])
@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        ([0.1, float("nan")], [0.1, 0.2], "finite"),
        ([0.1, 0.2], [0.1, float("inf")], "`second`"),
        ([0.1, 0.2, 0.3], [0.1, 0.2], "as long as `first`"),
        ([], [], "non-empty"),
        ([[0.1, 0.2]], [[0.1, 0.2]], "shape"),
        (["a"], ["b"], "numbers"),
    ],
)
def test_bad_input_is_one_sentence(test: object, a: list[float], b: list[float], says: str) -> None:
    assert callable(test)
    with pytest.raises(StatisticsError, match=r"^Expected `.+` to be .+, but got .+; do .+") as caught:
        test(a, b)
    assert says in str(caught.value)


def test_self_check_flags_what_paper_a_prints() -> None:
    found = self_check(TestResult("paper A", 0.85310, 18, 0.0001), decimals=4)
    assert found.agrees is False
    assert found.recomputed == pytest.approx(0.4048, abs=1e-4)
    assert "does not agree" in found.sentence
    assert not self_check(TestResult("paper A", 0.85310, 18, 0.0001)).agrees


def test_self_check_accepts_a_rounded_p() -> None:
    assert self_check(TestResult("t", 2.1009, 18, 0.05), decimals=2).agrees
    assert self_check(TestResult("chi2", 3.8415, 1, 0.05, distribution="chi2"), decimals=3).agrees
    assert self_check(TestResult("z", 1.96, None, 0.05, distribution="normal"), decimals=3).agrees
    assert self_check(TestResult("F", 4.1028, (2, 10), 0.05, distribution="F"), decimals=3).agrees


def test_self_check_asks_for_df_that_fit() -> None:
    with pytest.raises(StatisticsError, match="two positive"):
        self_check(TestResult("F", 4.1, 2, 0.05, distribution="F"))
    with pytest.raises(StatisticsError, match="one number"):
        self_check(TestResult("t", 4.1, None, 0.05))
