"""ALL-IDB1 and ALL-IDB2: names, FAB tables, centroids."""

from __future__ import annotations

import string
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reader_trees import by_name, put, said

from stages.data.catalogue import read_dataset
from stages.data.sets import all_idb1
from stages.errors import DataError


@given(st.integers(0, 999_999), st.integers(0, 1), st.booleans())
def test_idb_names(number: int, ill: int, upper: bool) -> None:
    stem = f"Im{number:03d}_{ill}"
    assert all_idb1.parse_name(stem.upper() if upper else stem) == (number, ill)


@given(st.text(alphabet=string.ascii_letters + string.digits + "_-. ١", max_size=12))
def test_other_idb_names_are_refused_or_parsed_but_never_crash(stem: str) -> None:
    parsed = all_idb1.parse_name(stem)
    assert (parsed is None) or (
        stem.isascii() and stem.lower().startswith("im") and stem[-2:] in ("_0", "_1")
    )


def idb1(root: Path) -> Path:
    for stem in ("Im001_1", "Im002_1", "Im010_0"):
        put(root / "im" / f"{stem}.jpg")
    put(root / "masks" / "Im001_1.png")
    put(root / "im" / "Thumbs.db", "x")
    put(root / "im" / ".hidden.jpg")
    return root


def test_all_idb1_detection(tmp_path: Path) -> None:
    found = by_name(read_dataset("all-idb1", idb1(tmp_path)))
    assert list(found) == ["im/Im001_1.jpg", "im/Im002_1.jpg", "im/Im010_0.jpg"]
    first, last = found["im/Im001_1.jpg"], found["im/Im010_0.jpg"]
    assert (first.label, first.group, first.order) == ("leukaemia", "ALL-IDB1/Im001_1", 1)
    assert (last.label, last.order, last.mask) == ("normal", 10, None)
    assert first.mask == tmp_path / "masks" / "Im001_1.png"


def test_all_idb1_fab_and_slides(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"fab\.csv.*image,fab.*--set multi_cell\.data\.labels=detection"):
        all_idb1.read(idb1(tmp_path), labels="fab")
    put(tmp_path / "fab.csv", "image,fab,slide\nIm001_1.jpg,l2,A\nim002_1.JPG,L3,A\nIm010_0.jpg,Normal,\n")
    found = all_idb1.read(tmp_path, labels="fab")
    assert [sample.label for sample in found] == ["L2", "L3", "normal"]
    assert [sample.group for sample in found] == ["ALL-IDB1/A", "ALL-IDB1/A", "ALL-IDB1/Im010_0"]
    # A table beside the fields decides nothing that is not asked for, but its slides stay together in both cases.
    told = read_dataset("all-idb1", tmp_path)
    assert [sample.label for sample in told] == ["leukaemia", "leukaemia", "normal"]
    assert [sample.group for sample in told] == [sample.group for sample in found]


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("image\nIm001_1.jpg\n", "the column `fab`"),
        ("image,fab\nIm001_1.jpg,L4\n", "`L4` in line 2"),
        ("image,fab\nIm001_1.jpg,L1\nIm001_1.jpg,L1\n", "again in line 3"),
        ("image,fab\nIm001_1.jpg,L1\n", "no row"),
        ("image,fab\nIm001_1.jpg,normal\nIm002_1.jpg,L1\nIm010_0.jpg,normal\n", "labelled alike"),
        ("image,fab\nIm001_1.jpg\n", "line 2"),
        ("", "an empty file"),
    ],
)
def test_all_idb1_bad_fab_tables(tmp_path: Path, table: str, says: str) -> None:
    put(idb1(tmp_path) / "fab.csv", table)
    with pytest.raises(DataError, match=says):
        read_dataset("all-idb1", tmp_path, "fab")


def test_centroids(tmp_path: Path) -> None:
    assert all_idb1.read_centroids(put(tmp_path / "e.xyc", "")).shape == (0, 2)
    points = all_idb1.read_centroids(put(tmp_path / "a.xyc", "446 62\r\n164\t279\n\n 168  377.4\n"))
    np.testing.assert_array_equal(points, [[446, 62], [164, 279], [168, 377]])
    for bad in ("1 2 3", "a b", "1", "-1 2", "nan 1"):
        with pytest.raises(DataError, match="in line 2"):
            all_idb1.read_centroids(put(tmp_path / "b.xyc", f"1 1\n{bad}\n"))
    with pytest.raises(DataError, match="copy it again"):
        all_idb1.read_centroids(tmp_path / "none.xyc")


def test_all_idb2(tmp_path: Path) -> None:
    for stem in ("Im001_1", "Im131_0"):
        put(tmp_path / "ALL_IDB2" / "img" / f"{stem}.TIF")
    found = by_name(read_dataset("all-idb2", tmp_path))
    assert [(s.label, s.group, s.order) for s in found.values()] == [
        ("lymphoblast", None, 1),
        ("normal", None, 131),
    ]
    put(tmp_path / "ALL_IDB2" / "img" / "cell.tif")
    assert "a name without a label" in said("all-idb2", tmp_path)
