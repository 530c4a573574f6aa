"""What a person corrects becomes manifests that `mtl run` reads; what is said in words is what was answered."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from served import done, smear

from mtl.predict.records import CellSaid, FieldSaid, Said
from mtl.serve.results import _inert
from mtl.serve.words import in_words, said_in_words
from stages.data.catalogue import read_dataset
from stages.data.images import load_rgb


@pytest.fixture(scope="module")
def job(server: Any, rendered: Path) -> Any:
    begun = server.post("/api/jobs", files=[("files", ("P7/a b.jpg", smear(rendered)))]).json()["job"]
    return done(server, begun)


def test_corrections_are_a_data_set(server: Any, job: Any, tmp_path: Path) -> None:
    first = job.answer.fields[0].cells[0]
    told = {"fields": {"0": "L2"}, "cells": {f"0/{first.cell}": "normal"}}
    answer = server.post(f"/api/jobs/{job.job}/corrections", json=told)
    assert answer.status_code == 200
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        archive.extractall(tmp_path)
    (field,) = read_dataset("manifest", tmp_path / "fields/manifest.csv")
    (cell,) = read_dataset("manifest", tmp_path / "cells/manifest.csv")
    assert (field.label, field.group, cell.label, cell.group) == ("L2", "P7", "normal", "P7")
    assert load_rgb(field).shape == (job.answer.fields[0].height, job.answer.fields[0].width, 3)
    assert min(load_rgb(cell).shape[:2]) >= 16
    assert "manifest:cells/manifest.csv" in (tmp_path / "README.txt").read_text()


@pytest.mark.parametrize(
    "told",
    [
        {}, {"fields": {"0": "no class"}}, {"fields": {"9": "L1"}}, {"cells": {"0/99999": "normal"}}, {"cells": {"../x": "normal"}},
        {"cells": {"0/1": "L1"}}, {"fields": {"-1": "L1"}}, {"other": 1},
    ],
)  # fmt: skip
def test_what_cannot_be_corrected_is_one_sentence(server: Any, job: Any, told: dict[str, Any]) -> None:
    answer = server.post(f"/api/jobs/{job.job}/corrections", json=told)
    assert answer.status_code in (404, 422)
    assert answer.json()["detail"]


def said(**more: Any) -> Said:
    plain = {
        "label": "A",
        "probabilities": {"A": 0.72, "B": 0.28},
        "within": ("A",),
        "unsure": False,
        "distance": 0.5,
        "unlike": False,
    }
    return Said.model_validate(plain | more)


def test_answers_and_silence_in_plain_words() -> None:
    assert said_in_words(said()) == "A, at 72%."
    assert said_in_words(said(within=("A", "B"))).endswith(
        "It may be A or B: of such sets nine in ten hold the right class."
    )
    assert said_in_words(said(unsure=True)).startswith(
        "No answer: the model is not sure enough. The most probable class is A, at 72%."
    )
    assert said_in_words(said(unlike=True, unsure=True)).startswith(
        "No answer: this image is unlike everything"
    )


def cell(number: int, **more: Any) -> CellSaid:
    return CellSaid(
        cell=number, x=1, y=1, box=(0, 0, 2, 2), area_px=4, nucleus_area_px=2, nucleus_to_cytoplasm=1, touches_border=False,
        outline=((0, 0), (1, 0), (1, 1)), said=said(**more) if more else None,
    )  # fmt: skip


def test_cells_stand_in_the_order_in_which_a_person_should_look() -> None:
    cells = (
        cell(1, probabilities={"A": 0.9, "B": 0.1}), cell(2, probabilities={"A": 0.6, "B": 0.4}, unsure=True),
        cell(3, probabilities={"A": 0.1, "B": 0.9}, label="B", unlike=True), cell(4),
    )  # fmt: skip
    field = FieldSaid(
        image="x", output="x", width=9, height=9, method="", said=None, cells=cells, blasts=None
    )
    assert in_words(field, "B").order == (2, 1, 3, 4)  # the likeliest blast first
    assert in_words(field, "A").order == (1, 2, 3, 4)
    assert in_words(field, None).order == (2, 1, 3, 4)  # the least sure first
    decided = tuple(
        one.model_copy(update={"decided": part})
        for one, part in zip(cells, (0.1, 0.2, 0.7, 0.0), strict=True)
    )
    assert in_words(field.model_copy(update={"cells": decided}), "B").order == (
        3,
        2,
        1,
        4,
    )  # what decided the field first
    told = in_words(field, None).cells
    assert told[1] == "A, 90%"
    assert told[2] == "no answer, unsure (at most A, 60%)"
    assert told[3] == "no answer, unlike the training data (would be B)"
    assert told[4] == "found, no class"


def test_a_spreadsheet_runs_nothing() -> None:
    assert [_inert(cell) for cell in ("=1+1", "@x", "P1", 2.5, None)] == ["'=1+1", "'@x", "P1", 2.5, None]
