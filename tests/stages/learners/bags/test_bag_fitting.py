"""Bags of which one picture decides: every rule learns them, and attention finds the picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stages.bag_settings import BagSettings
from stages.learners.bags.fitting import Bags, Fitted, answer_bags, fit_bags

BAGS = 90


def one_decides(seed: int = 0) -> tuple[Bags, np.ndarray, np.ndarray]:
    """Bags of 2 to 6 pictures of noise; in a positive one, one picture is far out. Returns bags, labels and which picture."""
    random = np.random.default_rng(seed)
    counts = random.integers(2, 7, BAGS)
    labels, which = np.arange(BAGS) % 2, random.integers(0, counts)
    features = [random.normal(size=(count, 5)) for count in counts]
    for bag, (label, place) in enumerate(zip(labels, which, strict=True)):
        features[bag][place, 0] += 8 * label
    return Bags(np.concatenate(features), counts), labels, which


def fit(bags: Bags, labels: np.ndarray, rule: str, validation: int = 15, **other: object) -> Fitted:
    chosen = {"aggregate": rule, "epochs": 40, "width": 16, "learning_rate": 0.01, **other}
    rows = {"train": np.arange(45), "validation": np.arange(45, 45 + validation)}
    return fit_bags(bags, labels, rows, 2, BagSettings.model_validate(chosen), seed=1)


@pytest.mark.parametrize(("rule", "least"), [("mean", 0.6), ("noisy-or", 0.9), ("attention", 0.9)])
def test_every_rule_learns_and_the_deciding_picture_weighs_most(rule: str, least: float) -> None:
    bags, labels, which = one_decides()
    fitted = fit(bags, labels, rule)
    test = np.arange(60, BAGS)
    told = answer_bags(fitted.network, bags, test)
    assert (told.logs.argmax(dim=1).numpy() == labels[test]).mean() >= 0.8
    positive = labels[test] == 1
    found = told.weights.argmax(dim=1).numpy() == which[test]
    assert found[positive].mean() >= least  # one in four at random


def test_the_kept_epoch_is_that_of_the_least_validation_loss() -> None:
    bags, labels, _ = one_decides()
    fitted = fit(bags, labels, "attention", learning_rate=0.1)
    losses = [row["validation_loss"] for row in fitted.history]
    assert fitted.best_epoch == len(losses) - 1 - int(np.argmin(losses[::-1]))
    logs = answer_bags(fitted.network, bags, np.arange(45, 60)).logs
    own = -logs[np.arange(15), labels[45:60]].mean()
    assert float(own) == pytest.approx(min(losses), abs=1e-6)


def test_without_a_validation_part_the_last_epoch_is_kept() -> None:
    bags, labels, _ = one_decides()
    fitted = fit(bags, labels, "mean", validation=0, epochs=4)
    assert fitted.best_epoch == 3
    assert all(set(row) == {"epoch", "train_loss"} for row in fitted.history)


def test_the_seed_decides_and_leaves_other_draws_alone() -> None:
    bags, labels, _ = one_decides()
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, again = (fit(bags, labels, "attention", epochs=3) for _ in range(2))
    assert first.history == again.history
    assert torch.equal(torch.get_rng_state(), before)


def test_bags_know_their_means_and_fill_a_batch() -> None:
    bags = Bags(np.arange(12.0).reshape(6, 2), np.array([1, 3, 2]))
    np.testing.assert_allclose(bags.means(), [[0, 1], [4, 5], [9, 10]])
    features, there = bags.batch([2, 1])
    assert there.tolist() == [[True, True, False], [True, True, True]]
    assert features[0, :2].tolist() == [[8, 9], [10, 11]]
    assert not features[0, 2].any()
    assert Bags(np.empty((0, 2)), np.empty(0, np.int64)).means().shape == (0, 2)
