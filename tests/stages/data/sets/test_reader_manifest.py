"""A CSV file that lists images."""

from __future__ import annotations

from pathlib import Path

import pytest
from reader_trees import put, said

from stages.data.catalogue import read_dataset
from stages.data.images import load_rgb


def test_manifest(tmp_path: Path) -> None:
    put(tmp_path / "i" / "im7.png")
    put(tmp_path / "i" / "x.png")
    put(tmp_path / "m" / "im7.png")
    rows = "path,label,group,mask,part\ni/im7.png,a,p1,m/im7.png,train\ni\\x.png,b,p2,,\n"
    found = read_dataset("manifest", put(tmp_path / "list.csv", rows))
    assert [(s.name.replace("\\", "/"), s.label, s.group, s.order, s.part) for s in found] == [
        ("i/im7.png", "a", "p1", 7, "train"),
        ("i/x.png", "b", "p2", 1, None),
    ]
    assert found[0].mask is not None
    load_rgb(found[1])


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("path\nx.png", "the column `label`"),
        ("path;label\nx.png;a", "the column `path`"),
        ("path,label\nnone.png,a", "`none.png`, which does not exist"),
        ("path,label\nx.png,a\n./x.png,b", "again in line 3"),
        ("path,label\nx.png,", "an empty label"),
        ("path,label\n,a", "``, which does not exist"),
        ("path,label,mask\nx.png,a,none.png", "the mask `none.png`"),
        ("path,label,group\nx.png,a,p\ny.png,a,", "1 rows without"),
        ("path,label\n" + "x" * 5000 + ",a", "which does not exist"),
        ("path,label\n", "no images"),
        ("", "an empty file"),
        ('path,label\n"x.png,a', "a line that is none"),
    ],
)
def test_bad_manifests(tmp_path: Path, rows: str, says: str) -> None:
    put(tmp_path / "x.png")
    put(tmp_path / "y.png")
    assert says in said("manifest", put(tmp_path / "list.csv", rows))


def test_a_manifest_must_be_a_utf8_file(tmp_path: Path) -> None:
    assert "the path of the CSV itself" in said("manifest", tmp_path)
    assert "No such file" in said("manifest", tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(b"path,label\ncaf\xe9.png,a\n")
    assert "another encoding" in said("manifest", tmp_path / "latin.csv")
