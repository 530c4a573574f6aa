"""BCCD: fields, boxes and cells cut from them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reader_trees import put, said

from stages.data.catalogue import find_dataset, read_dataset
from stages.data.images import load_rgb
from stages.data.sets.bccd import read_boxes


def voc(*objects: tuple[str, int, int, int, int], width: int = 32, height: int = 24) -> str:
    items = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
        "</bndbox></object>"
        for name, x0, y0, x1, y1 in objects
    )
    size = f"<size><width>{width}</width><height>{height}</height></size>"
    return f"<annotation>{size}{items}</annotation>"


def bccd(root: Path, *objects: tuple[str, int, int, int, int]) -> Path:
    put(root / "BCCD" / "JPEGImages" / "BloodImage_00003.jpg")
    put(root / "BCCD" / "Annotations" / "BloodImage_00003.xml", voc(*objects))
    return root


def test_bccd(tmp_path: Path) -> None:
    bccd(tmp_path, ("WBC", 1, 1, 20, 24), ("RBC", 10, 5, 40, 20), ("RBC", 9, 9, 9, 9), ("WBC", 1, 1, 20, 24))
    (field,) = read_dataset("bccd", tmp_path)
    assert (field.label, field.order, field.mask, len(field.boxes)) == ("field", 3, None, 3)
    cells = read_dataset("bccd-cells", tmp_path / "BCCD")
    assert [(c.label, c.crop) for c in cells] == [("WBC", (0, 0, 20, 24)), ("RBC", (9, 4, 32, 20))]
    assert {c.group for c in cells} == {"JPEGImages/BloodImage_00003.jpg"}
    assert load_rgb(cells[0]).shape == (24, 20, 3)
    notes = [note.got for note in find_dataset("bccd-cells").scan(tmp_path).notes]
    assert len(notes) == 3
    assert any("degenerate" in note for note in notes)


@given(st.lists(st.tuples(st.sampled_from(["RBC", "WBC"]), *[st.integers(-50, 99)] * 4), max_size=5))
@settings(max_examples=50, deadline=None)
def test_boxes_lie_in_the_image(
    tmp_path_factory: pytest.TempPathFactory, objects: list[tuple[str, int, int, int, int]]
) -> None:
    boxes, _ = read_boxes(put(tmp_path_factory.getbasetemp() / "a.xml", voc(*objects)))
    assert all(0 <= box.x0 < box.x1 <= 32 and 0 <= box.y0 < box.y1 <= 24 for box in boxes)


@pytest.mark.parametrize(
    "text", ["", "<a>", "<annotation/>", voc(("XYZ", 1, 1, 9, 9)), voc().replace("32", "wide")]
)
def test_bad_annotations(tmp_path: Path, text: str) -> None:
    bccd(tmp_path)
    put(tmp_path / "BCCD" / "Annotations" / "BloodImage_00003.xml", text)
    assert "a VOC annotation" in said("bccd", tmp_path)
    (tmp_path / "BCCD" / "Annotations" / "BloodImage_00003.xml").unlink()
    assert "no such file" in said("bccd", tmp_path)
