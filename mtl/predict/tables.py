"""Rows of the tables that `mtl predict` writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtl.predict.records import FieldSaid, PatientSaid, Said, Share
from mtl.records import Record

__all__ = [
    "CELL_COLUMNS",
    "FIELD_COLUMNS",
    "PATIENT_COLUMNS",
    "Told",
    "cell_rows",
    "field_row",
    "patient_row",
]

_SAID = ("answer", "label", "probability", "within", "unsure", "unlike", "distance")
_SHARE = ("blasts", "counted_cells", "blast_part", "blast_low", "blast_high")
CELL_COLUMNS = (
    "group", "image", "cell", "x", "y", "x0", "y0", "x1", "y1", "area_px", "nucleus_area_px", "nucleus_to_cytoplasm",
    "touches_border", "decided", *_SAID,
)  # fmt: skip
FIELD_COLUMNS = ("group", "image", "output", "width", "height", "method", "cells", "decided", *_SHARE, *_SAID)
PATIENT_COLUMNS = (
    "group",
    "fields",
    "cells",
    "unlike_fields",
    "unlike_cells",
    *_SHARE,
    "aggregate",
    "label",
    "answer",
    "answers",
    "cells_by_answer",
)


class Told(Record):
    """`records/NAME.json`: an image whose record fits is done.

    Attributes:
        key: Hash of everything that decides the answer and the pictures.
        field: The answer.
    """

    key: str
    field: FieldSaid


def cell_rows(group: str, field: FieldSaid, classes: Sequence[str]) -> list[list[Any]]:
    """Return a row for each cell of a field, under `CELL_COLUMNS` and a probability of every class."""
    return [
        [
            group, field.image, cell.cell, cell.x, cell.y, *cell.box, cell.area_px, cell.nucleus_area_px,
            _round(cell.nucleus_to_cytoplasm), int(cell.touches_border), _round(cell.decided), *_said(cell.said, classes),
        ]
        for cell in field.cells
    ]  # fmt: skip


def field_row(
    group: str, field: FieldSaid, classes: Sequence[str], decided: float | None = None
) -> list[Any]:
    """Return the row of a field, under `FIELD_COLUMNS` and a probability of every class.

    Args:
        group: Of the field.
        field: What was said of it.
        classes: Of stage 3.
        decided: Its part in its patient's answer, where there is one.
    """
    return [
        group, field.image, field.output, field.width, field.height, field.method, len(field.cells), _round(decided),
        *_share(field.blasts), *_said(field.said, classes),
    ]  # fmt: skip


def patient_row(patient: PatientSaid, classes: Sequence[str]) -> list[Any]:
    """Return the row of a patient, under `PATIENT_COLUMNS` and the mean probability of every class."""
    return [
        patient.group, patient.fields, patient.cells, patient.unlike_fields, patient.unlike_cells, *_share(patient.blasts),
        patient.aggregate, patient.label, patient.answer, _counts(patient.fields_by_class), _counts(patient.cells_by_class),
        *(_round(patient.probabilities.get(name)) for name in classes),
    ]  # fmt: skip


def _said(said: Said | None, classes: Sequence[str]) -> list[Any]:
    if said is None:
        return [None] * (len(_SAID) + len(classes))
    return [
        said.answer, said.label, _round(said.probability), " ".join(said.within), int(said.unsure), int(said.unlike),
        _round(said.distance), *(_round(said.probabilities[name]) for name in classes),
    ]  # fmt: skip


def _share(share: Share | None) -> list[Any]:
    if share is None:
        return [None] * len(_SHARE)
    return [share.count, share.total, *map(_round, (share.part, share.low, share.high))]


def _counts(counts: dict[str, int]) -> str:
    return "; ".join(f"{name}: {count}" for name, count in counts.items())


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 5)
