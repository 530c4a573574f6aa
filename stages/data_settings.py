"""Typed settings of the images of a stage, and of tests elsewhere.

Light on purpose (no torch), so that a configuration is read and checked before anything heavy loads.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from segmentation.settings import Settings

__all__ = ["DataSettings", "ExternalSettings", "SourceSettings"]

OnBadFile = Annotated[
    Literal["stop", "leave-out"],
    Field(description="a damaged image stops the run, or is left out and named in the report"),
]


class SourceSettings(Settings):
    """One data set, and what of it is used."""

    dataset: str = Field("", description="name in `mtl data list`")
    root: Path | None = Field(None, description="its folder or file; none for rendered smears")
    labels: Literal["fab", "detection"] | None = Field(
        None, description="of all-idb1: FAB classes from `fab.csv`, or normal and leukaemia"
    )
    rename: dict[str, str] = Field({}, description="class of every label that is called otherwise here")
    drop: tuple[str, ...] = Field((), description="labels to leave out")
    share: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="fraction of the images of every class, evenly spread"
    )
    limit: Annotated[int, Field(ge=1)] | None = Field(
        None, description="at most so many images a class, evenly spread"
    )

    @model_validator(mode="before")
    @classmethod
    def _asked(cls, value: Any) -> Any:
        # Stage 3 asks for FAB classes (paper A) and says so in the resolved configuration; what lies in the folder decides nothing.
        if isinstance(value, dict) and value.get("dataset") == "all-idb1" and not value.get("labels"):
            return value | {"labels": "fab"}
        return value


class DataSettings(SourceSettings):
    """Which images a stage learns from: one data set, or several `sources`."""

    sources: tuple[SourceSettings, ...] = Field((), description="several data sets, instead of `dataset`")
    classes: Literal["same", "shared", "all"] = Field(
        "same",
        description="of several sources: each must hold every class; what one lacks is left out; or is kept",
    )
    positive: str | None = Field(None, description="make it two classes: this one against all others")
    on_bad_file: OnBadFile = "stop"
    least_groups: Annotated[int, Field(ge=1)] = Field(
        3, description="a class in fewer patients, slides or images without either is rare"
    )
    rare: Literal["stop", "drop", "merge"] = Field(
        "stop",
        description="rare classes: stop where a split cannot hold them, leave them out, or make them one, `rare`",
    )
    groups: Literal["known", "ignore"] = Field(
        "known",
        description="ignore: split as if every image were alone, which leaks; for measuring by how much, no more",
    )

    @model_validator(mode="after")
    def _one_or_several(self) -> DataSettings:
        own = self.model_fields_set & set(SourceSettings.model_fields)
        given = sorted(
            name for name in own if getattr(self, name) != SourceSettings.model_fields[name].default
        )
        if self.sources and given:
            raise ValueError(
                f"Expected `data` to name `sources` or one data set, but got both (`{given[0]}`); do write it at a source"
            )
        if not self.sources and not self.dataset:
            raise ValueError(
                "Expected `data` to name a `dataset` or several `sources`, but got neither; do name one of `mtl data list`"
            )
        if any(not source.dataset for source in self.sources):
            raise ValueError(
                "Expected every entry of `sources` to name a `dataset`, but one does not; do name one of `mtl data list`"
            )
        return self

    def each(self) -> tuple[SourceSettings, ...]:
        """Return the sources, one or more."""
        return self.sources or (self,)

    def with_roots(self, roots: Sequence[Path | None]) -> DataSettings:
        """Return the same with other folders, one a source."""
        moved = [one.model_copy(update={"root": root}) for one, root in zip(self.each(), roots, strict=True)]
        return self.model_copy(update={"sources": tuple(moved)} if self.sources else {"root": roots[0]})


class ExternalSettings(SourceSettings):
    """A data set that no stage has seen, and what a finished stage is scored on."""

    stage: Literal[1, 2, 3] | None = Field(
        None, description="which stage is scored; the last of a chain if none"
    )
    on_bad_file: OnBadFile = "stop"
    seen: Literal["stop", "leave-out"] = Field(
        "stop", description="images that were trained on stop the run, or are left out"
    )

    @model_validator(mode="after")
    def _named(self) -> ExternalSettings:
        if not self.dataset or self.root is None:
            got = (
                f"{self.dataset or 'no dataset'} without a folder" if self.root is None else "a folder alone"
            )
            raise ValueError(
                f"Expected every entry of `tests` to name a `dataset` and its `root`, but got {got}; do give both"
            )
        return self
