"""Everything that decides what `mtl export` writes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from segmentation.settings import Settings

__all__ = ["ExportModel", "Format"]

Format = Literal["onnx", "openvino", "torch"]


class ExportModel(Settings):
    """How a model is exported."""

    format: Format = Field(
        "onnx", description="onnx, openvino (model.xml and model.bin) or torch (torch.export)"
    )
    int8: bool = Field(False, description="ONNX in eight bits, too, with what that costs in accuracy")
    chain: str | None = Field(None, description="chain of the run, such as 1,3; its first if not given")
    stage: int | None = Field(None, ge=1, le=3, description="stage; all that trained a network if not given")
    images: int = Field(
        50, ge=1, le=10_000, description="test images that must be answered alike, evenly spread"
    )
    calibration: int = Field(
        100, ge=1, le=10_000, description="training images that eight bits are fitted to"
    )
