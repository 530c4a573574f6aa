"""Typed settings of what a stage answers for where that is not an image: the cells of a field, or the images of a patient.

Light on purpose (no torch), so that a configuration is read and checked before anything heavy loads.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from segmentation.settings import Settings

__all__ = ["CELLS", "FIELD", "PATIENT", "BagSettings", "Bagging", "Unit"]

FIELD: Final = "field"
CELLS: Final = "cells"
PATIENT: Final = "patient"
Unit = Literal["field", "cells", "patient"]


class Bagging(Settings):
    """How a bag is made: several pictures, of which one thing is known.

    Attributes:
        unit: Whether they are the white cells of a field, or the images of a patient.
        most: Pictures in a bag, at most: the largest cells, or images evenly spread.
        frame: Side of a cell's picture in parts of the longer side of its box.
    """

    unit: Literal["cells", "patient"]
    most: int
    frame: float


class BagSettings(Settings):
    """How the answer for a bag comes from its pictures; see docs/bags.md."""

    aggregate: Literal["mean", "noisy-or", "attention"] = Field(
        "attention",
        description="mean of the pictures' probabilities, noisy-or of them, or attention (Ilse et al. 2018)",
    )
    most: Annotated[int, Field(ge=1, le=1024)] = Field(
        32, description="pictures in a bag, at most: the largest cells of a field, or a patient's images evenly spread"
    )  # fmt: skip
    frame: Annotated[float, Field(ge=1, le=6)] = Field(
        1.3, description="cells: side of a cell's picture in parts of the longer side of its box"
    )
    width: Annotated[int, Field(ge=1, le=4096)] = Field(
        64, description="of what is learned of every picture, and of the attention"
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.25, description="on the frozen features")
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 60
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.01
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = Field(16, description="bags in a batch")

    def of(self, unit: Unit) -> Bagging | None:
        """Return how bags of a unit are made; None where every image is answered for itself."""
        return None if unit == FIELD else Bagging(unit=unit, most=self.most, frame=self.frame)
