"""Properties of combinations that hold for all votes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.learners.ensemble.choose import (
    SHARES,
    grid_weights,
    likeliest_weights,
    log_loss,
    on_grid,
    stacked,
    steadiest_weights,
)
from stages.learners.ensemble.combine import Stack, Vote

Drawn = tuple[np.ndarray, np.ndarray]


@st.composite
def votes_and_labels(draw: st.DrawFn) -> Drawn:
    """Votes (M, N, K) on the simplex and labels (N,) in which every class is there."""
    members, count, classes = (draw(st.integers(*span)) for span in ((2, 4), (6, 24), (2, 4)))
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    labels = np.arange(count) % classes
    skill = draw(st.floats(-1, 4))
    raised = np.exp(random.normal(size=(members, count, classes)) + skill * np.eye(classes)[labels])
    return raised / raised.sum(axis=2, keepdims=True), labels


RULES: dict[str, Callable[[np.ndarray, np.ndarray], Vote]] = {
    "grid": lambda votes, labels: on_grid(votes, labels, (0.7,)).combination,  # type: ignore[dict-item,return-value]
    "log-loss": likeliest_weights,
    "macro F1": steadiest_weights,
}


@pytest.mark.parametrize("rule", RULES)
@given(drawn=votes_and_labels())
@settings(max_examples=15, deadline=None)
def test_chosen_weights_are_on_the_simplex_and_so_is_what_they_say(rule: str, drawn: Drawn) -> None:
    votes, labels = drawn
    chosen = RULES[rule](votes, labels)
    assert len(chosen.weights) == len(votes)
    assert min(chosen.weights) >= 0
    assert sum(chosen.weights) == pytest.approx(1, abs=1e-5)
    said = chosen(votes)
    np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-5)
    assert (said >= votes.min(axis=0) - 1e-5).all()
    assert (said <= votes.max(axis=0) + 1e-5).all()


@given(votes_and_labels())
@settings(max_examples=20, deadline=None)
def test_equal_weights_are_the_mean_and_likeliest_ones_are_no_worse(drawn: Drawn) -> None:
    votes, labels = drawn
    equal = Vote(weights=(1,) * len(votes))
    np.testing.assert_allclose(equal(votes), votes.mean(axis=0))
    best = log_loss(likeliest_weights(votes, labels)(votes), labels)
    assert best <= log_loss(equal(votes), labels) + 1e-4
    assert best <= min(log_loss(one, labels) for one in votes) + 1e-4


@pytest.mark.parametrize("rule", ["log-loss", "macro F1"])
@given(drawn=votes_and_labels(), seed=st.integers(0, 99))
@settings(max_examples=12, deadline=None)
def test_the_order_of_the_members_does_not_matter(rule: str, drawn: Drawn, seed: int) -> None:
    votes, labels = drawn
    order = np.random.default_rng(seed).permutation(len(votes))
    here, there = RULES[rule](votes, labels)(votes), RULES[rule](votes[order], labels)(votes[order])
    # Of the lattice's ties another may be taken; what it is chosen by stays.
    assert log_loss(here, labels) == pytest.approx(log_loss(there, labels), abs=1e-4)
    if rule == "log-loss":
        np.testing.assert_allclose(here, there, atol=5e-3)


@given(votes_and_labels(), st.integers(0, 99))
@settings(max_examples=3, deadline=None)
def test_a_stack_does_not_know_its_members_by_their_places(drawn: Drawn, seed: int) -> None:
    votes, labels = drawn
    order = np.random.default_rng(seed).permutation(len(votes))
    groups = np.arange(len(labels))
    here, there = (stacked(own, labels, groups, 0, 2) for own in (votes, votes[order]))
    assert isinstance(here, Stack)
    np.testing.assert_allclose(here(votes), there(votes[order]), atol=1e-3)
    np.testing.assert_allclose(here(votes).sum(axis=1), 1)


@pytest.mark.parametrize("members", [3, 4, 6])
def test_the_grid_of_more_members_treats_them_alike(members: int) -> None:
    grid = {tuple(np.round(vote.weights, 9)) for vote in grid_weights(members)}
    for weights in grid:
        assert weights[1:] + weights[:1] in grid
    shares = {round(share, 9) for share in SHARES}
    assert all(shares & set(weights) or len(set(weights)) == 1 for weights in grid)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=6).filter(lambda own: sum(own) > 1e-3))
def test_given_weights_become_shares(weights: list[float]) -> None:
    shares = Vote(weights=tuple(weights)).weights
    assert sum(shares) == pytest.approx(1)
    assert shares == pytest.approx([weight / sum(weights) for weight in weights])
