"""Everything that decides what `mtl predict` answers and writes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mtl.segment.settings import SegmentImages
from segmentation.settings import Settings

__all__ = ["PredictSmears"]


class PredictSmears(Settings):
    """How smears are answered, and what is written."""

    chain: str | None = Field(None, description="chain of the run, such as 1,3; its first if not given")
    stage: Literal["both", "cells", "fields"] = Field(
        "both",
        description="cells (stage 2), fields (stage 3), or both: those that the run has",
    )
    group_by: str = Field(
        "folder",
        description="what a patient or slide is: folder, regex:PATTERN on names, or a CSV with the columns image and group",
    )
    blast: str | None = Field(
        None,
        description="class of stage 2 that is counted as blasts; the positive class, or lymphoblast, if not given",
    )
    aggregate: Literal["field", "mean", "noisy-or", "attention"] | None = Field(
        None,
        description="how a patient is answered: mean of the fields by stage 3; mean or noisy-or of the cells by stage 2; attention, where "
        "stage 3 learned with it; if not given, as stage 3 learned",
    )
    geojson: bool = Field(True, description="outlines of cells for QuPath, a file an image")
    coco: bool = Field(True, description="outlines of cells of all images as COCO")
    explain: bool = Field(False, description="pictures of where the networks looked")
    segment: SegmentImages = Field(default_factory=SegmentImages)
