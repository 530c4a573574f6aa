"""DeepAPL: patients are groups, folders are cell types, and the table says what a patient has."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from reader_trees import by_name, put, said

from stages.data.catalogue import read_dataset

_TABLE = (
    "Patient_ID,Diagnosis,Cohort,Age at Diagnosis,Gender\n"
    "Patient_00,APL,Discovery,29,Female\n"
    "Patient_07,AML,Validation,30,Male\n"
    "Patient_09,AML,Validation,,\n"
)


def _tree(root: Path, table: str = _TABLE) -> Path:
    put(root / "Data" / "master.csv", table)
    signed = "Signed slides"
    put(root / "Data" / "All" / "Patient_00" / signed / "Blast, no lineage spec" / "a_1.jpg")
    put(root / "Data" / "All" / "Patient_00" / "Unsigned slides" / "Basophil" / "a_9.jpg")
    put(root / "Data" / "All" / "Patient_07" / signed / "Basophil" / "b_12.jpg")
    put(root / "Data" / "All" / "Patient_07" / signed / "Monocyte" / "b.jpg")
    return root


def test_cells_of_signed_slides_by_patient(tmp_path: Path) -> None:
    root = _tree(tmp_path)
    cells = by_name(read_dataset("deepapl", root))
    assert [(s.label, s.group, s.order, s.part) for s in cells.values()] == [
        ("Blast, no lineage spec", "Patient_00", 1, "discovery"),
        ("Basophil", "Patient_07", 12, "validation"),
        ("Monocyte", "Patient_07", 0, "validation"),
    ]
    for other in (root / "Data", root / "Data" / "All"):
        assert by_name(read_dataset("deepapl", other)) == cells


def test_the_diagnosis_is_the_patients(tmp_path: Path) -> None:
    cells = read_dataset("deepapl-diagnosis", _tree(tmp_path))
    assert Counter((s.label, s.group) for s in cells) == {("APL", "Patient_00"): 1, ("AML", "Patient_07"): 2}


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (_TABLE.replace("Patient_07", "Patient_08"), "a table with `Patient_07`, but got no row"),
        (_TABLE.replace("Patient_09", "Patient_07"), "one row a patient"),
        (_TABLE.replace("APL", "ALL"), "filled with AML or APL, but got `ALL` in line 2"),
        ("a,b\n", "the column `patient_id`"),
    ],
)
def test_a_table_that_is_wrong(tmp_path: Path, table: str, told: str) -> None:
    assert told in said("deepapl", _tree(tmp_path, table))


@pytest.mark.realdata
def test_the_patients_that_lie_here() -> None:
    folder = Path(os.environ.get("MTL_REALDATA", "")) / "deepapl"
    if not os.environ.get("MTL_REALDATA") or not folder.is_dir():
        pytest.skip("set MTL_REALDATA to the folder that holds deepapl")
    cells = read_dataset("deepapl", folder)
    assert len(cells) == 4083
    assert len({sample.group for sample in cells}) == 73
    assert {sample.part for sample in cells} == {"discovery"}
