from __future__ import annotations

import numpy as np
import pytest
import scikit_posthocs
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from mtl.statistics import StatisticsError, friedman, holm, nemenyi, self_check

NAMES = ["a", "b", "c", "d"]


@settings(deadline=None, max_examples=15)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_agrees_with_statsmodels(p: list[float]) -> None:
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_holm_by_hand() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])


@pytest.mark.parametrize("p", [[0.1, float("nan")], [1.2], [-0.1], []])
def test_holm_asks_for_p_values(p: list[float]) -> None:
    with pytest.raises(StatisticsError, match="`p`"):
        holm(p)


@pytest.mark.parametrize("ties", [False, True])
def test_friedman_agrees_with_scipy(ties: bool) -> None:
    random = np.random.default_rng(0)
    scores = random.normal(size=(9, 4)) + np.arange(4) / 3
    scores = np.round(scores) if ties else scores
    found = friedman(scores, NAMES)
    theirs = stats.friedmanchisquare(*scores.T)
    assert (found.chi2.statistic, found.chi2.p) == pytest.approx((theirs.statistic, theirs.pvalue))
    f = 8 * theirs.statistic / (9 * 3 - theirs.statistic)
    assert found.f.statistic == pytest.approx(f)
    assert found.f.p == pytest.approx(stats.f.sf(f, 3, 24))
    assert self_check(found.chi2).agrees
    assert self_check(found.f).agrees
    assert found.ranks == pytest.approx(stats.rankdata(-scores, axis=1).mean(axis=0))


# Demsar (2006), table 6: AUC of four trees on 14 data sets; its ranks break a tie of the printed 0.975
TREES = np.array([
    [0.763, 0.768, 0.771, 0.798], [0.599, 0.591, 0.590, 0.569], [0.954, 0.971, 0.968, 0.967],
    [0.628, 0.661, 0.654, 0.657], [0.882, 0.888, 0.886, 0.898], [0.936, 0.931, 0.916, 0.931],
    [0.661, 0.668, 0.609, 0.685], [0.583, 0.583, 0.563, 0.625], [0.775, 0.838, 0.866, 0.875],
    [1.000, 1.000, 1.000, 1.000], [0.940, 0.962, 0.965, 0.962], [0.619, 0.666, 0.614, 0.669],
    [0.972, 0.981, 0.97501, 0.975], [0.957, 0.978, 0.946, 0.970],
])  # fmt: skip
TREE_NAMES = ["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"]


def test_the_published_example() -> None:
    found = friedman(TREES, TREE_NAMES)
    assert [round(rank, 3) for rank in found.ranks] == [3.143, 2.0, 2.893, 1.964]
    compared = nemenyi(TREES, TREE_NAMES, alpha=0.1)
    assert compared.critical_difference == pytest.approx(1.12, abs=0.005)  # q 2.291
    assert nemenyi(TREES, TREE_NAMES).critical_difference == pytest.approx(1.25, abs=0.005)  # q 2.569
    assert compared.names[0] == "C4.5+m+cf"
    assert compared.cliques == (("C4.5+m+cf", "C4.5+m", "C4.5+cf"), ("C4.5+cf", "C4.5"))


def test_nemenyi_agrees_with_scikit_posthocs() -> None:
    random = np.random.default_rng(3)
    scores = random.normal(size=(12, 4)) + np.arange(4)
    found = nemenyi(scores, NAMES)
    theirs = scikit_posthocs.posthoc_nemenyi_friedman(scores)
    order = [NAMES.index(name) for name in found.names]
    p = np.array(found.p)
    assert p == pytest.approx(theirs.to_numpy()[np.ix_(order, order)], abs=1e-6)
    apart = np.abs(np.subtract.outer(found.ranks, found.ranks))
    assert ((p < 0.05) == (apart > found.critical_difference)).all()


def test_cliques_are_the_bars_of_the_diagram() -> None:
    rows = [[4, 3, 2, 1]] * 40
    assert nemenyi(rows, NAMES).cliques == ()
    assert nemenyi(rows[:2], NAMES).cliques == (("a", "b", "c", "d"),)
    assert nemenyi(rows[:10], NAMES).cliques == (("a", "b"), ("b", "c"), ("c", "d"))


def test_all_alike_and_all_ordered() -> None:
    level = friedman([[1, 1, 1]] * 4, NAMES[:3])
    assert (level.chi2.p, level.f.p, level.ranks) == (1, 1, (2, 2, 2))
    assert "tie" in level.f.note
    ordered = friedman([[1, 2, 3]] * 4, NAMES[:3])
    assert ordered.f.p == 0
    assert self_check(ordered.f).agrees
    assert nemenyi([[1, 1, 1]] * 4, NAMES[:3]).cliques == (("a", "b", "c"),)
    residue = friedman([[0.1 + 0.2, 0.3, 0.1], [0.3, 0.1 + 0.2, 0.1]], NAMES[:3])
    assert residue.ranks == (1.5, 1.5, 3)


@pytest.mark.parametrize(
    ("scores", "names", "says"),
    [
        ([[1, 2], [2, 1]], ["a", "b"], "compare_pairs"),
        ([[1, 2, 3]], NAMES[:3], "two rows"),
        ([[1, 2, 3], [1, 2, 3]], ["a", "b"], "3 different names"),
        ([[1, 2, 3], [1, 2, 3]], ["a", "b", "b"], "3 different names"),
        ([[1, 2, 3], [1, 2, float("nan")]], NAMES[:3], "finite"),
        ([1, 2, 3], NAMES[:3], "2 dimensions"),
    ],
)
def test_several_says_what_it_needs(scores: list[list[float]], names: list[str], says: str) -> None:
    for test in (friedman, nemenyi):
        with pytest.raises(StatisticsError, match=says):
            test(scores, names)
