"""Everything that decides what `mtl reproduce` runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from segmentation.settings import Seed, Settings

__all__ = ["ReproduceSettings"]


class ReproduceSettings(Settings):
    """How papers are run again."""

    data: Path = Field(description="folder that holds the data sets, each in a folder of its name")
    budget: Annotated[float, Field(ge=0, le=100_000)] = Field(
        60.0,
        description="minutes that all papers together may take on two quiet cores: sizes are scaled for them; 0 for the papers' own sizes",
    )
    weights: Literal["auto", "none"] = Field("auto", description="auto, or none: nothing is pretrained")
    stand_in: tuple[str, ...] = Field(
        (), description="backbones to run instead of those whose weights cannot be had, separated by commas"
    )
    resamples: int = Field(1000, ge=100, le=1_000_000, description="bootstrap resamples over groups")
    seed: Seed = Field(0, description="of splits, training and resamples")

    @field_validator("stand_in", mode="before")
    @classmethod
    def _parted(cls, value: Any) -> Any:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value
