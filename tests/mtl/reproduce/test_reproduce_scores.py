"""Columns of papers against scikit-learn, and the inflation of a leaking split against what is known by construction."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from mtl.reproduce.scores import Said, column_scores, inflation, said_of
from mtl.runs import Predictions

CLASSES = ("normal", "L1", "L2")


def drawn(seed: int, right: float = 0.7, count: int = 240, per_group: int = 1) -> Said:
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    said = np.where(random.random(count) < right, labels, (labels + 1) % 3)
    groups = tuple(f"g{n // per_group}" for n in range(count))
    return Said(CLASSES, labels.astype(np.int64), said.astype(np.int64), groups)


def scores(one: Said, of: str, label: str = "") -> dict[str, float]:
    told = column_scores([one], of, label, resamples=100, seed=0)
    return {name: interval.value for name, interval in told.items()}


def test_macro_columns_are_those_of_scikit_learn() -> None:
    one = drawn(0)
    told = scores(one, "macro")
    p, r, f, _ = precision_recall_fscore_support(one.labels, one.said, average="macro")
    assert told["accuracy"] == pytest.approx(accuracy_score(one.labels, one.said))
    assert (told["precision"], told["recall"], told["f1"]) == pytest.approx((p, r, f))


def test_one_class_and_its_mean_against_the_rest() -> None:
    one = drawn(1)
    parts = []
    for k, label in enumerate(CLASSES):
        true, said = one.labels == k, one.said == k
        by_hand = {
            "precision": (true & said).sum() / said.sum(),
            "recall": (true & said).sum() / true.sum(),
            "specificity": (~true & ~said).sum() / (~true).sum(),
            "accuracy": (true == said).mean(),
        }
        told = scores(one, "one-vs-rest", label)
        assert {name: told[name] for name in by_hand} == pytest.approx(by_hand)
        parts.append(by_hand["accuracy"])
    assert scores(one, "one-vs-rest")["accuracy"] == pytest.approx(np.mean(parts))


def test_detection_takes_all_that_is_not_healthy_together() -> None:
    one = drawn(2)
    told = scores(one, "detection")
    true, said = one.labels != 0, one.said != 0
    assert told["accuracy"] == pytest.approx((true == said).mean())
    assert told["recall"] == pytest.approx((true & said).sum() / true.sum())


def test_an_image_without_an_answer_is_called_nothing() -> None:
    votes = np.array([[0.8, 0.1, 0.1], [0.5, 0.4, 0.1], [0.1, 0.1, 0.8]])
    told = Predictions(CLASSES, ("a", "b", "c"), ("normal", "normal", "L2"), ("a", "b", "c"), (), votes)
    one = said_of(told, 0.7)
    assert one.said.tolist() == [0, -1, 2]
    assert scores(one, "macro")["accuracy"] == pytest.approx(2 / 3)
    assert scores(one, "one-vs-rest", "normal")["recall"] == pytest.approx(1 / 2)
    assert scores(one, "detection")["accuracy"] == pytest.approx(2 / 3)


def test_inflation_is_the_difference_and_its_interval_holds_it() -> None:
    honest, leaking = [drawn(3, 0.6), drawn(4, 0.6)], [drawn(5, 0.9), drawn(6, 0.9)]
    told = inflation(honest, leaking, resamples=400, seed=0)["accuracy"]
    exact = np.mean([(one.said == one.labels).mean() for one in leaking])
    exact -= np.mean([(one.said == one.labels).mean() for one in honest])
    assert told.value == pytest.approx(exact)
    assert 0 < told.low < 0.3 < told.high < 0.6


def test_the_same_draws_give_the_same_numbers_and_groups_widen_them() -> None:
    alone, tied = drawn(7, per_group=1), drawn(7, per_group=20)
    other = [drawn(8)]
    narrow = inflation([alone], other, resamples=400, seed=0)["macro F1"]
    assert narrow == inflation([alone], other, resamples=400, seed=0)["macro F1"]
    wide = inflation([tied], other, resamples=400, seed=0)["macro F1"]
    assert wide.value == narrow.value


def test_nothing_is_gained_where_nothing_leaks() -> None:
    told = inflation([drawn(9)], [drawn(10)], resamples=400, seed=0)["accuracy"]
    assert told.low < 0 < told.high
