"""DeepAPL: single cells of patients with acute promyelocytic or other acute myeloid leukaemia (Sidhom et al. 2021).

Layout: `Data/All/Patient_NN/Signed slides/<cell type>/*.jpg` and `Data/master.csv` with `Patient_ID,Diagnosis,Cohort`. The
patients are named, so what we claim about patients is measured on them. Unsigned slides have no types that a technician
confirmed, and are passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from stages.data.dataset import DataSet
from stages.data.problems import BadFileError, Problem, Scan, show
from stages.data.sample import Sample
from stages.data.table import read_table
from stages.data.tree import find_folder, images_in, number_in, relative_name, subfolders

__all__ = ["DEEPAPL", "DEEPAPL_DIAGNOSIS"]

_TYPES = (
    "Lymphocyte",
    "Blast, no lineage spec",
    "Smudge cells",
    "Segmented neutrophils",
    "Monocyte",
    "Erythroblast",
    "Lymphocyte, variant",
    "Promyelocyte",
    "Band neutrophils",
    "Myelocyte",
    "Eosinophils",
    "Metamyelocyte",
    "Promonocyte",
    "Giant thrombocyte",
    "Basophil",
    "Plasma cells",
    "Thrombocyte aggregation",
    "Prolymphocyte",
)
_DIAGNOSES = ("AML", "APL")
_SIGNED = "Signed slides"
Patient = tuple[str, str]
"""Diagnosis and cohort."""


def scan(root: Path, name: str, label_of: Callable[[str, Patient], str]) -> Scan:
    """Return cells and problems; `root` may be the folder of the archive, its `Data`, or `Data/All`.

    Args:
        root: Where to look.
        name: Of the data set, for its samples.
        label_of: Label by the cell's folder and its patient.
    """
    result = Scan()
    folder = find_folder(root, "Data/All", "All")
    table = folder.parent / "master.csv"
    if not table.is_file():
        expected = "a folder with `Data/master.csv` and `Data/All` in it"
        raise BadFileError(Problem(show(root), expected, "one without", "give the folder of the archive"))
    patients = _read_patients(table, result)
    for place in subfolders(folder, result):
        signed = place / _SIGNED
        if place.name not in patients:
            if place.name.startswith("Patient_"):
                result.problem(table, f"a table with `{place.name}`", "no row", "add a row for that patient")
        elif signed.is_dir():
            _add_patient(signed, folder, name, label_of, patients[place.name], result)
        else:
            result.note(signed, "a folder of cell types", "nothing", "nothing, the reader passes it over")
    return result


def _add_patient(
    signed: Path,
    root: Path,
    name: str,
    label_of: Callable[[str, Patient], str],
    patient: Patient,
    result: Scan,
) -> None:
    for kind in subfolders(signed, result):
        for position, path in enumerate(images_in(kind, result)):
            number = number_in(path.stem)
            sample = Sample(
                path=path,
                name=relative_name(path, root),
                label=label_of(kind.name, patient),
                dataset=name,
                group=signed.parent.name,
                order=position if number is None else number,
                part=patient[1].lower() or None,
            )
            result.samples.append(sample)


def _read_patients(table: Path, result: Scan) -> dict[str, Patient]:
    patients: dict[str, Patient] = {}
    for line, row in read_table(table, ["patient_id", "diagnosis"], ["cohort"]):
        who = row["patient_id"]
        if row["diagnosis"] not in _DIAGNOSES:
            got = f"`{show(row['diagnosis'])}` in line {line}"
            result.problem(table, f"filled with {' or '.join(_DIAGNOSES)}", got, "correct that cell")
        elif who in patients:
            result.problem(
                table, "one row a patient", f"`{show(who)}` again in line {line}", "remove one row"
            )
        else:
            patients[who] = (row["diagnosis"], row["cohort"])
    return patients


def _cell_type(kind: str, patient: Patient) -> str:
    del patient
    return kind


def _diagnosis(kind: str, patient: Patient) -> str:
    del kind
    return patient[0]


DEEPAPL = DataSet(
    name="deepapl",
    title="DeepAPL, cell types of patients with AML or APL",
    kind="single-cell",
    classes=_TYPES,
    source="https://github.com/sidhomj/DeepAPL",
    licence="copyright Johns Hopkins University; research use, no redistribution",
    citation="Sidhom, Siddarthan, Lai, et al.: Deep learning for diagnosis of acute promyelocytic leukemia via recognition of "
    "genomically imprinted morphologic features. npj Precision Oncology 5 (2021) 38. doi:10.1038/s41698-021-00179-y",
    label_rule="the folder under `Signed slides`: the type that a technician confirmed",
    group_rule="the patient",
    split_unit="patient",
    obtain="Follow the data availability statement of doi:10.1038/s41698-021-00179-y and unpack the archive so that `Data/All` and "
    "`Data/master.csv` lie in DIR.",
    layout="DIR/Data/All/Patient_NN/Signed slides/<cell type>/*.jpg, DIR/Data/master.csv",
    reader=partial(scan, name="deepapl", label_of=_cell_type),
)
DEEPAPL_DIAGNOSIS = replace(
    DEEPAPL,
    name="deepapl-diagnosis",
    title="DeepAPL, every cell labelled with its patient's diagnosis",
    classes=_DIAGNOSES,
    label_rule="`Diagnosis` of the patient in master.csv: what the patient has, not what the cell is",
    reader=partial(scan, name="deepapl-diagnosis", label_of=_diagnosis),
)
