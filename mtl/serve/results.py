"""What of a request can be taken home: tables, outlines, a page of one file, and corrections that `mtl run` learns from."""

from __future__ import annotations

import base64
import csv
import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import cv2
import numpy as np

from mtl import __version__
from mtl.predict.export import geojson
from mtl.predict.groups import group_images
from mtl.predict.patients import Patients
from mtl.predict.predictor import Predictor
from mtl.predict.records import FieldSaid
from mtl.predict.tables import CELL_COLUMNS, FIELD_COLUMNS, cell_rows, field_row
from mtl.report.page import render_page
from mtl.serve.desk import Request
from mtl.serve.intake import RefusedError
from mtl.serve.records import Answered, Corrections
from mtl.serve.words import NOTICE, in_words
from segmentation.files import finite
from stages.learners.model import Model

__all__ = ["answered", "corrected", "outlines", "page", "table"]

_TOP = "images"  # group of those that came without a folder


def answered(request: Request, predictor: Predictor) -> Answered:
    """Return what was said of a request."""
    groups = _groups(request.fields)
    patients = Patients(predictor.blast, predictor.aggregate, _classes(predictor.cells))
    for field in request.fields:
        patients.add(groups[field.image], field)
    return Answered(
        run=request.run, blast=predictor.blast, patients=tuple(patients.records()), fields=tuple(request.fields),
        failed=dict(request.intake.failed), notice=NOTICE,
    )  # fmt: skip


def table(request: Request, predictor: Predictor, what: str) -> str:
    """Return `cells` or `fields` as CSV, the tables of `mtl predict`."""
    groups = _groups(request.fields)
    if what == "cells":
        classes = _classes(predictor.cells)
        rows: Iterable[Sequence[Any]] = (
            row for one in request.fields for row in cell_rows(groups[one.image], one, classes)
        )
        return _csv((*CELL_COLUMNS, *map("p_{}".format, classes)), rows)
    classes = _classes(predictor.fields)
    return _csv(
        (*FIELD_COLUMNS, *map("p_{}".format, classes)),
        (field_row(groups[one.image], one, classes) for one in request.fields),
    )


def outlines(field: FieldSaid, predictor: Predictor) -> str:
    """Return the cells of an image as GeoJSON for QuPath."""
    return json.dumps(finite(geojson(field, _classes(predictor.cells))))


def page(request: Request, predictor: Predictor) -> str:
    """Return everything on one page that needs nothing else."""
    shown = [
        (
            field,
            in_words(field, predictor.blast),
            _picture(request, number, "overlay"),
            _picture(request, number, "explained"),
        )
        for number, field in enumerate(request.fields)
    ]
    return render_page(
        "mtl.serve", shown=shown, told=answered(request, predictor), version=__version__, notice=NOTICE,
        date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    )  # fmt: skip


def corrected(request: Request, predictor: Predictor, told: Corrections) -> bytes:
    """Return a ZIP file: the images that a person corrected, or their cells, and manifests that `mtl run` takes.

    Args:
        request: That is done.
        predictor: That answered.
        told: What a person says instead.

    Raises:
        RefusedError: If nothing is corrected, or something that is not there.
    """
    if not told.fields and not told.cells:
        raise RefusedError(
            "Expected a correction or more, but got none; do choose another class for an image or a cell"
        )
    buffer = io.BytesIO()
    groups = _groups(request.fields)
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for what, rows in (("fields", list(_fields(request, told))), ("cells", list(_cells(request, told)))):
            classes = _classes(predictor.fields if what == "fields" else predictor.cells)
            lines = []
            for number, name, data, label in rows:
                if label not in classes:
                    raise RefusedError(
                        f"Expected a class of {what} ({', '.join(classes) or 'none'}), but got {label[:80]!r}; do choose one"
                    )
                archive.writestr(f"{what}/{name}", data)
                lines.append((name, label, groups[request.fields[number].image]))
            if lines:
                archive.writestr(f"{what}/manifest.csv", _csv(("path", "label", "group"), lines))
        archive.writestr("README.txt", _README)
    return buffer.getvalue()


_README = """What a person corrected. Each folder that is here holds a manifest of its images, with the patient or slide as group:

    mtl run --single-cell pbc:data/pbc --single-cell manifest:cells/manifest.csv
    mtl run --multi-cell all-idb1:data/ALL-IDB1 --multi-cell manifest:fields/manifest.csv

A correction is an opinion of one person. Images without a folder are one group, `images`: give them their patients before a split counts on it.
"""


def _fields(request: Request, told: Corrections) -> Iterator[tuple[int, str, bytes, str]]:
    for number, label in told.fields.items():
        field = _field(request, number)
        job = next(one for one in request.intake.images if one.name == field.image)
        yield number, f"{number:04}-{_plain(field.output)}{job.path.suffix}", job.path.read_bytes(), label


def _cells(request: Request, told: Corrections) -> Iterator[tuple[int, str, bytes, str]]:
    for place, label in told.cells.items():
        number, _, cell = place.partition("/")
        if not number.isdecimal() or not cell.isdecimal():
            raise RefusedError(
                f"Expected a cell as IMAGE/CELL such as 0/3, but got {place[:80]!r}; do write it so"
            )
        field = _field(request, int(number))
        path = request.folder / f"{int(number)}-{int(cell)}.png"
        if not path.is_file():
            raise RefusedError(
                f"Expected a cell of image {number}, but it has none of number {cell[:20]}; do choose one"
            )
        yield (
            int(number),
            f"{int(number):04}-{_plain(field.output)}-{int(cell)}.png",
            path.read_bytes(),
            label,
        )


def _field(request: Request, number: int) -> FieldSaid:
    if not 0 <= number < len(request.fields):
        raise RefusedError(
            f"Expected a number of an image below {len(request.fields)}, but got {number}; do choose one", 404
        )
    return request.fields[number]


def _plain(output: str) -> str:
    return PurePosixPath(output).name


def _classes(model: Model | None) -> tuple[str, ...]:
    return model.classes if model else ()


def _groups(fields: Sequence[FieldSaid]) -> dict[str, str]:
    return group_images([field.image for field in fields], "folder", _TOP)


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_inert(cell) for cell in row] for row in rows)
    return buffer.getvalue()


def _inert(cell: Any) -> Any:
    # A spreadsheet takes a name that begins so for a formula.
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@") else cell


def _picture(request: Request, number: int, what: str) -> str:
    path = request.folder / f"{number}-{what}.png"
    if not path.is_file():
        return ""
    pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    _, data = cv2.imencode(".jpg", np.asarray(pixels), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"
