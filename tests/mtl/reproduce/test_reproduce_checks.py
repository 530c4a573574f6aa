"""The arithmetic check against scores of real counts: nothing is found in true ones, and every planted error is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.reproduce.checks import check_paper, check_values
from mtl.reproduce.published import Paper

COUNTS = {"sick": 60, "well": 90}


def paper(*tables: dict[str, Any], **more: Any) -> Paper:
    known = {
        "letter": "Z",
        "title": "made up",
        "config": "default",
        "systems": {"net": "resnet18"},
        "not_ours": [],
    }
    return Paper.model_validate({**known, "tables": tables, **more})  # fmt: skip


def counted(hits: int, false: int, **changed: float) -> Paper:
    """A table of one class with so many hits and false alarms, printed in per cent with two digits."""
    own, rest = COUNTS["sick"], COUNTS["well"]
    exact = {
        "precision": hits / (hits + false), "recall": hits / own, "specificity": (rest - false) / rest,
        "accuracy": (hits + rest - false) / (own + rest),
    }  # fmt: skip
    values = [round(100 * value, 2) + changed.get(name, 0) for name, value in exact.items()]
    return paper(
        {
            "number": "T1", "title": "t", "percent": True, "of": "one-vs-rest", "columns": list(exact), "two_classes": True,
            "counts": COUNTS, "rows": [{"system": "net", "class": "sick", "values": values}],
        }
    )  # fmt: skip


@given(st.integers(1, 60), st.integers(0, 90))
@settings(max_examples=60, deadline=None)
def test_scores_of_true_counts_are_possible(hits: int, false: int) -> None:
    assert check_paper(counted(hits, false)) == ()


@given(
    st.integers(10, 60),
    st.integers(0, 40),
    st.sampled_from(["precision", "accuracy"]),
    st.sampled_from([-0.3, 0.2]),
)
@settings(max_examples=40, deadline=None)
def test_a_planted_error_in_one_score_is_found_and_named(
    hits: int, false: int, name: str, shift: float
) -> None:
    told = check_paper(counted(hits, false, **{name: shift}))
    assert any(f"give a {name} of" in text and "T1" in text for text in told)


@pytest.mark.parametrize("name", ["recall", "specificity"])
def test_a_rate_that_no_count_gives_is_found(name: str) -> None:
    told = check_paper(counted(50, 10, **{name: 0.4}))  # one image more is 1.1 or 1.7 per cent
    assert any("no number of" in text and name in text for text in told)


@pytest.mark.parametrize("seed", range(6))
def test_a_confusion_matrix_with_another_accuracy_is_found(seed: int) -> None:
    matrix = np.random.default_rng(seed).integers(0, 60, (3, 3)) + np.eye(3, dtype=int)
    accuracy = round(float(np.trace(matrix) / matrix.sum()), 4)
    for printed, found in ((accuracy, 0), (round(accuracy + 0.0002, 4), 1)):
        one = {"number": "M", "system": "net", "accuracy": printed, "counts": matrix.tolist()}
        assert len(check_paper(paper(confusions=[one]))) == found


@pytest.mark.parametrize(("right", "found"), [(131, False), (140, False), (139.6, True)])
def test_an_accuracy_is_of_whole_images(right: float, found: bool) -> None:
    table = {
        "number": "T", "title": "t", "percent": True, "of": "macro", "columns": ["accuracy"], "images": 150,
        "rows": [{"system": "net", "values": [round(right / 1.5, 2)]}],
    }  # fmt: skip
    told = check_paper(paper(table))
    assert any("not a whole number" in text for text in told) == found


def test_a_mean_that_is_none_and_a_t_that_its_rows_do_not_give_are_found() -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(0.9, 0.01, 10).round(4), random.normal(0.95, 0.01, 10).round(4)
    from scipy.stats import ttest_ind

    true = ttest_ind(second, first)
    table = {
        "number": "T", "title": "t", "of": "none", "columns": ["a", "b"],
        "rows": [{"name": str(k), "values": pair} for k, pair in enumerate(zip(first, second, strict=True))],
    }  # fmt: skip
    for t, found in ((true.statistic, False), (true.statistic / 2, True)):
        claim = {"t": round(float(t), 4), "df": 18.0, "p": 0.0}
        told = check_paper(paper(table | {"claim": claim}))
        assert any("the rows give t" in text for text in told) == found
    means = {
        "number": "T", "title": "t", "of": "none", "columns": ["a", "b", "mean"], "means": {"mean": ["a", "b"]},
        "rows": [{"name": "true", "values": [0.91, 0.95, 0.93]}, {"name": "false", "values": [0.91, 0.95, 0.94]}],
    }  # fmt: skip
    (text,) = check_paper(paper(means))
    assert "false" in text
    assert "mean is 0.93, printed is 0.94" in text


@given(st.floats(0.05, 1), st.floats(0.05, 1))
def test_an_iou_and_the_dice_of_the_same_masks_fit(iou: float, other: float) -> None:
    dice = 2 * iou / (1 + iou)
    assert not list(check_values({"iou": round(iou, 4), "dice": round(dice, 4)}))
    if other > dice + 0.01:
        assert "no masks give that" in next(check_values({"iou": other, "dice": dice}))
