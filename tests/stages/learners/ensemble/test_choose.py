"""Rules against independent oracles: scipy's optimiser, scikit-learn, and counts by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.metrics import log_loss as oracle_loss

from stages.errors import DataError
from stages.learners.ensemble.choose import (
    Chosen,
    cross_fitted,
    deal_folds,
    grid_weights,
    likeliest_weights,
    log_loss,
    on_grid,
    right_of_all,
    stacked,
    steadiest_weights,
)
from stages.learners.ensemble.combine import COMBINATION, LEAST, Stack, Vote


def drawn(
    members: int, count: int = 120, classes: int = 3, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Votes of members of unlike skill, labels, and groups of three images."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    skill = np.linspace(0.5, 2.0, members)[:, None, None]
    logits = random.normal(size=(members, count, classes)) + skill * np.eye(classes)[labels]
    votes = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    return votes, labels, np.arange(count) // 3


def test_the_grid_is_that_of_paper_d() -> None:
    told = {(0.5, 0.5), (0.6, 0.4), (0.4, 0.6), (0.3, 0.7), (0.7, 0.3)}
    assert {vote.weights for vote in grid_weights(2)} == told


@pytest.mark.parametrize("members", [2, 3, 4, 5])
def test_every_weighting_of_a_grid_is_there_once_and_sums_to_one(members: int) -> None:
    grid = [vote.weights for vote in grid_weights(members)]
    assert len({tuple(np.round(weights, 9)) for weights in grid}) == len(grid)
    assert np.allclose([sum(weights) for weights in grid], 1)
    assert len(set(grid[0])) == 1


def test_a_grid_is_chosen_from_by_right_answers_an_image_without_one_counting_as_not_right() -> None:
    votes, labels, _ = drawn(2)
    best = max(
        float(((vote(votes).argmax(1) == labels) & (vote(votes).max(1) >= bound)).mean())
        for vote in grid_weights(2)
        for bound in (0.7, 0.8)
    )
    chosen = on_grid(votes, labels, (0.7, 0.8))
    assert right_of_all(chosen.combination(votes), labels, chosen.threshold) == best
    assert chosen.threshold == 0.7  # a lower one never gives fewer right answers


@pytest.mark.parametrize("members", [2, 3, 4])
def test_likeliest_weights_are_those_of_a_general_optimiser(members: int) -> None:
    votes, labels, _ = drawn(members, seed=members)

    def loss(weights: np.ndarray) -> float:
        return oracle_loss(labels, np.tensordot(weights, votes, axes=1))

    found = minimize(
        loss, np.full(members, 1 / members), bounds=[(0, 1)] * members,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
    )  # fmt: skip
    ours = np.array(likeliest_weights(votes, labels).weights)
    assert loss(ours) <= found.fun + 1e-5
    assert np.allclose(ours, found.x, atol=0.02)


def test_steadiest_weights_are_no_worse_than_any_member_or_equal_ones() -> None:
    votes, labels, _ = drawn(3)
    said = steadiest_weights(votes, labels)(votes)
    reached = f1_score(labels, said.argmax(1), average="macro")
    for other in (*votes, votes.mean(axis=0)):
        assert reached >= f1_score(labels, other.argmax(1), average="macro") - 1e-12


@pytest.mark.parametrize("classes", [2, 3])
def test_a_stack_says_what_scikit_learn_says(classes: int) -> None:
    votes, labels, groups = drawn(2, classes=classes)
    ours = stacked(votes, labels, groups, seed=0, folds=4)
    features = np.concatenate([np.log(np.clip(one, LEAST, 1)) for one in votes], axis=1)
    said = [
        LogisticRegression(C=penalty, max_iter=5000, tol=1e-6).fit(features, labels).predict_proba(features)
        for penalty in (0.01, 0.1, 1.0, 10.0)
    ]
    assert any(np.allclose(ours(votes), one, atol=1e-6) for one in said)


def test_a_stack_that_never_saw_a_class_never_says_it() -> None:
    votes, labels, groups = drawn(2)
    kept = labels != 1
    said = stacked(votes[:, kept], labels[kept], groups[kept], seed=0, folds=3)(votes)
    assert said[:, 1].max() == 0
    assert np.allclose(said.sum(axis=1), 1)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 2)), min_size=4, max_size=40), st.integers(2, 6))
@settings(max_examples=40, deadline=None)
def test_no_group_is_in_two_folds(pairs: list[tuple[int, int]], folds: int) -> None:
    groups, labels = np.array(pairs).T
    if len(set(groups)) < 2:
        with pytest.raises(DataError, match="two groups or more"):
            deal_folds(labels, groups, folds, 0)
        return
    dealt = deal_folds(labels, groups, folds, 0)
    assert all(len(set(dealt[groups == group])) == 1 for group in set(groups))
    assert len(set(dealt)) >= 2


def test_an_image_is_scored_by_what_was_fitted_without_its_group() -> None:
    votes, labels, groups = drawn(2)
    seen: list[set[int]] = []

    def fit(some: np.ndarray, own: np.ndarray, which: np.ndarray) -> Chosen:
        seen.append(set(which.tolist()))
        return Chosen(Vote(weights=(len(seen), 1)), len(seen) / 10)

    said, bounds = cross_fitted(fit, votes, labels, groups, 4, 0)
    for number, known in enumerate(seen, 1):
        held = ~np.isin(groups, list(known))
        assert np.allclose(bounds[held], number / 10)
        assert np.allclose(said[held], Vote(weights=(number, 1))(votes)[held])
    assert sum((~np.isin(groups, list(known))).sum() for known in seen) == len(labels)


def test_log_loss_is_that_of_scikit_learn() -> None:
    votes, labels, _ = drawn(1)
    assert log_loss(votes[0], labels) == pytest.approx(oracle_loss(labels, votes[0]))


def test_a_combination_comes_back_from_its_file_to_the_last_bit() -> None:
    votes, labels, groups = drawn(3)
    for one in (
        Vote(weights=(1, 2, 4)),
        likeliest_weights(votes, labels),
        stacked(votes, labels, groups, 0, 3),
    ):
        again = COMBINATION.validate_json(one.model_dump_json())
        assert isinstance(again, Vote | Stack)
        assert np.array_equal(again(votes), one(votes))


def test_weights_without_a_sum_are_refused() -> None:
    with pytest.raises(ValueError, match="positive sum"):
        Vote(weights=(0, 0))
