"""Three ways from pictures to a bag: against sums and products by hand; order and empty places change nothing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.bag_settings import BagSettings
from stages.learners.bags.aggregate import Aggregate, noisy_or

RULES = ("mean", "noisy-or", "attention")


def make(rule: str, classes: int = 2) -> Aggregate:
    torch.manual_seed(0)
    return Aggregate(4, classes, BagSettings.model_validate({"aggregate": rule, "width": 8})).eval()


def probabilities(count: int, classes: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(classes), count)


@given(st.integers(1, 6), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_noisy_or_of_two_classes_is_the_chance_that_one_draw_is_positive(count: int, seed: int) -> None:
    single = probabilities(count, 2, seed)
    # By hand: all ways in which the pictures may turn out, those with a positive one added up.
    hand = sum(
        np.prod([single[place, side] for place, side in enumerate(way)])
        for way in itertools.product((0, 1), repeat=count)
        if any(way)
    )
    told = noisy_or(torch.from_numpy(single).log()[None], torch.ones(1, count, dtype=torch.bool))[0].exp()
    np.testing.assert_allclose(told.numpy(), [1 - hand, hand], atol=2e-5)


@given(st.integers(1, 6), st.integers(2, 5), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_noisy_or_of_many_classes_is_what_its_definition_says(count: int, classes: int, seed: int) -> None:
    single = probabilities(count, classes, seed)
    some = 1 - np.prod(1 - single[:, 1:], axis=0)
    none = np.prod(single[:, 0])
    hand = np.array([none, *((1 - none) * some / some.sum())])
    told = noisy_or(torch.from_numpy(single).log()[None], torch.ones(1, count, dtype=torch.bool))[0].exp()
    np.testing.assert_allclose(told.numpy(), hand, atol=2e-5)
    assert float(told.sum()) == pytest.approx(1, abs=1e-6)


def test_the_mean_is_the_mean_of_what_is_said_of_each_picture() -> None:
    network = make("mean", 3)
    features = torch.randn(1, 5, 4)
    each = torch.stack(
        [network(features[:, place : place + 1], torch.ones(1, 1, dtype=torch.bool)).logs.exp()[0] for place in range(5)]
    )  # fmt: skip
    told = network(features, torch.ones(1, 5, dtype=torch.bool))
    np.testing.assert_allclose(told.logs.exp()[0].detach(), each.mean(dim=0).detach(), atol=1e-6)
    answer = int(told.logs.argmax())
    gave = each[:, answer] / each[:, answer].sum()
    np.testing.assert_allclose(told.weights[0].detach(), gave.detach(), atol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_order_and_empty_places_change_nothing(rule: str) -> None:
    network = make(rule, 3)
    features = torch.randn(1, 6, 4)
    there = torch.tensor([[True, True, False, True, False, True]])
    told = network(features, there)
    order = torch.tensor([5, 3, 1, 0])
    packed = network(features[:, order], torch.ones(1, 4, dtype=torch.bool))
    torch.testing.assert_close(told.logs, packed.logs)
    torch.testing.assert_close(told.weights[:, order], packed.weights)
    assert told.weights[0, [2, 4]].tolist() == [0, 0]
    assert float(told.weights.detach().sum()) == pytest.approx(1, abs=1e-5)
    assert float(told.logs.detach().exp().sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_it_learns_even_from_bags_that_are_sure(rule: str) -> None:
    network = make(rule)
    with torch.no_grad():
        network.classify.bias.copy_(torch.tensor([-60.0, 60.0]))
    told = network(torch.randn(2, 30, 4), torch.ones(2, 30, dtype=torch.bool))
    loss = -told.logs[:, 0].mean()
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(value.grad).all() for value in network.parameters() if value.grad is not None)
