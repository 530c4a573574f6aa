"""Fields added up to patients, against sums by hand; and their rows in the tables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.predict.patients import Patients
from mtl.predict.records import UNLIKE, UNSURE, CellSaid, FieldSaid, Said
from mtl.predict.tables import (
    CELL_COLUMNS,
    FIELD_COLUMNS,
    PATIENT_COLUMNS,
    cell_rows,
    field_row,
    patient_row,
)

CLASSES = ("normal", "lymphoblast")


def said(blast: float, *, unlike: bool = False, unsure: bool = False) -> Said:
    return Said(
        label=CLASSES[blast > 0.5], probabilities={"normal": 1 - blast, "lymphoblast": blast}, within=(),
        unsure=unsure, distance=2.0 if unlike else 0.5, unlike=unlike,
    )  # fmt: skip


def cell(number: int, own: Said | None) -> CellSaid:
    return CellSaid(
        cell=number, x=1.0, y=2.0, box=(0, 1, 3, 5), area_px=12, nucleus_area_px=6, nucleus_to_cytoplasm=1.0,
        touches_border=True, outline=((0, 1), (3, 1), (3, 5), (0, 5)), said=own,
    )  # fmt: skip


def field(own: Said | None, *cells: Said | None) -> FieldSaid:
    told = tuple(cell(number, one) for number, one in enumerate(cells, 1))
    return FieldSaid(
        image="f.png", output="f", width=9, height=9, method="m", said=own, cells=told, blasts=None
    )


answers = st.builds(said, st.floats(0, 1), unlike=st.booleans(), unsure=st.booleans())
fields_of = st.builds(
    lambda own, cells: field(own, *cells), st.none() | answers, st.lists(answers, max_size=5)
)


@given(st.lists(st.tuples(st.sampled_from("PQ"), fields_of), max_size=8))
@settings(max_examples=60, deadline=None)
def test_every_sum_is_that_of_the_patient_s_own_fields(given: list[tuple[str, FieldSaid]]) -> None:
    patients = Patients("lymphoblast")
    for group, one in given:
        patients.add(group, one)
    records = patients.records()
    assert [one.group for one in records] == list(dict.fromkeys(group for group, _ in given))
    for record in records:
        own = [one for group, one in given if group == record.group]
        cells = [cell.said for one in own for cell in one.cells if cell.said is not None]
        assert (record.fields, record.cells) == (len(own), len(cells))
        assert record.unlike_cells == sum(one.unlike for one in cells)
        assert sum(record.cells_by_class.values()) == len(cells)
        known = [one.said for one in own if one.said is not None and not one.said.unlike]
        assert record.unlike_fields == sum(one.said is not None and one.said.unlike for one in own)
        assert record.blasts is not None
        assert record.blasts.total == sum(not one.unlike for one in cells)
        assert record.blasts.count == sum(one.label == "lymphoblast" for one in cells if not one.unlike)
        if not known:
            assert (record.label, record.probabilities) == (None, {})
            continue
        mean = np.mean([[one.probabilities[name] for name in CLASSES] for one in known], axis=0)
        assert [record.probabilities[name] for name in CLASSES] == pytest.approx(list(mean), abs=1e-9)
        assert record.probabilities[record.label or ""] == max(record.probabilities.values())


def test_the_order_of_fields_changes_no_patient() -> None:
    some = [field(said(0.2), said(0.9)), field(said(0.7), said(0.8), said(0.1)), field(None)]
    found = []
    for order in (some, some[::-1]):
        patients = Patients("lymphoblast")
        for one in order:
            patients.add("P", one)
        (record,) = patients.records()
        found.append(record)
    assert found[0].probabilities == pytest.approx(found[1].probabilities)
    assert found[0].blasts == found[1].blasts
    assert (found[0].label, found[0].cells) == (found[1].label, found[1].cells)


@pytest.mark.parametrize("aggregate", ["mean", "noisy-or"])
def test_a_patient_by_its_cells_leaves_out_those_that_are_unlike(aggregate: str) -> None:
    patients = Patients(None, aggregate, CLASSES)
    patients.add("P", field(said(0.9), said(0.5), said(0.2), said(1.0, unlike=True), None))
    patients.add("P", field(None, said(0.8)))
    patients.add("Q", field(said(0.9)))
    told, nothing = patients.records()
    sick = 0.5 if aggregate == "mean" else 1 - 0.5 * 0.8 * 0.2
    assert told.probabilities["lymphoblast"] == pytest.approx(sick, abs=1e-5)
    assert told.aggregate == aggregate
    assert (nothing.label, nothing.aggregate, nothing.probabilities) == (None, None, {})


def test_a_patient_by_a_stage_of_patients_is_what_that_says() -> None:
    patients = Patients(None, "patient")
    patients.add("P", field(None, said(0.1)))
    (record,) = patients.records({"P": (said(0.9, unlike=True), {"f.png": 1.0})})
    assert (record.label, record.answer, record.decided) == ("lymphoblast", UNLIKE, {"f.png": 1.0})


def test_what_is_unlike_is_never_called_unsure_and_neither_is_answered() -> None:
    assert said(0.9, unlike=True, unsure=True).answer == UNLIKE
    assert said(0.9, unsure=True).answer == UNSURE
    assert said(0.9).answer == "lymphoblast"


def test_rows_are_as_wide_as_their_headers_with_and_without_answers() -> None:
    for one, classes in ((field(said(0.3), said(0.9), None), CLASSES), (field(None, None), ())):
        patients = Patients(None)
        patients.add("P", one)
        (record,) = patients.records()
        assert len(field_row("P", one, classes)) == len(FIELD_COLUMNS) + len(classes)
        assert len(patient_row(record, classes)) == len(PATIENT_COLUMNS) + len(classes)
        for row in cell_rows("P", one, classes):
            assert len(row) == len(CELL_COLUMNS) + len(classes)
        assert record.blasts is None
