"""One sample a patient: nothing lost, one label, and what ties stages still ties them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stages.data.images import content_key
from stages.data.patients import join_patients, single_images
from stages.data.sample import Sample
from stages.errors import DataError
from stages.splits.chains import Learned, tie_stages
from stages.splits.split import Split, group_of

CELLS = [
    Sample(Path(f"{patient}/{cell}.png"), f"{patient}/{cell}.png", label, "d", patient)
    for patient, label in (("P1", "APL"), ("P2", "AML"))
    for cell in range(3)
]
STATED = {cell.name: cell.group or "" for cell in CELLS}


def test_every_image_is_a_member_of_its_patient(tmp_path: Path) -> None:
    cells = [replace(cell, path=tmp_path / cell.name.replace("/", "-")) for cell in CELLS]
    for cell in cells:
        cell.path.write_text(cell.name)
    first, second = join_patients(cells, STATED)
    assert [(one.name, one.label, one.group) for one in (first, second)] == [
        ("P1", "APL", "P1"),
        ("P2", "AML", "P2"),
    ]
    assert (*first.images, *second.images) == tuple(cells)
    images, rows, key = single_images([first, second], "k")
    assert images == cells
    assert key == content_key(cells)
    assert rows == [0, 0, 0, 1, 1, 1]


def test_single_images_stay_as_they_are() -> None:
    assert single_images(CELLS, "k") == (CELLS, [0, 1, 2, 3, 4, 5], "k")


def test_patients_tied_by_copies_stay_two_patients_of_one_group() -> None:
    tied = [replace(cell, group="cluster") for cell in CELLS]
    assert [(one.name, one.group) for one in join_patients(tied, STATED)] == [
        ("P1", "cluster"),
        ("P2", "cluster"),
    ]


def test_an_image_without_a_patient_and_a_patient_of_two_labels_are_refused() -> None:
    with pytest.raises(DataError, match=r"1 of 6 have none, such as 'P2/2\.png'"):
        join_patients(CELLS, {name: own for name, own in STATED.items() if name != "P2/2.png"})
    with pytest.raises(DataError, match="'P1' has images of AML and APL"):
        join_patients([*CELLS[:3], replace(CELLS[3], label="AML")], STATED | {CELLS[3].name: "P1"})


def test_a_patient_is_tied_to_its_cells_in_another_stage_and_is_learned_with_them() -> None:
    alone = [replace(cell, group=None) for cell in CELLS]
    patients = [replace(one, group=None) for one in join_patients(alone, STATED)]
    tied = tie_stages({2: alone, 3: patients})
    assert group_of(tied[2][1]) == group_of(tied[3][0])
    assert group_of(tied[2][1]) != group_of(tied[3][1])
    split = Split(train=("P1",), validation=(), test=("P2",), left_out=(), method="m", unit="u", seed=0)
    learned = Learned().after(patients, split)
    assert learned.decide(alone) == {group_of(cell): "train" for cell in alone[:3]}
