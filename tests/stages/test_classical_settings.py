"""What may be asked of learners that are no network."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from stages.classical_settings import ClassicalSettings
from stages.settings import StageSettings


def stage(**keys: Any) -> StageSettings:
    return StageSettings.model_validate({"data": {"dataset": "pbc"}, **keys})


def test_features_are_a_list_or_text() -> None:
    asked = ClassicalSettings.model_validate({"features": " glcm, lbp,glcm "})
    assert asked.features == ("glcm", "lbp")
    assert ClassicalSettings.model_validate({"features": ["deep"]}).features == ("deep",)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("glcn", "'glcn'; did you mean glcm"),
        ("gabor", "'gabor'; do choose"),
        ("", "at least 1 item"),
        (7, "valid tuple"),
    ],
)
def test_unknown_features_are_named_with_the_nearest(given: object, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ClassicalSettings.model_validate({"features": given})


def test_shape_asks_for_cells_on_black() -> None:
    asked = {"learner": "svm", "classical": {"features": ["shape"]}}
    for segment in ({}, {"method": "otsu-saturation", "use": "crop"}):
        with pytest.raises(ValidationError, match="white cells on black for the feature shape"):
            stage(**asked, preprocess={"segment": segment})
    stage(**asked, preprocess={"segment": {"method": "otsu-saturation"}})
    stage(classical=asked["classical"])  # a network does not look at it


@pytest.mark.parametrize("learner", ["knn", "mlp"])
def test_class_weights_are_refused_where_they_would_do_nothing(learner: str) -> None:
    with pytest.raises(ValidationError, match=f"none for {learner}"):
        stage(learner=learner, classical={"balance": "weights"})
    assert stage(learner="svm", classical={"balance": "weights"}).classical.balance == "weights"


def test_who_needs_a_backbone_and_how_it_is_pooled() -> None:
    assert stage().needs_backbone
    assert not stage(learner="svm").needs_backbone
    deep = stage(learner="svm", classical={"features": "lbp,deep", "pool": "max"}, head={"pool": "avg"})
    assert deep.needs_backbone
    assert deep.pool == "max"
    assert stage(classical={"pool": "max"}).pool == "avg"
