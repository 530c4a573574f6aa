"""Typed settings of learners without epochs: which features of an image, and how a classifier of scikit-learn is tuned on them.

Light on purpose (no torch), so that a configuration is read and checked before anything heavy loads.
"""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from segmentation.settings import Settings

__all__ = ["DEEP", "FEATURES", "ClassicalSettings", "LearnerName"]

LearnerName = Literal[
    "network", "stacked", "svm", "forest", "knn", "bayes", "tree", "boosting", "mlp", "logistic", "vote"
]
DEEP = "deep"
FEATURES = ("colour", "glcm", "glrlm", "lbp", "ldp", "shape", "dost", DEEP)
"""Families of features; see docs/classical.md."""


def _families(value: Any) -> Any:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, (list, tuple)):
        return value
    for name in value:
        if name not in FEATURES:
            near = difflib.get_close_matches(str(name), FEATURES, n=1)
            hint = f"did you mean {near[0]}?" if near else "do choose from them"
            raise ValueError(f"Expected `features` to be of {', '.join(FEATURES)}, but got {name!r}; {hint}")
    return tuple(dict.fromkeys(value))


class ClassicalSettings(Settings):
    """What a learner that is no network sees of an image, and how it is tuned."""

    features: Annotated[tuple[str, ...], BeforeValidator(_families), Field(min_length=1)] = Field(
        ("colour",), description=f"families of features, of {', '.join(FEATURES)}"
    )
    levels: Annotated[int, Field(ge=2, le=256)] = Field(32, description="grey levels of glcm and glrlm")
    distances: Annotated[tuple[Annotated[int, Field(ge=1, le=64)], ...], Field(min_length=1)] = Field(
        (1, 2, 4), description="of the pairs of pixels of glcm, in px of the resized image"
    )
    pool: Literal["avg", "max"] = Field("avg", description="global pooling of deep features")
    reduction: Literal["none", "pca", "lda", "mutual-info"] = Field(
        "none", description="of the standardised features: pca, lda, or the best by mutual-info"
    )
    components: Annotated[int, Field(ge=1, le=65_536)] = Field(
        32, description="that the reduction leaves, at most; lda leaves fewer than there are classes"
    )
    folds: Annotated[int, Field(ge=2, le=100)] = Field(
        4, description="grouped folds inside the training part that tune and calibrate"
    )
    candidates: Annotated[int, Field(ge=1, le=1000)] = Field(
        6, description="settings of a classifier that are tried, at most; 1 takes its first and tunes nothing"
    )
    balance: Literal["none", "weights"] = Field("none", description="class weights")
