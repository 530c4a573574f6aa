"""Which classifier stands behind a name, and what of it is tried."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from stages.classical_settings import ClassicalSettings, LearnerName
from stages.learners.classical.pipelines import VOTERS, candidates, make_pipeline, members

CLASSIFIERS = [name for name in get_args(LearnerName) if name not in ("network", "stacked", "vote")]


@pytest.mark.parametrize("learner", CLASSIFIERS)
def test_candidates_are_different_valid_and_begin_with_the_usual_one(learner: str) -> None:
    every = candidates(learner, 1000, 10)
    assert len({str(one) for one in every}) == len(every) > 1
    assert candidates(learner, 1, 10) == every[:1]
    some = candidates(learner, 3, 10)
    assert len(some) == 3
    assert some[0] == every[0]
    assert all(one in every for one in some)
    for chosen in every:
        made = make_pipeline(learner, ClassicalSettings(), chosen, (20, 10), 2, 0)
        assert chosen.items() <= made.named_steps["classify"].get_params().items()


def test_the_svms_gamma_goes_with_the_number_of_features() -> None:
    few, many = (sorted({str(one["gamma"]) for one in candidates("svm", 99, width)}) for width in (10, 1000))
    assert few == ["0.03", "0.3", "scale"]
    assert many == ["0.0003", "0.003", "scale"]


def test_voters_are_classifiers() -> None:
    assert members("vote") == VOTERS
    assert set(VOTERS) <= set(CLASSIFIERS)
    assert members("knn") == ("knn",)


@pytest.mark.parametrize(
    ("reduction", "components", "shape", "left"),
    [
        ("pca", 6, (40, 12), 6),
        ("pca", 99, (40, 12), 12),
        ("pca", 99, (7, 12), 7),
        ("lda", 99, (40, 12), 2),
        ("mutual-info", 6, (40, 12), 6),
        ("mutual-info", 99, (40, 12), 12),
        ("none", 6, (40, 12), 12),
    ],
)
def test_a_reduction_leaves_what_there_is_at_most(
    reduction: str, components: int, shape: tuple[int, int], left: int
) -> None:
    random = np.random.default_rng(0)
    features, labels = random.normal(size=shape), np.arange(shape[0]) % 3
    features[:, 0] += labels
    settings = ClassicalSettings(reduction=reduction, components=components)
    made = make_pipeline("bayes", settings, {}, shape, 3, 0).fit(features, labels)
    assert made[:-1].transform(features).shape == (shape[0], left)


def test_class_weights_reach_those_that_know_them() -> None:
    for learner in ("svm", "forest", "tree", "boosting", "logistic"):
        told = make_pipeline(learner, ClassicalSettings(balance="weights"), {}, (20, 5), 2, 0)
        assert told.named_steps["classify"].class_weight == "balanced"
        plain = make_pipeline(learner, ClassicalSettings(), {}, (20, 5), 2, 0)
        assert plain.named_steps["classify"].class_weight is None
