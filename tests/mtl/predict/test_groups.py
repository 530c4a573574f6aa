"""Groups of images by folder, pattern and table; what is missing is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.errors import ConfigError
from mtl.predict.groups import group_images
from segmentation.cells import cut_cell

NAMES = ["P1/a.png", "P1/x/b.png", "P2/a.png", "c.png"]


def test_by_folder() -> None:
    assert list(group_images(NAMES, "folder", "top").values()) == ["P1", "P1/x", "P2", "top"]


def test_by_pattern() -> None:
    assert list(group_images(NAMES[:3], r"regex:^P\d", "").values()) == ["P1", "P1", "P2"]
    assert list(group_images(NAMES[:3], r"regex:(\w)\.png", "").values()) == ["a", "b", "a"]


def test_by_table(tmp_path: Path) -> None:
    table = tmp_path / "g.csv"
    table.write_text(
        "\ufeffimage,group,age\nP1/a.png,one,3\nb.png,two,4\nP2/a.png,three,5\nc.png,one,6\nz.png,q,7\n"
    )
    assert list(group_images(NAMES, str(table), "").values()) == ["one", "two", "three", "one"]
    table.write_text("image,group\na.png,one\nb.png,two\nc.png,one\n")  # which a.png?
    with pytest.raises(ConfigError, match=r"2 of 4 have none \(P1/a\.png, P2/a\.png\)"):
        group_images(NAMES, str(table), "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,patient\na,b\n", "columns image and group, but got file, patient"),
        ("", "no row"),
        ("image,group\nc.png,a\nc.png,b\n", "two groups, a and b"),
        ("image,group\nc.png\n", "4 of 4 have none"),
    ],
)
def test_a_table_that_does_not_serve_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    table = tmp_path / "g.csv"
    table.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        group_images(NAMES, str(table), "")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("by", ["regex:(", "nowhere.csv", "regex:Q"])
def test_a_rule_that_does_not_serve_is_one_line(by: str) -> None:
    with pytest.raises(ConfigError, match="--group-by"):
        group_images(NAMES, by, "")


@given(st.integers(1, 60), st.integers(1, 60), st.floats(1, 6), st.data())
def test_a_crop_is_inside_the_image_and_holds_the_cell_if_it_fits(
    height: int, width: int, frame: float, data: st.DataObject
) -> None:
    import numpy as np

    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height))
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows, columns, np.zeros_like(rows)], axis=2).astype(np.uint8)
    crop = cut_cell(image, (x0, y0, x1, y1), frame)
    side = max(round(max(x1 - x0, y1 - y0) * frame), 1)
    assert crop.shape[:2] == (min(side, height), min(side, width))
    assert crop[0, 0, 0] <= y0
    assert crop[-1, -1, 0] >= y1 - 1
    assert crop[0, 0, 1] <= x0
    assert crop[-1, -1, 1] >= x1 - 1
