"""Typed settings of the learner `stacked`: light on purpose, so that a configuration is read before anything heavy loads."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from segmentation.settings import Settings

__all__ = ["STACKED", "StackedSettings"]

STACKED = "stacked"


class StackedSettings(Settings):
    """What `stacked` sees of an image beside its colours, and how it weighs both."""

    depths: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(gt=0, le=1)]] = Field(
        (0.3, 0.9),
        description="from where to where in the backbone features are taken: 0 is its first layer, 1 its last",
    )
    views: Annotated[tuple[Literal["plain", "grey-world"], ...], Field(min_length=1)] = Field(
        ("plain", "grey-world"),
        description="what the backbone looks at: the image, the image on a grey ground, or both",
    )
    folds: Annotated[int, Field(ge=2, le=100)] = Field(
        4, description="grouped blocks inside the training part that choose strength and weights"
    )
