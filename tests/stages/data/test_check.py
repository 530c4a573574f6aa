"""`check_dataset`: all that is wrong, at once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from stages.data.check import check_dataset
from stages.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)


def put(path: Path, pixels: np.ndarray = PIXELS, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


def test_a_clean_tree(tmp_path: Path) -> None:
    for label in ("b", "a"):
        put(tmp_path / label / "1.png")
        put(tmp_path / label / "2.jpg")
    ticks: list[tuple[int, int]] = []
    report = check_dataset("folder", tmp_path, lambda done, total: ticks.append((done, total)))
    assert report.ok
    assert report.notes == ()
    assert report.counts == {"a": 2, "b": 2}
    assert ticks == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert report.sizes is not None
    assert report.sizes.width == (32, 32, 32)
    assert report.sizes.height == (24, 24, 24)
    assert (report.groups, report.masks, dict(report.parts)) == (None, 0, {})


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    put(tmp_path / "a" / "good.png")
    put(tmp_path / "a" / "good2.png")
    put(tmp_path / "a" / "large.png", np.tile(PIXELS, (3, 3, 1)))
    cut = put(tmp_path / "a" / "cut.jpg", np.tile(PIXELS, (4, 4, 1)))
    cut.write_bytes(cut.read_bytes()[:900])
    put(tmp_path / "a" / "grey.png", mode="L")
    put(tmp_path / "a" / "clear.png", mode="RGBA")
    put(tmp_path / "a" / "print.jpg", mode="CMYK")
    put(tmp_path / "a" / "dot.png", PIXELS[:1, :1])
    (tmp_path / "a" / "empty.bmp").touch()
    (tmp_path / "a" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "b").mkdir()
    with open(os.fsencode(tmp_path) + b"/a/\xe9.png", "wb"):  # noqa: PTH123 - a name that is no UTF-8
        pass
    report = check_dataset("folder", tmp_path)
    assert not report.ok
    found = {Path(problem.path).name: problem.got for problem in report.problems}
    assert set(found) == {
        "cut.jpg", "grey.png", "clear.png", "print.jpg", "dot.png", "empty.bmp", "gone.png", "b", "\\xe9.png",
    }  # fmt: skip
    assert "damaged" in found["cut.jpg"]
    assert "CMYK" in found["print.jpg"]
    assert "1x1 px" in found["dot.png"]
    notes = {Path(note.path).name for note in report.notes}
    assert notes == {"large.png", tmp_path.name}  # an odd size, and one class alone
    plain = json.loads(json.dumps(report.as_dict()))
    assert len(plain["problems"]) == len(report.problems)
    assert plain["ok"] is False


def test_missing_labels_and_bad_masks(tmp_path: Path) -> None:
    for stem in ("001", "002", "003"):
        put(tmp_path / "Dataset 1" / f"{stem}.bmp")
    put(tmp_path / "Dataset 1" / "001.png", PIXELS[:10], "L")
    (tmp_path / "Class Labels of Dataset 1.csv").write_text("image ID,class label\n1,1\n2,2\n4,3\n")
    report = check_dataset("wbc-1", tmp_path)
    assert [(Path(p.path).name, p.got) for p in report.problems] == [
        ("003.bmp", "no row"),
        ("001.png", "32x10 px"),
    ]
    assert [note.got for note in report.notes] == ["1 images fewer"]
    assert list(report.counts) == ["neutrophil", "lymphocyte"]
    assert report.expected["neutrophil"] == 176


def test_a_manifest_with_repeats_parts_and_groups(tmp_path: Path) -> None:
    put(tmp_path / "x.png")
    put(tmp_path / "y.png")
    table = tmp_path / "list.csv"
    table.write_text(
        "path,label,group,part\nx.png,a,p1,train\ny.png,b,p2,test\nx.png,a,p1,train\nz.png,a,p3,\n"
    )
    report = check_dataset("manifest", table)
    assert [problem.got for problem in report.problems] == [
        "`x.png` again in line 4",
        "`z.png`, which does not exist",
    ]
    assert (report.groups, dict(report.parts)) == (2, {"test": 1, "train": 1})


def test_fab_labels_change_what_is_expected(tmp_path: Path) -> None:
    put(tmp_path / "im" / "Im001_1.jpg")
    assert check_dataset("all-idb1", tmp_path).expected == {"normal": 59, "leukaemia": 49}
    (tmp_path / "fab.csv").write_text("image,fab\nIm001_1.jpg,L1\nIm009_0.jpg,normal\n")
    assert check_dataset("all-idb1", tmp_path).counts == {"leukaemia": 1}
    report = check_dataset("all-idb1", tmp_path, labels="fab")
    assert (report.counts, report.expected) == ({"L1": 1}, {"normal": 59})
    assert "im009_0.jpg" in report.notes[0].got


def test_a_broken_frame_file(tmp_path: Path) -> None:
    path = tmp_path / "bloodmnist.npz"
    content: dict[str, np.ndarray] = {}
    for part in ("train", "val", "test"):
        content[f"{part}_images"] = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 3), np.uint8)
        content[f"{part}_labels"] = np.array([0, 1, 2])
    np.savez(path, **content)  # type: ignore[arg-type]
    assert check_dataset("bloodmnist", tmp_path).ok
    raw = bytearray(path.read_bytes())
    raw[5000] ^= 255  # inside an array: the zip checksum no longer fits
    path.write_bytes(bytes(raw))
    report = check_dataset("bloodmnist", tmp_path)
    assert [problem.expected for problem in report.problems] == ["a readable `.npz`"]


def test_what_cannot_be_listed_is_raised(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got nothing"):
        check_dataset("pbc", tmp_path / "none")
    with pytest.raises(DataError, match="one without"):
        check_dataset("pbc", tmp_path)
    with pytest.raises(DataError, match="known name"):
        check_dataset("zzz", tmp_path)


def test_a_bad_table_is_a_problem(tmp_path: Path) -> None:
    put(tmp_path / "im" / "Im001_1.jpg")
    (tmp_path / "fab.csv").write_text("image\n")
    assert [Path(problem.path).name for problem in check_dataset("all-idb1", tmp_path).problems] == [
        "fab.csv"
    ]


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "folder"), [("wbc-1", "wbc"), ("wbc-2", "wbc"), ("bccd", "bccd"), ("pbc", "pbc")]
)
def test_real_trees_are_clean(name: str, folder: str) -> None:
    root = Path(os.environ.get("MTL_REALDATA", "/nowhere")) / folder
    if not root.is_dir():
        pytest.skip(f"needs {folder} under MTL_REALDATA")
    assert check_dataset(name, root).problems == ()


def smear(root: Path, stem: str, centroids: str | None, cells: list[tuple[int, int]]) -> Path:
    """A field of ALL-IDB1 with drawn cells."""
    pixels = np.full((200, 300, 3), (240, 228, 232), np.uint8)
    for place in cells:
        cv2.circle(pixels, place, 30, (200, 160, 205), -1)
        cv2.circle(pixels, place, 20, (100, 40, 150), -1)
    put(root / "im" / f"{stem}.png", pixels)
    (root / "xyc").mkdir(exist_ok=True)
    path = root / "xyc" / f"{stem}.xyc"
    if centroids is not None:
        path.write_text(centroids)
    return path


def test_centroids_are_compared_with_the_cells_found(tmp_path: Path) -> None:
    smear(tmp_path, "Im001_1", "70 100\n210 100\n", [(70, 100), (210, 100)])
    smear(tmp_path, "Im002_0", "", [(70, 100)])
    lost = smear(tmp_path, "Im003_1", "70 100\n210 100\n", [(70, 100)])
    gone = smear(tmp_path, "Im004_1", None, [(70, 100)])
    outside = smear(tmp_path, "Im005_1", "70 100\n300 5\n9999 5\n", [(70, 100)])
    broken = smear(tmp_path, "Im006_1", "70 100 3\n", [(70, 100)])
    report = check_dataset("all-idb1", tmp_path)
    assert {item.path: item.got for item in report.notes} == {
        str(lost): "none for 1 of 2, such as 210 100",
        str(gone): "nothing",
    }
    assert {item.path: item.got for item in report.problems} == {
        str(outside): "300 5 and 1 more",
        str(broken): "`70 100 3` in line 1",
    }
