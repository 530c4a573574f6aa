"""The catalogue: every record complete, unknown names, roots that are no tree; the real trees where they lie."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from reader_trees import put, said

from stages.data.catalogue import CATALOGUE, Source, find_dataset, parse_source, read_dataset
from stages.data.images import load_mask, load_rgb
from stages.errors import DataError


def test_every_record_is_complete() -> None:
    assert list(CATALOGUE) == [
        "all-idb1", "all-idb2", "cnmc2019", "taleqani", "bccd", "bccd-cells",
        "wbc-1", "wbc-2", "pbc", "bloodmnist", "deepapl", "deepapl-diagnosis", "folder", "manifest",
    ]  # fmt: skip
    for name, dataset in CATALOGUE.items():
        assert dataset.name == name
        for field in (
            "title",
            "source",
            "licence",
            "citation",
            "label_rule",
            "group_rule",
            "split_unit",
            "obtain",
        ):
            assert getattr(dataset, field)
        assert set(dataset.expected) <= set(dataset.classes)
        for download in dataset.downloads:
            kind, digest = download.checksum.split(":")
            assert len(digest) == {"md5": 32, "sha256": 64}[kind]
    assert sum(CATALOGUE["taleqani"].expected.values()) == 3256
    assert sum(CATALOGUE["cnmc2019"].expected.values()) == 3527 + 3581 + 3553 + 1867
    assert sum(CATALOGUE["pbc"].expected.values()) == sum(CATALOGUE["bloodmnist"].expected.values()) == 17_092


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(DataError, match=r"did you mean .*all-idb1"):
        find_dataset("ALL_IDB1")
    with pytest.raises(DataError, match="known are all-idb1"):
        find_dataset("zzz")


def test_the_catalogue_imports_nothing_heavy() -> None:
    code = "import sys, stages.data.catalogue; print([m for m in ('torch', 'cv2', 'numpy', 'PIL') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name != "manifest"])
def test_a_root_that_is_no_tree_of_this_kind(name: str, tmp_path: Path) -> None:
    assert "to be a folder, but got nothing" in said(name, tmp_path / "none")
    assert str(tmp_path) in said(name, tmp_path)
    assert "got a file" in said(name, put(tmp_path / "a.txt", "x"))
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert "a link loop" in said(name, loop)


def test_a_tree_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "a" / "1.png")

    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    text = said("folder", tmp_path)
    assert "Permission denied" in text
    monkeypatch.setattr(Path, "is_dir", refuse)
    assert "check its permissions" in said("folder", tmp_path)


REAL = [
    ("taleqani", "taleqani", {"Benign": 378, "Early": 738, "Pre": 722, "Pro": 603}),
    ("bccd", "bccd", {"field": 248}),
    ("bccd-cells", "bccd", {"RBC": 2811, "WBC": 255, "Platelets": 262}),
    ("wbc-1", "wbc", {"neutrophil": 176, "lymphocyte": 53, "monocyte": 48, "eosinophil": 22, "basophil": 1}),
    ("wbc-2", "wbc", {"neutrophil": 15, "lymphocyte": 18, "monocyte": 15, "eosinophil": 2}),
    ("pbc", "pbc", dict.fromkeys(CATALOGUE["pbc"].classes, 100)),
    ("folder", "pbc/PBC_dataset_normal_DIB", dict.fromkeys(CATALOGUE["pbc"].classes, 100)),
]


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "folder", "counts"), REAL, ids=[row[0] for row in REAL])
def test_real_trees(name: str, folder: str, counts: dict[str, int]) -> None:
    root = Path(os.environ.get("MTL_REALDATA", "/nowhere")) / folder
    if not root.is_dir():
        pytest.skip(f"needs {folder} under MTL_REALDATA")
    found = read_dataset(name, root)
    assert Counter(sample.label for sample in found) == counts
    for sample in found[:: max(1, len(found) // 10)]:
        pixels = load_rgb(sample)
        if sample.mask is not None:
            mask = load_mask(sample.mask, pixels.shape[:2])  # type: ignore[arg-type]
            assert set(np.unique(mask)) == {0, 1, 2}


def test_a_source_is_a_name_and_a_folder() -> None:
    assert parse_source("pbc:C:/data/pbc", "--data") == Source("pbc", Path("C:/data/pbc"))
    for text in ("pbc", "pbc:", ":data", "pcb:data"):
        with pytest.raises(DataError, match=r"mtl data list"):
            parse_source(text, "--data")
    with pytest.raises(DataError, match="Expected `--multi-cell` to be NAME:FOLDER"):
        parse_source("pbc", "--multi-cell")
