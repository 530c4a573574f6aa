"""Tables of scores: what is read, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.comparison.tables import is_predictions, names_of, read_predictions, read_scores
from mtl.errors import ConfigError


def write(folder: Path, text: str, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_a_table_is_read_and_its_unit_is_found(tmp_path: Path) -> None:
    scores = read_scores(write(tmp_path, "\ufeffRepeat,fold,a, b\n1,1,0.5,1\n\n1,2,0.25,0\n"))
    assert scores.names == ("a", "b")
    assert scores.values.tolist() == [[0.5, 1], [0.25, 0]]
    assert scores.rows == ("Repeat 1 fold 1", "Repeat 1 fold 2")
    assert scores.points == 100
    percent = read_scores(write(tmp_path, "a,b\n50%,100\n25,0\n"))
    assert percent.values.tolist() == [[50, 100], [25, 0]]
    assert percent.points == 1
    assert percent.rows == ("1", "2")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n0.5,x\n0.5,0.6\n", "line 2, column b, but got 'x'"),
        ("a,b\n0.5,\n0.5,0.6\n", "line 2, column b, but the cell is empty"),
        ("a,b\n0.5,0.6\n0.5\n", "2 cells in line 3, but got 1"),
        ("a\n0.5\n0.6\n", "two or more columns"),
        ("repeat,a\n1,0.5\n2,0.6\n", "two or more columns"),
        ("a,b\n0.5,60\n0.5,61\n", "both 0.5 and 61"),
        ("a,b\n0.5,-0.1\n0.5,0.2\n", "got -0.1"),
        ("a,b\n50,120\n50,20\n", "got 120"),
        ("a,b\n0.5,nan\n0.5,0.2\n", "finite"),
        ("a,b\n0.5,0.6\n", "two or more rows"),
        ("a,b\n", "two or more rows"),
        ("", "empty"),
        ("a,a\n0.5,0.6\n0.5,0.6\n", "name every column once"),
        ('a,b\n0,5,0,6\n"0,5","0,6"\n', "cells in line 2"),
        ('a,b\n"0,5","0,6"\n"0,5","0,6"\n', "a point for decimals"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_scores(write(tmp_path, text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.csv"):
        read_scores(tmp_path / "nowhere.csv")
    (tmp_path / "b.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
    with pytest.raises(ConfigError, match=r"b\.csv"):
        read_scores(tmp_path / "b.csv")


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=2, max_size=12))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, ...]]
) -> None:
    folder = tmp_path_factory.mktemp("t")
    text = "a,b,c\n" + "".join(",".join(map(repr, row)) + "\n" for row in rows)
    np.testing.assert_array_equal(read_scores(write(folder, text)).values, np.array(rows))


def test_predictions_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, "name,label,group,predicted,p_a,p_b\ni,a,s1,b,0.4,0.6\nj,b,,b,0.1,0.9\n")
    assert is_predictions(path)
    rows = read_predictions(path).rows
    assert rows["i"] == ("a", "b", "s1", {"a": 0.4, "b": 0.6})
    assert rows["j"][2] == "j"
    with pytest.raises(ConfigError, match="once"):
        read_predictions(write(tmp_path, "name,label,predicted\ni,a,b\ni,a,b\n"))
    with pytest.raises(ConfigError, match="predicted"):
        read_predictions(write(tmp_path, "name,label\ni,a\n"))


def test_names_tell_files_apart() -> None:
    assert names_of([Path("x/a/p.csv"), Path("x/b/p.csv")]) == ("a/p", "b/p")
    assert names_of([Path("a.csv"), Path("b.csv")]) == ("a", "b")
