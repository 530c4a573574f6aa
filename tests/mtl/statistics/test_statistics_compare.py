from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.statistics import (
    StatisticsError,
    TestResult,
    bootstrap_difference,
    compare_pairs,
    corrected_resampled_t,
    self_check,
    verdict_of,
)

CLASSICAL = [89.17, 90.28, 87.31, 90.12, 89.35, 88.72, 87.39, 92.43, 89.32, 88.85]
MULTISTAGE = [93.45, 95.23, 92.82, 94.73, 92.38, 93.85, 95.03, 93.73, 94.39, 94.52]
NAMES = {"first_name": "1,2,3", "second_name": "1,3"}

scores = st.integers(0, 52).map(lambda hits: hits / 52)
pairs = st.lists(st.tuples(scores, scores), min_size=1, max_size=12)


def test_table_v_side_by_side() -> None:
    found = compare_pairs(MULTISTAGE, CLASSICAL, test_fraction=0.2, rope=1, points=1, **NAMES)
    assert found.verdict == "1,2,3 beats 1,3 by 4.7 points, 95 % CI [2.5, 7.0], corrected p = 0.001"
    printed = {test.name: f"{test.statistic:.4f}" for test in found.tests}
    assert printed["independent t"] == "8.5310"
    assert printed["paired t"] == "8.9261"
    assert printed["corrected resampled t"] == "4.7712"
    assert next(iter(printed)) == found.main.name == "corrected resampled t"
    assert all(self_check(test).agrees for test in found.tests if test.name != "Wilcoxon signed-rank")
    assert [effect.name for effect in found.effects] == ["d_z", "Cliff's delta"]
    assert found.bayes.first > 0.99
    assert found.power is not None
    assert json.loads(json.dumps(asdict(found)))["repeats"] == 10
    numbers = [
        *asdict(found.effects[0]).values(),
        *asdict(found.bayes).values(),
        *asdict(found.main).values(),
    ]
    assert {type(value) for value in numbers} <= {str, int, float}
    assert (found.first_mean, found.second_mean) == pytest.approx((94.013, 89.294))


@settings(deadline=None, max_examples=60)
@given(pairs, st.sampled_from([0.0, 0.01]))
def test_swapping_swaps_the_verdict(drawn: list[tuple[float, float]], rope: float) -> None:
    a, b = zip(*drawn, strict=True)
    there = compare_pairs(a, b, test_fraction=0.2, rope=rope, first_name="a", second_name="b")
    back = compare_pairs(b, a, test_fraction=0.2, rope=rope, first_name="b", second_name="a")
    if " beats " in there.verdict:
        assert there.verdict == back.verdict
        assert there.main.p < 0.05
    else:
        assert there.verdict.startswith("No difference shown between a and b: ")
        assert back.verdict.startswith("No difference shown between b and a: ")
    assert "nan" not in there.verdict
    assert "-0.0 " not in there.verdict
    assert "\n" not in there.verdict
    assert asdict(there)["repeats"] == len(drawn)


def test_the_loser_may_come_first() -> None:
    found = compare_pairs(CLASSICAL, MULTISTAGE, n_train=208, n_test=52, points=1, rope=1)
    assert found.verdict.startswith("second beats first by 4.7 points, 95 % CI [2.5, 7.0]")
    assert found.main.difference < 0
    assert found.test_fraction == 0.2


def test_what_was_not_shown_comes_with_interval_and_power() -> None:
    random = np.random.default_rng(0)
    a, b = 0.9 + 0.02 * random.normal(size=10), 0.9 + 0.02 * random.normal(size=10)
    said = compare_pairs(a, b, test_fraction=0.2, **NAMES).verdict
    assert re.fullmatch(
        r"No difference shown between 1,2,3 and 1,3: -?[\d.]+ points, 95 % CI \[-[\d.]+, [\d.]+\], "
        r"corrected p = 0\.\d+; power to show 1 point is \d+ %, and no number of repeats lifts it to 80 %",
        said,
    )
    wide = compare_pairs(a, b, test_fraction=0.2, rope=0.05, **NAMES)
    assert re.search(r"power to show 5 points is \d+ %(, 80 % needs \d+ repeats)?$", wide.verdict)


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        (
            [0.9],
            [0.88],
            "No difference shown between 1,2,3 and 1,3: 2.0 points, but one repeat permits no test",
        ),
        ([0.9, 0.8], [0.9, 0.8], "No difference shown between 1,2,3 and 1,3: all 2 differences are zero"),
        (
            [0.9, 0.8, 0.7],
            [0.89, 0.79, 0.69],
            "No difference shown between 1,2,3 and 1,3: 1.0 points, but all 3 differences are equal: without variance there is no test",
        ),
    ],
)
def test_verdicts_where_no_test_can_be_made(a: list[float], b: list[float], says: str) -> None:
    found = compare_pairs(a, b, test_fraction=0.2, **NAMES)
    assert found.verdict == says
    assert found.power is None


def test_two_repeats_have_a_verdict() -> None:
    found = compare_pairs([0.9, 0.8], [0.88, 0.79], test_fraction=0.2, **NAMES)
    assert found.verdict.startswith("No difference shown")
    assert found.repeats == 2


def test_folds_choose_the_test() -> None:
    kfold = compare_pairs(MULTISTAGE, CLASSICAL, folds=5)
    assert kfold.main.name == "corrected repeated k-fold t"
    assert kfold.test_fraction == 0.2
    assert len(kfold.tests) == 5
    halves = compare_pairs(MULTISTAGE, CLASSICAL, folds=2)
    assert [test.name for test in halves.tests[-2:]] == ["5x2cv t", "5x2cv F"]


@pytest.mark.parametrize(
    "splits",
    [
        {},
        {"n_train": 10},
        {"test_fraction": 0.2, "folds": 5},
        {"test_fraction": 0.2, "n_train": 8, "n_test": 2},
        {"folds": 1},
        {"test_fraction": 1.5},
        {"n_train": 0, "n_test": 2},
        {"test_fraction": 0.2, "points": 0},
        {"test_fraction": 0.2, "rope": -1},
    ],
)
def test_bad_arguments_are_one_sentence(splits: dict[str, Any]) -> None:
    with pytest.raises(StatisticsError, match=r"^Expected `.+` to be .+, but got .+; do .+"):
        compare_pairs(MULTISTAGE, CLASSICAL, **splits)


def test_holm_decides_where_it_is_given() -> None:
    result = corrected_resampled_t(MULTISTAGE, CLASSICAL, test_fraction=0.2)
    said = verdict_of(result, "a", "b", points=1, adjusted_p=0.06)
    assert (
        said
        == "No difference shown between a and b: 4.7 points, 95 % CI [2.5, 7.0], corrected p (Holm-adjusted) = 0.06"
    )
    assert verdict_of(result, "a", "b", points=1, adjusted_p=0.0).endswith("< 0.001")
    with pytest.raises(StatisticsError, match="adjusted_p"):
        verdict_of(result, "a", "b", adjusted_p=2)


def test_other_tests_have_verdicts_too() -> None:
    result = bootstrap_difference([1.0] * 60, [0.0] * 30 + [1.0] * 30, None)
    assert verdict_of(result, "a", "b").startswith("a beats b by 50.0 points, 95 % CI [")
    assert "group bootstrap p" in verdict_of(result, "a", "b")


@pytest.mark.parametrize(
    ("p", "says"),
    [(0.0499, "= 0.0499"), (0.05, "= 0.05"), (0.0501, "= 0.05"), (0.0004, "< 0.001"), (0.5, "= 0.5")],
)
def test_p_is_never_rounded_across_the_level(p: float, says: str) -> None:
    said = verdict_of(TestResult("t", 2.0, 9, p, 0.01, 0.0004, 0.02, 10), "a", "b")
    assert said.endswith(f"t p {says}")
    assert ("beats" in said) == (p < 0.05)
    assert "[0.04, 2.00]" in said
