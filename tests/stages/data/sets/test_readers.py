"""Every reader on a tree of its layout written here, its bad input, and the real trees where they lie."""

from __future__ import annotations

import os
import string
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stages.data.catalogue import CATALOGUE, Source, find_dataset, parse_source, read_dataset
from stages.data.images import load_mask, load_rgb
from stages.data.sample import Sample
from stages.data.sets import all_idb1, cnmc2019, taleqani
from stages.data.sets.bccd import read_boxes
from stages.data.table import read_table
from stages.data.tree import natural, number_in
from stages.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)


def put(path: Path, text: str | None = None) -> Path:
    """Write an image, or a text file where text is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if text is None:
        Image.fromarray(PIXELS).save(path)
    else:
        path.write_text(text, encoding="utf-8")
    return path


def said(name: str, root: Path) -> str:
    """Return the one line that reading raises."""
    with pytest.raises(DataError) as caught:
        read_dataset(name, root)
    text = str(caught.value)
    assert text.isprintable()
    assert text.startswith("Expected `")
    assert "; do " in text
    return text


def by_name(samples: list[Sample]) -> dict[str, Sample]:
    names = [sample.name for sample in samples]
    assert names == sorted(names)
    assert len(set(names)) == len(names)
    return {sample.name: sample for sample in samples}


# --- the catalogue ---------------------------------------------------------------------------------------------------


def test_every_record_is_complete() -> None:
    assert list(CATALOGUE) == [
        "all-idb1", "all-idb2", "cnmc2019", "taleqani", "bccd", "bccd-cells",
        "wbc-1", "wbc-2", "pbc", "bloodmnist", "folder", "manifest",
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


def test_a_source_is_a_name_and_a_folder() -> None:
    assert parse_source("pbc:C:/data/pbc", "--data") == Source("pbc", Path("C:/data/pbc"))
    for text in ("pbc", "pbc:", ":data", "pcb:data"):
        with pytest.raises(DataError, match=r"mtl data list"):
            parse_source(text, "--data")
    with pytest.raises(DataError, match="Expected `--multi-cell` to be NAME:FOLDER"):
        parse_source("pbc", "--multi-cell")


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


# --- file names ------------------------------------------------------------------------------------------------------


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


@given(
    st.integers(0, 10**8),
    st.booleans(),
    st.integers(0, 99),
    st.integers(0, 99),
    st.sampled_from(["all", "hem"]),
)
def test_cnmc_names(subject: int, healthy: bool, image: int, cell: int, label: str) -> None:
    prefix = "H" if healthy else ""
    assert cnmc2019.parse_name(f"UID_{prefix}{subject}_{image}_{cell}_{label}") == (
        f"{prefix}{subject}",
        label,
    )
    assert cnmc2019.parse_name(f"UID_{prefix}{subject}_{image}_{label}") is None


@given(st.text(alphabet=string.ascii_letters + "-_", max_size=6), st.integers(0, 10**6))
def test_numbers_in_names(prefix: str, number: int) -> None:
    assert number_in(f"{prefix}{number:03d}") == number
    assert number_in(prefix) is None
    assert natural(f"{prefix}2") < natural(f"{prefix}10")


@given(st.text(max_size=12), st.text(max_size=12))
def test_natural_order_is_total(one: str, two: str) -> None:
    assert (natural(one) < natural(two)) or (natural(two) < natural(one)) or natural(one) == natural(two)


# --- tables ----------------------------------------------------------------------------------------------------------

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


# --- ALL-IDB ---------------------------------------------------------------------------------------------------------


def idb1(root: Path) -> Path:
    for stem in ("Im001_1", "Im002_1", "Im010_0"):
        put(root / "im" / f"{stem}.jpg")
    put(root / "masks" / "Im001_1.png")
    put(root / "im" / "Thumbs.db", "x")
    put(root / "im" / ".hidden.jpg")
    return root


def test_all_idb1_binary(tmp_path: Path) -> None:
    found = by_name(read_dataset("all-idb1", idb1(tmp_path)))
    assert list(found) == ["im/Im001_1.jpg", "im/Im002_1.jpg", "im/Im010_0.jpg"]
    first, last = found["im/Im001_1.jpg"], found["im/Im010_0.jpg"]
    assert (first.label, first.group, first.order) == ("leukaemia", "ALL-IDB1/Im001_1", 1)
    assert (last.label, last.order, last.mask) == ("normal", 10, None)
    assert first.mask == tmp_path / "masks" / "Im001_1.png"


def test_all_idb1_fab_and_slides(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"fab\.csv.*image,fab"):
        all_idb1.read(idb1(tmp_path), labels="fab")
    put(tmp_path / "fab.csv", "image,fab,slide\nIm001_1.jpg,l2,A\nim002_1.JPG,L3,A\nIm010_0.jpg,Normal,\n")
    for labels in ("fab", "auto"):
        found = all_idb1.read(tmp_path, labels=labels)  # type: ignore[arg-type]
        assert [sample.label for sample in found] == ["L2", "L3", "normal"]
        assert [sample.group for sample in found] == ["ALL-IDB1/A", "ALL-IDB1/A", "ALL-IDB1/Im010_0"]
    assert {sample.label for sample in all_idb1.read(tmp_path, labels="binary")} == {"normal", "leukaemia"}


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
    assert says in said("all-idb1", tmp_path)


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


# --- C-NMC -----------------------------------------------------------------------------------------------------------


def cnmc(root: Path) -> Path:
    put(root / "C-NMC_training_data" / "fold_0" / "all" / "UID_07_1_2_all.bmp")
    put(root / "C-NMC_training_data" / "fold_0" / "hem" / "UID_H12_1_1_hem.bmp")
    test = root / "C-NMC_test_prelim_phase_data"
    put(test / "C-NMC_test_prelim_phase_data" / "1.bmp")
    put(test / "C-NMC_test_prelim_phase_data" / "2.bmp")
    rows = "Patient_ID,new_names,labels\nUID_57_29_1_all.bmp,1.bmp,1\nUID_H49_3_1_hem.bmp,2.bmp,0\n"
    put(test / "C-NMC_test_prelim_phase_data_labels.csv", rows)
    put(root / "C-NMC_test_final_phase_data" / "9.bmp")
    return root


def test_cnmc(tmp_path: Path) -> None:
    found = read_dataset("cnmc2019", cnmc(tmp_path))
    assert [(s.label, s.group, s.part) for s in found] == [
        ("all", "57", "test"),
        ("hem", "H49", "test"),
        ("all", "7", "fold_0"),
        ("hem", "H12", "fold_0"),
    ]


def test_cnmc_bad_trees(tmp_path: Path) -> None:
    cnmc(tmp_path)
    fold = tmp_path / "C-NMC_training_data" / "fold_0"
    put(fold / "all" / "UID_H3_1_1_hem.bmp")
    assert "move it where its name says" in said("cnmc2019", tmp_path)
    (fold / "all" / "UID_H3_1_1_hem.bmp").rename(fold / "all" / "cell.bmp")
    assert "a name without a subject" in said("cnmc2019", tmp_path)
    (fold / "all" / "cell.bmp").unlink()
    (fold / "all" / "UID_07_1_2_all.bmp").unlink()
    assert "fold_0/all" in said("cnmc2019", tmp_path)
    next(tmp_path.rglob("2.bmp")).unlink()
    assert "1 more" in said("cnmc2019", tmp_path)


# --- class folders ---------------------------------------------------------------------------------------------------


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


# --- manifest --------------------------------------------------------------------------------------------------------


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


# --- BCCD ------------------------------------------------------------------------------------------------------------


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


# --- Zheng -----------------------------------------------------------------------------------------------------------


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


# --- BloodMNIST ------------------------------------------------------------------------------------------------------


def arrays(**changes: object) -> dict[str, object]:
    rng = np.random.default_rng(1)
    out: dict[str, object] = {}
    for part, count in (("train", 5), ("val", 2), ("test", 3)):
        out[f"{part}_images"] = rng.integers(0, 256, (count, 28, 28, 3), np.uint8)
        out[f"{part}_labels"] = np.arange(count, dtype=np.uint8)[:, None]
    return out | changes


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_bloodmnist(tmp_path: Path, save: object) -> None:
    content = arrays()
    save(tmp_path / "bloodmnist.npz", **content)  # type: ignore[operator]
    found = read_dataset("bloodmnist", tmp_path)
    assert found == read_dataset("bloodmnist", tmp_path / "bloodmnist.npz")
    assert Counter(s.part for s in found) == {"train": 5, "validation": 2, "test": 3}
    assert found[7].name == "bloodmnist.npz#00007"
    assert (found[7].label, found[7].part, found[7].order) == ("basophil", "test", 2)
    np.testing.assert_array_equal(load_rgb(found[7]), content["test_images"][0])  # type: ignore[index]
    np.testing.assert_array_equal(load_rgb(found[4]), content["train_images"][4])  # type: ignore[index]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"test_labels": np.array([0, 1, 8])}, "8 in `test_labels`"),
        ({"val_labels": np.array([0])}, "one label a frame"),
        ({"val_images": np.zeros((2, 28, 28), np.uint8)}, "of (N, H, W, 3) uint8"),
        ({"val_images": np.zeros((2, 28, 28, 3), np.float32)}, "of (N, H, W, 3) uint8"),
        ({"val_labels": np.array([{}, {}])}, "a truncated or foreign file"),
    ],
)
def test_bad_bloodmnist(tmp_path: Path, changes: dict[str, object], says: str) -> None:
    np.savez(tmp_path / "bloodmnist.npz", **arrays(**changes))  # type: ignore[arg-type]
    assert says in said("bloodmnist", tmp_path)


def test_truncated_or_ambiguous_bloodmnist(tmp_path: Path) -> None:
    path = tmp_path / "bloodmnist.npz"
    np.savez_compressed(path, **arrays())  # type: ignore[arg-type]
    np.savez(tmp_path / "bloodmnist_64.npz", x=1)
    assert "name the file itself" in said("bloodmnist", tmp_path)
    assert "the arrays x" in said("bloodmnist", tmp_path / "bloodmnist_64.npz")
    path.write_bytes(path.read_bytes()[:500])
    assert "a truncated or foreign file" in said("bloodmnist", path)


# --- the real trees --------------------------------------------------------------------------------------------------

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
