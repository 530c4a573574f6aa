"""Pipelines are tuned and calibrated by folds that part no group, and say the same every time."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings, strategies

from stages.classical_settings import ClassicalSettings, LearnerName
from stages.errors import ModelError
from stages.learners.classical.fitting import fit_pipeline, inner_folds

NAMES = ("round", "oval", "lobed")
CLASSIFIERS = [name for name in get_args(LearnerName) if name not in ("network", "stacked", "vote")]


def data(count: int = 90, width: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    features = random.normal(size=(count, width))
    features[:, 0] += 2.5 * labels
    return features, labels, np.arange(count) // 3


@pytest.mark.parametrize("learner", CLASSIFIERS)
def test_every_classifier_learns_gives_probabilities_and_repeats(learner: str) -> None:
    features, labels, groups = data()
    asked = ClassicalSettings(folds=3, candidates=2)
    votes = [
        fit_pipeline(learner, asked, features, labels, groups, NAMES, 5).predict_proba(features)
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*votes)
    np.testing.assert_allclose(votes[0].sum(axis=1), 1)
    new, truth, _ = data(seed=1)
    said = fit_pipeline(learner, asked, features, labels, groups, NAMES, 5).predict(new)
    assert (said == truth).mean() > 0.6


@pytest.mark.parametrize("reduction", ["pca", "lda", "mutual-info"])
def test_reductions_repeat_too(reduction: str) -> None:
    features, labels, groups = data()
    asked = ClassicalSettings(reduction=reduction, components=3, folds=3, candidates=2)
    votes = [
        fit_pipeline("svm", asked, features, labels, groups, NAMES, 5).predict_proba(features) for _ in "12"
    ]
    np.testing.assert_array_equal(*votes)


def test_tuning_finds_the_better_setting() -> None:
    # Two noisy copies of a ring: one neighbour follows the noise, many do not.
    random = np.random.default_rng(3)
    features = random.normal(size=(240, 2))
    labels = (np.hypot(*features.T) > 1.2).astype(int)
    flipped = random.random(240) < 0.25
    labels[flipped] = 1 - labels[flipped]
    asked = ClassicalSettings(folds=4, candidates=99)
    made = fit_pipeline("knn", asked, features, labels, np.arange(240), ("in", "out"), 0)
    assert made.named_steps["classify"].n_neighbors > 5


def test_platts_sigmoid_is_fitted_on_votes_of_the_folds() -> None:
    # Every group is three copies of one image whose label is a coin: folds that part no group see that nothing is known.
    random = np.random.default_rng(0)
    features = np.repeat(random.normal(size=(40, 3)), 3, axis=0)
    labels = np.repeat(random.permutation(np.arange(40) % 2), 3)
    asked = ClassicalSettings(folds=4, candidates=1)
    kept = fit_pipeline("svm", asked, features, labels, np.repeat(np.arange(40), 3), ("a", "b"), 0)
    parted = fit_pipeline("svm", asked, features, labels, np.arange(120), ("a", "b"), 0)
    assert np.abs(kept.predict_proba(features) - 0.5).mean() < 0.15
    assert np.abs(parted.predict_proba(features) - 0.5).mean() > 0.25


@settings(max_examples=40, deadline=None)
@given(
    strategies.lists(
        strategies.tuples(strategies.integers(0, 2), strategies.integers(0, 12)), min_size=6, max_size=60
    ),
    strategies.integers(2, 6),
)
def test_folds_part_no_group_and_train_on_every_class(rows: list[tuple[int, int]], most: int) -> None:
    labels, groups = (np.array(column) for column in zip(*rows, strict=True))
    classes = np.unique(labels)
    if min(len(np.unique(groups[labels == one])) for one in classes) < 2:
        with pytest.raises(ModelError, match=r"^Expected every class"):
            inner_folds(labels, groups, most, NAMES, 0)
        return
    folds = inner_folds(labels, groups, most, NAMES, 0)
    assert len(folds) >= 2
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(rows)))
    for train, test in folds:
        assert not set(groups[train]) & set(groups[test])
        np.testing.assert_array_equal(np.unique(labels[train]), classes)


def test_a_class_of_one_group_is_named() -> None:
    features, labels, groups = data()
    groups = np.where(labels == 2, 99, groups)
    with pytest.raises(ModelError, match="lobed has 1; do leave rare classes out"):
        fit_pipeline("forest", ClassicalSettings(), features, labels, groups, NAMES, 0)
    fit_pipeline("tree", ClassicalSettings(candidates=1), features, labels, groups, NAMES, 0)


def test_one_class_only_is_refused() -> None:
    features, labels, groups = data()
    with pytest.raises(ModelError, match="two classes or more, but got oval alone"):
        fit_pipeline("knn", ClassicalSettings(), features, labels * 0 + 1, groups, NAMES, 0)
    with pytest.raises(ModelError, match="but got no image"):
        fit_pipeline("knn", ClassicalSettings(), features[:0], labels[:0], groups[:0], NAMES, 0)
