from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar as reference

from mtl.statistics import StatisticsError, delong_auroc, delong_test, mcnemar, self_check

judged = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40)
scored = st.lists(
    st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 6)), min_size=4, max_size=30
).filter(lambda rows: 2 <= sum(row[0] for row in rows) <= len(rows) - 2)


@settings(deadline=None, max_examples=80)
@given(judged)
def test_mcnemar_agrees_with_statsmodels(drawn: list[tuple[bool, bool]]) -> None:
    a, b = np.array(drawn).T
    table = [[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]]
    found = mcnemar(a, b)
    if table[0][1] + table[1][0]:
        assert found.p == pytest.approx(reference(table, exact=True).pvalue)
    else:
        assert found.p == 1
    assert found.difference == pytest.approx(a.mean() - b.mean())
    assert found.low <= found.difference <= found.high or found.n < 4
    for mid in (False, True):
        there, back = mcnemar(a, b, mid_p=mid), mcnemar(b, a, mid_p=mid)
        assert there.p == pytest.approx(back.p)
        assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
        assert self_check(there).agrees
    assert mcnemar(a, b, mid_p=True).p <= found.p


def test_mid_p_counts_half_of_what_is_as_extreme() -> None:
    def split(ours: int, theirs: int) -> float:
        a = [1] * ours + [0] * theirs + [1] * 5
        b = [0] * ours + [1] * theirs + [1] * 5
        return mcnemar(a, b, mid_p=True).p

    for ours, theirs in ((6, 1), (1, 8), (3, 3), (0, 4)):
        trials = ours + theirs
        mass = stats.binom.pmf(np.arange(trials + 1), trials, 0.5)
        far = np.abs(2 * np.arange(trials + 1) - trials)
        seen = abs(ours - theirs)
        assert split(ours, theirs) == pytest.approx(mass[far > seen].sum() + mass[far == seen].sum() / 2)


def test_mcnemar_on_the_published_example() -> None:
    # Fagerland et al. (2013), airway hyper-responsiveness: 1 against 7 of 21, exact 0.0703, mid-p 0.0391
    a = [1] * 1 + [1] * 1 + [0] * 7 + [0] * 12
    b = [1] * 1 + [0] * 1 + [1] * 7 + [0] * 12
    assert mcnemar(a, b).p == pytest.approx(0.0703, abs=5e-5)
    assert mcnemar(a, b, mid_p=True).p == pytest.approx(0.0391, abs=5e-5)


def _by_definition(labels: list[bool], scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Placement values one image at a time, as DeLong et al. (1988) define them."""
    ours = [score for score, label in zip(scores, labels, strict=True) if label]
    theirs = [score for score, label in zip(scores, labels, strict=True) if not label]

    def above(x: float, y: float) -> float:
        return 1.0 if x > y else 0.5 if x == y else 0.0

    return (
        np.array([np.mean([above(x, y) for y in theirs]) for x in ours]),
        np.array([np.mean([above(x, y) for x in ours]) for y in theirs]),
    )


@settings(deadline=None, max_examples=60)
@given(scored)
def test_delong_agrees_with_its_definition(drawn: list[tuple[bool, int, int]]) -> None:
    labels = [row[0] for row in drawn]
    a, b = np.array([row[1] for row in drawn], float), np.array([row[2] for row in drawn], float)
    (a10, a01), (b10, b01) = _by_definition(labels, a), _by_definition(labels, b)
    single = delong_auroc(labels, a)
    assert single.value == pytest.approx(roc_auc_score(labels, a))
    variance = a10.var(ddof=1) / len(a10) + a01.var(ddof=1) / len(a01)
    assert single.error == pytest.approx(np.sqrt(variance), abs=1e-9)
    both = (a10 - b10).var(ddof=1) / len(a10) + (a01 - b01).var(ddof=1) / len(a01)
    found, back = delong_test(labels, a, b), delong_test(labels, b, a)
    assert found.difference == pytest.approx(a10.mean() - b10.mean(), abs=1e-12)
    if both > 1e-12:
        assert found.statistic == pytest.approx(found.difference / np.sqrt(both), abs=1e-9)
    assert found.p == pytest.approx(back.p, nan_ok=True)
    assert found.statistic == pytest.approx(-back.statistic, nan_ok=True)
    assert self_check(found).agrees is not False


def test_delong_intervals_cover_what_they_say() -> None:
    random, truth, covered = np.random.default_rng(0), float(stats.norm.cdf(1 / np.sqrt(2))), 0
    labels = np.repeat([1, 0], 60)
    for _ in range(1500):
        found = delong_auroc(labels, random.normal(size=120) + labels)
        covered += found.low <= truth <= found.high
    assert 0.925 <= covered / 1500 <= 0.965


def test_delong_without_variance() -> None:
    labels, perfect, level = [0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], [0.5] * 4
    found = delong_auroc(labels, perfect)
    assert found.value == 1
    assert np.isnan(found.low)
    assert "perfect separation" in found.note
    assert delong_auroc(labels, level).value == 0.5
    assert delong_test(labels, perfect, perfect).p == 1
    assert np.isnan(delong_test(labels, perfect, level).p)


@pytest.mark.parametrize(
    ("labels", "scores", "says"),
    [
        ([1, 1, 1], [0.1, 0.2, 0.3], "each class"),
        ([0, 1, 1], [0.1, 0.2, 0.3], "each class"),
        ([0, 1, 2], [0.1, 0.2, 0.3], "0 or 1"),
        ([0, 0, 1, 1], [0.1, 0.2, 0.3], "as long as"),
        ([0, 0, 1, 1], [0.1, 0.2, 0.3, float("nan")], "finite"),
    ],
)
def test_delong_says_what_it_needs(labels: list[int], scores: list[float], says: str) -> None:
    with pytest.raises(StatisticsError, match=says):
        delong_auroc(labels, scores)
    with pytest.raises(StatisticsError, match=says):
        delong_test(labels, scores, scores)


def test_mcnemar_asks_for_right_or_wrong() -> None:
    with pytest.raises(StatisticsError, match=r"right \(1\) or wrong \(0\)"):
        mcnemar([1, 0, 2], [1, 0, 1])
    with pytest.raises(StatisticsError, match="as long as"):
        mcnemar([1, 0], [1, 0, 1])
