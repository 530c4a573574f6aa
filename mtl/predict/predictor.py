"""A run, ready for smears: the field by its stage 3, every cell by its stage 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mtl.errors import RunError
from mtl.predict.blasts import blast_class, count_blasts, share_of
from mtl.predict.deciding import aggregate_of, answers_patients, with_parts
from mtl.predict.records import CellSaid, FieldSaid, Said
from mtl.predict.settings import PredictSmears
from mtl.run.load import learned_stages
from mtl.runs import StageFolder, stage_key
from mtl.segment.methods import Seen, Seer, Tell
from segmentation.cells import Cell, cut_cell
from stages.data.images import decode_rgb
from stages.export.formats import EXPORT_FOLDER
from stages.learners.bags.model import BagModel
from stages.learners.model import Model, load_model

__all__ = ["Looked", "Predictor"]

CELLS, FIELDS = 2, 3
_FRAME = 1.3  # of a stage whose training images did not show how cells are cut
_SMOOTH = 0.7  # px that an outline may be off
Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Looked:
    """An image with what was said of it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        seen: Its cells.
        said: The answer.
    """

    image: Image
    seen: Seen
    said: FieldSaid


class Predictor:
    """Answers smears by a finished run.

    Args:
        run: Run folder, the folder of one of its stages, or that of an ensemble.
        settings: How; None takes the defaults.

    Attributes:
        cells: Model of stage 2, if the run has one and it is asked for.
        fields: Model of stage 3, likewise.
        blast: Class of cells that is counted as blasts, if there is one.
        aggregate: How patients are answered; see `mtl.predict.deciding`.

    Raises:
        RunError: If the run is not finished, or lacks the stage that is asked for.
        ConfigError: If no class is called as `blast` says, or patients cannot be answered as `aggregate` says.
        ModelError: If a model is damaged.
    """

    def __init__(self, run: Path | str, settings: PredictSmears | None = None) -> None:
        self.settings = settings or PredictSmears()
        self.run = Path(run)
        stages = learned_stages(self.run, self.settings.chain)
        wanted = {"both": (CELLS, FIELDS), "cells": (CELLS,), "fields": (FIELDS,)}[self.settings.stage]
        self.stages: dict[int, StageFolder] = {
            number: stages[number] for number in wanted if number in stages
        }
        if not self.stages:
            known = ", ".join(map(str, stages)) or "none"
            needed = " or ".join(map(str, wanted))
            raise RunError(
                f"Expected {run} to hold stage {needed}, but it learned {known}; do choose another run, `--chain` or `--stage`"
            )
        self.cells, self.fields = (self._load(number) for number in (CELLS, FIELDS))
        self.blast = None
        if self.cells is not None:
            positive = self.stages[CELLS].identity().positive
            self.blast = blast_class(self.cells.classes, positive, self.settings.blast)
        self.aggregate = aggregate_of(self.settings, self.cells, self.fields)
        self.seer = Seer(self.settings.segment)

    def _load(self, number: int) -> Model | None:
        if number not in self.stages:
            return None
        model = load_model(self.stages[number].path)
        model.quicken()
        if self.settings.engine != "torch":
            self._engine(model, self.stages[number].path / EXPORT_FOLDER)
        return model

    def _engine(self, model: Model, folder: Path) -> None:
        from stages.export.engines import fastest, use_engine
        from stages.export.graph import network_of

        network, asked = network_of(model), self.settings.engine
        chosen = fastest(network, folder) if asked == "auto" else asked
        if chosen != "torch":
            use_engine(network, chosen, folder)

    @property
    def frame(self) -> float:
        """Side of a cell's crop in parts of the cell, as the training images of stage 2 are cut."""
        return (self.cells.frame if self.cells else None) or _FRAME

    def key(self) -> str:
        """Return what, besides the image, decides the answer."""
        keys = {number: stage.identity().key for number, stage in self.stages.items()}
        engine = () if self.settings.engine == "torch" else (self.settings.engine,)
        return stage_key(self.seer.key(), keys, self.blast, *engine)

    def predict(self, image: Image | Path | str, tell: Tell | None = None) -> FieldSaid:
        """Answer one image: an array (H, W, 3) uint8 RGB, or a file.

        Args:
            image: The image.
            tell: Told about progress inside a large one.

        Raises:
            DataError: If the file cannot be read.
            ModelError: If the array is no such image.
        """
        if isinstance(image, (str, Path)):
            path = Path(image)
            return self.look(decode_rgb(path), path.name, path.stem, tell).said
        return self.look(image, "image", "image", tell).said

    def look(self, image: Image, name: str, output: str, tell: Tell | None = None) -> Looked:
        """Answer an image, and keep what was seen; see `predict`.

        Args:
            image: (H, W, 3) uint8 RGB.
            name: Of it.
            output: What its files are called.
            tell: Told about progress.
        """
        seen = self.seer.see(image, tell)
        cells = seen.cells.cells
        answers: Sequence[Said | None] = [None] * len(cells)
        if self.cells is not None:
            crops = (cut_cell(image, cell.box, self.frame) for cell in cells)
            answers = [Said.of(one) for one in self.cells.answers(crops)]
        told = tuple(_cell_said(cell, seen, answer) for cell, answer in zip(cells, answers, strict=True))
        said, told = self._field_said(image, told)
        blasts = None if self.blast is None else share_of([count_blasts(told, self.blast)])
        height, width = image.shape[:2]
        field = FieldSaid(
            image=name, output=output, width=width, height=height, method=seen.method, said=said, cells=told, blasts=blasts
        )  # fmt: skip
        return Looked(image, seen, field)

    def _field_said(
        self, image: Image, cells: tuple[CellSaid, ...]
    ) -> tuple[Said | None, tuple[CellSaid, ...]]:
        """Return what stage 3 says of a field, and its cells with what each decided where it answers by cells."""
        if self.fields is None or answers_patients(self.fields):
            return None, cells
        if not isinstance(self.fields, BagModel):
            return Said.of(self.fields.answers([image])[0]), cells
        boxes, strip = self.fields.preprocess.cells(image)
        said, parts = self.fields.decided(strip)
        return Said.of(said), with_parts(cells, boxes, parts, (0, 0, image.shape[1], image.shape[0]))


def _cell_said(cell: Cell, seen: Seen, said: Said | None) -> CellSaid:
    return CellSaid(
        cell=cell.instance,
        x=round(cell.centroid[0], 1),
        y=round(cell.centroid[1], 1),
        box=cell.box,
        area_px=cell.area,
        nucleus_area_px=cell.nucleus_area,
        nucleus_to_cytoplasm=cell.nucleus_to_cytoplasm,
        touches_border=cell.touches_border,
        outline=_outline(cell, seen.cells.instances),
        said=said,
    )


def _outline(cell: Cell, instances: npt.NDArray[Any]) -> tuple[tuple[float, float], ...]:
    """Return the polygon of the cell's largest part, (x, y) of the middles of its outermost pixels, the pixel (0, 0) at (0.5, 0.5)."""
    x0, y0, x1, y1 = cell.box
    mask = (instances[y0:y1, x0:x1] == cell.instance).astype(np.uint8)
    lines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    line = cv2.approxPolyDP(max(lines, key=cv2.contourArea), _SMOOTH, True)[:, 0]
    if len(line) < 3:  # a cell of a pixel's width has no outline but its box
        return ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    return tuple((float(x0 + x) + 0.5, float(y0 + y) + 0.5) for x, y in line.tolist())
