"""Numbers in file names, natural order, CSV tables."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.data.table import read_table
from stages.data.tree import natural, number_in
from stages.errors import DataError


@given(st.text(alphabet=string.ascii_letters + "-_", max_size=6), st.integers(0, 10**6))
def test_numbers_in_names(prefix: str, number: int) -> None:
    assert number_in(f"{prefix}{number:03d}") == number
    assert number_in(prefix) is None
    assert natural(f"{prefix}2") < natural(f"{prefix}10")


@given(st.text(max_size=12), st.text(max_size=12))
def test_natural_order_is_total(one: str, two: str) -> None:
    assert (natural(one) < natural(two)) or (natural(two) < natural(one)) or natural(one) == natural(two)


CELL = st.text(alphabet=st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8)


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=5), st.booleans(), st.booleans())
@settings(max_examples=50, deadline=None)
def test_tables_come_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], mark: bool, dos: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "t.csv"
    quoted = [",".join(f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row) for row in rows]
    text = ("\r\n" if dos else "\n").join(["Path , LABEL", *quoted])
    path.write_bytes(text.encode("utf-8-sig" if mark else "utf-8"))
    found = [
        (row["path"], row["label"], row["group"]) for _, row in read_table(path, ["path", "label"], ["group"])
    ]
    assert found == [(one, two, "") for one, two in rows]


@given(st.binary(max_size=60))
@settings(max_examples=60, deadline=None)
def test_junk_tables_raise_data_errors_only(tmp_path_factory: pytest.TempPathFactory, junk: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "junk.csv"
    path.write_bytes(junk)
    with pytest.raises(DataError):
        read_table(path, ["path", "label"])
