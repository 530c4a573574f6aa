"""The two data sets of Zheng et al."""

from __future__ import annotations

from pathlib import Path

import pytest
from reader_trees import put, said

from stages.data.catalogue import read_dataset


@pytest.mark.parametrize(("which", "column"), [(1, "class label"), (2, "class")])
def test_wbc(tmp_path: Path, which: int, column: str) -> None:
    put(tmp_path / f"Dataset {which}" / "001.bmp")
    put(tmp_path / f"Dataset {which}" / "001.png")
    put(tmp_path / f"Dataset {which}" / "002.bmp")
    table = tmp_path / f"Class Labels of Dataset {which}.csv"
    put(table, f"image ID,{column}\r\n1,2\r\n2,5\r\n3,1\r\n")
    found = read_dataset(f"wbc-{which}", tmp_path)
    assert found == read_dataset(f"wbc-{which}", tmp_path / f"Dataset {which}")
    assert [(s.name, s.label, s.order, s.mask is None) for s in found] == [
        ("001.bmp", "lymphocyte", 1, False),
        ("002.bmp", "basophil", 2, True),
    ]
    for rows, says in (
        ("1,2\n", "no row"),
        ("1,6\n2,1\n", "`1,6` in line 2"),
        ("1,1\n1,1\n2,1\n", "again in line 3"),
    ):
        put(table, f"image ID,{column}\n{rows}")
        assert says in said(f"wbc-{which}", tmp_path)
    table.unlink()
    assert table.name in said(f"wbc-{which}", tmp_path)
