"""Trees of one folder a class: Taleqani, PBC, and any folder."""

from __future__ import annotations

import os
from pathlib import Path

from reader_trees import by_name, put, said

from stages.data.catalogue import read_dataset
from stages.data.sets import taleqani


def test_taleqani_from_three_roots(tmp_path: Path) -> None:
    for version in ("Original", "Segmented"):
        for label in ("Benign", "Early", "Pre", "Pro"):
            put(tmp_path / version / label / f"WBC-Malignant-{label}-012.jpg")
    above = read_dataset("taleqani", tmp_path)
    assert above == read_dataset("taleqani", tmp_path / "Original")
    assert [(s.label, s.order, s.group) for s in above] == [
        (c, 12, None) for c in ("Benign", "Early", "Pre", "Pro")
    ]
    segmented = taleqani.read(tmp_path, "Segmented")
    assert [s.name for s in segmented] == [s.name for s in above]
    assert "Segmented" in str(segmented[0].path)


def test_an_empty_class_is_an_error_and_a_missing_one_is_not(tmp_path: Path) -> None:
    put(tmp_path / "basophil" / "BA_1.jpg")
    assert len(read_dataset("pbc", tmp_path)) == 1
    (tmp_path / "platelet").mkdir()
    assert "platelet" in said("pbc", tmp_path)


def test_folder_with_and_without_parts(tmp_path: Path) -> None:
    put(tmp_path / "plain" / "b" / "x9.png")
    put(tmp_path / "plain" / "b" / "deep" / "x.JPG")
    put(tmp_path / "plain" / "a" / "y.bmp")
    (tmp_path / "plain" / "a" / "up").symlink_to(tmp_path / "plain")  # a loop of folders
    found = by_name(read_dataset("folder", tmp_path / "plain"))
    assert [(s.name, s.label, s.part) for s in found.values()] == [
        ("a/y.bmp", "a", None),
        ("b/deep/x.JPG", "b", None),
        ("b/x9.png", "b", None),
    ]
    for part in ("train", "val", "test"):
        put(tmp_path / "parted" / part / "a" / "x.png")
    assert [s.part for s in read_dataset("folder", tmp_path / "parted")] == ["test", "train", "validation"]


def test_odd_entries_of_a_folder(tmp_path: Path) -> None:
    put(tmp_path / "a" / "x.png")
    loop = tmp_path / "a" / "loop.png"
    loop.symlink_to(loop)
    assert "a link loop" in said("folder", tmp_path)
    loop.unlink()
    (tmp_path / "a" / "y.png").mkdir()
    put(tmp_path / "a" / "y.png" / "inside.png")
    assert len(read_dataset("folder", tmp_path)) == 2
    with open(os.fsencode(tmp_path) + b"/a/caf\xe9.png", "wb"):  # noqa: PTH123 - a name that is no UTF-8
        pass
    assert "caf\\xe9.png" in said("folder", tmp_path)
