"""Heads in closed form against scikit-learn, folds and weights against what defines them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from stages.learners.stacked.closed_form import (
    STRENGTHS,
    LeastSquares,
    block_folds,
    choose_temperature,
    log_loss,
    softmax,
    weigh,
)


@pytest.mark.parametrize(("images", "width"), [(40, 6), (12, 30)], ids=["tall", "wide"])
def test_least_squares_are_scikit_learns_ridge_of_balanced_classes(images: int, width: int) -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(images, width)) * random.uniform(0.1, 9, width)
    labels = np.arange(images) % 3 % 2  # one class twice as large as the other
    weight = (images / (2 * np.bincount(labels)))[labels]
    standard = StandardScaler().fit_transform(features)
    centred = standard - np.average(standard, axis=0, weights=weight)
    unit = float((weight[:, None] * centred**2).sum() / images)
    new = random.normal(size=(5, width))
    scaler = StandardScaler().fit(features)
    for strength, head in LeastSquares.path(features, labels, 2).items():
        oracle = Ridge(alpha=strength * unit).fit(standard, np.eye(2)[labels], sample_weight=weight)
        np.testing.assert_allclose(head(new), oracle.predict(scaler.transform(new)), atol=2e-4)


def test_a_class_that_is_absent_gets_no_vote() -> None:
    random = np.random.default_rng(1)
    labels = np.array([0, 2] * 10)
    heads = LeastSquares.path(random.normal(size=(20, 4)), labels, 3)
    assert set(heads) == set(STRENGTHS)
    for head in heads.values():
        np.testing.assert_allclose(head(random.normal(size=(3, 4)))[:, 1], 0, atol=1e-6)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), min_size=1, max_size=60),
    st.integers(2, 5),
)
def test_no_group_is_on_two_sides_and_every_class_trains(rows: list[tuple[int, int]], most: int) -> None:
    labels, groups = (np.array(column) for column in zip(*rows, strict=True))
    folds = block_folds(labels, groups, most)
    assert all(len(np.unique(folds[groups == group])) == 1 for group in groups)
    assert set(folds) == set(range(folds.max() + 1))
    for fold in range(folds.max() + 1 if folds.any() else 0):
        assert set(labels[folds != fold]) == set(labels)


def test_blocks_of_single_images_are_contiguous() -> None:
    labels = np.repeat([0, 1], 8)
    folds = block_folds(labels, np.arange(16), 4)
    assert folds.tolist() == [0, 0, 1, 1, 2, 2, 3, 3] * 2


def test_a_class_of_one_group_leaves_no_folds() -> None:
    assert not block_folds(np.array([0, 0, 1, 1]), np.array([0, 1, 2, 2]), 4).any()


def test_the_temperature_makes_confident_mistakes_cheap() -> None:
    scores = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    sure, _ = choose_temperature(scores, np.array([0, 0, 0, 1]))
    unsure, loss = choose_temperature(scores, np.array([0, 0, 1, 1]))
    assert sure < unsure
    assert loss == pytest.approx(log_loss(softmax(scores, unsure), np.array([0, 0, 1, 1])))


def test_weights_are_the_maximum_of_the_likelihood() -> None:
    random = np.random.default_rng(2)
    labels = random.integers(0, 3, 200)
    opinions = np.stack(
        [softmax(random.normal(size=(200, 3)) + skill * np.eye(3)[labels], 1.0) for skill in (2.0, 1.0)]
    )
    weights = weigh(opinions, labels)
    assert weights.sum() == pytest.approx(1)
    losses = [log_loss(a * opinions[0] + (1 - a) * opinions[1], labels) for a in np.linspace(0, 1, 101)]
    assert log_loss(np.tensordot(weights, opinions, 1), labels) <= min(losses) + 1e-5
