"""Which cells of a field, and which images of a patient, decided what stage 3 says; and how a patient is answered at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mtl.errors import ConfigError
from mtl.predict.patients import PATIENT, Bagged
from mtl.predict.records import CellSaid, Said
from mtl.predict.settings import PredictSmears
from stages.data.images import decode_rgb
from stages.learners.bags.model import BagModel
from stages.learners.model import Model
from stages.preprocess.bags import Box, spread

__all__ = ["aggregate_of", "answer_patient", "answers_patients", "with_parts"]


def answers_patients(model: Model | None) -> bool:
    """Say whether a stage answers for patients and not for fields."""
    bagging = None if model is None else model.preprocess.bagging
    return bagging is not None and bagging.unit == PATIENT


def aggregate_of(settings: PredictSmears, cells: Model | None, fields: Model | None) -> str | None:
    """Return how patients are answered: `field`, `mean`, `noisy-or`, or `patient` by a stage 3 that learned them; None where nothing can.

    Args:
        settings: May ask for one of them.
        cells: Stage 2, if the run has it.
        fields: Stage 3, likewise.

    Raises:
        ConfigError: If the run cannot do what is asked for.
    """
    asked = settings.aggregate
    if asked in ("mean", "noisy-or"):
        if cells is None:
            raise _cannot(asked, "a stage 2, which answers for cells")
        return asked
    learned = fields.network.settings.aggregate if isinstance(fields, BagModel) else None
    if asked == "attention" and learned != asked:
        raise _cannot(asked, "a stage 3 that learned with multi_cell.unit cells or patient and attention")
    if answers_patients(fields):
        if asked == "field":
            raise _cannot(asked, "a stage 3 that answers for fields")
        if learned is None:
            raise ConfigError(
                "Expected a run whose stage 3 is one model, but got an ensemble that answers for patients; do give one of its members"
            )
        return PATIENT
    return None if fields is None else "field"


def _cannot(asked: str, needed: str) -> ConfigError:
    return ConfigError(
        f"Expected `--aggregate` {asked} beside a run with {needed}, but it has none; do leave it out or give another run"
    )


def with_parts(
    cells: Sequence[CellSaid], boxes: Sequence[Box], parts: Sequence[float], field: Box
) -> tuple[CellSaid, ...]:
    """Return cells with their parts in the field's answer: of the stage's own cells whose middle lies in their box.

    Args:
        cells: As `mtl predict` found them.
        boxes: Of the cells that the stage looked at.
        parts: Of each, summing to 1.
        field: The whole field, which the stage takes for one cell where it finds none.
    """
    if not boxes or list(boxes) == [field]:
        return tuple(cells)
    found = dict.fromkeys((cell.cell for cell in cells), 0.0)
    for (x0, y0, x1, y1), part in zip(boxes, parts, strict=False):
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        around = [cell for cell in cells if _holds(cell.box, x, y)]
        if around:
            nearest = min(around, key=lambda cell: (cell.x - x) ** 2 + (cell.y - y) ** 2)
            found[nearest.cell] += part
    return tuple(cell.model_copy(update={"decided": found[cell.cell]}) for cell in cells)


def _holds(box: Box, x: float, y: float) -> bool:
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def answer_patient(model: BagModel, images: Sequence[tuple[str, Path]]) -> Bagged:
    """Return what a stage 3 of patients says of one, and the part of each image that it looked at; images are read one after the other.

    Args:
        model: Of the stage.
        images: Name and file of each.

    Raises:
        StagesError: If one cannot be read.
    """
    most = model.preprocess.shape[0] // model.preprocess.shape[1]
    chosen = [images[place] for place in spread(len(images), most)]
    strip = model.preprocess.strip(decode_rgb(path) for _, path in chosen)
    said, parts = model.decided(strip)
    return Said.of(said), {name: part for (name, _), part in zip(chosen, parts, strict=False)}
