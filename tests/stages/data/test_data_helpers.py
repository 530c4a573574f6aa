"""The helpers that readers share: problems in one line, tables, trees, frames of an archive, scans."""

from __future__ import annotations

import csv
import io
import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.data.catalogue import CATALOGUE, find_dataset
from stages.data.dataset import DataSet, samples_of
from stages.data.npz import read_frame, read_labels
from stages.data.problems import BadFileError, Problem, Scan, show
from stages.data.sample import Sample
from stages.data.table import read_table
from stages.data.tree import (
    find_folder,
    images_in,
    natural,
    number_in,
    read_class_folders,
    relative_name,
    require_folder,
    subfolders,
)
from stages.errors import DataError

# --- problems --------------------------------------------------------------------------------------------------------


@given(st.text())
def test_any_text_is_shown_on_one_printable_line(text: str) -> None:
    shown = show(text.encode("utf-8", "surrogatepass").decode("utf-8", "replace"))
    assert shown.isprintable()
    assert "\n" not in shown


@given(st.binary(max_size=20))
def test_any_file_name_is_shown_and_different_ones_differ(raw: bytes) -> None:
    raw = raw.replace(b"\\", b"")
    shown = show(os.fsdecode(raw))
    assert shown.isprintable()
    assert shown != show(os.fsdecode(raw + b"\xff"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain.png", "plain.png"),
        ("Zellgröße", "Zellgröße"),
        ("a\nb", r"a\nb"),
        ("\x1b[31m", r"\x1b[31m"),
        ("", ""),
    ],
)
def test_what_is_printable_stays(text: str, shown: str) -> None:
    assert show(text) == shown
    assert show(Path(text)) == shown if text else True


def test_a_problem_is_a_sentence_and_its_error_knows_its_parts() -> None:
    problem = Problem("a.png", "a readable image", "a truncated JPEG", "download it again")
    assert (
        problem.message
        == "Expected `a.png` to be a readable image, but got a truncated JPEG; do download it again."
    )
    assert problem.what == "expected a readable image, got a truncated JPEG"
    error = BadFileError(problem)
    assert str(error) == problem.message
    assert error.problem is problem
    assert isinstance(error, DataError)


def test_a_scan_collects_problems_and_notes_apart() -> None:
    scan = Scan()
    scan.problem("a\tb", "x", "y", "z")
    scan.note("c", "x", "y", "z")
    assert [problem.path for problem in scan.problems] == [r"a\tb"]
    assert [note.path for note in scan.notes] == ["c"]


# --- tables ----------------------------------------------------------------------------------------------------------

CELLS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=6)


@given(
    st.lists(CELLS.map(str.casefold).filter(str.strip), min_size=2, max_size=4, unique=True),
    st.integers(1, 4),
    st.data(),
)
@settings(max_examples=40, deadline=None)
def test_a_table_is_what_the_standard_library_reads(
    tmp_path_factory: pytest.TempPathFactory, header: list[str], count: int, data: st.DataObject
) -> None:
    lines = data.draw(
        st.lists(st.lists(CELLS, min_size=len(header), max_size=len(header)), min_size=count, max_size=count)
    )
    text = io.StringIO()
    csv.writer(text).writerows([header, *lines])
    path = tmp_path_factory.getbasetemp() / "library.csv"
    path.write_text(text.getvalue(), "utf-8", newline="")
    rows = read_table(path, header[:1], header[1:])
    assert [[row[name] for name in header] for _, row in rows] == lines
    assert [number for number, _ in rows] == list(range(2, len(lines) + 2))


def test_line_numbers_count_blank_lines_and_quoted_breaks(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('a,b\n\n1,"two\nlines"\n\n3,4\n')
    assert [(number, row["a"]) for number, row in read_table(path, ["a", "b"])] == [(4, "1"), (6, "3")]


# --- trees -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=8, unique=True), st.text("abc-_", max_size=4))
def test_natural_order_is_the_order_of_numbers(numbers: list[int], prefix: str) -> None:
    names = [f"{prefix}{number}.png" for number in numbers]
    assert [number_in(Path(name).stem) for name in sorted(names, key=natural)] == sorted(numbers)


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def test_images_are_listed_in_order_without_strangers(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "im10.png",
        "im2.PNG",
        "im1.tiff",
        "Thumbs.db",
        ".hidden.png",
        "__MACOSX/a.png",
        "deep/im0.jpg",
    )
    scan = Scan()
    assert [path.name for path in images_in(tmp_path, scan)] == ["im1.tiff", "im2.PNG", "im10.png"]
    assert [relative_name(path, tmp_path) for path in images_in(tmp_path, scan, deep=True)] == [
        "deep/im0.jpg", "im1.tiff", "im2.PNG", "im10.png",
    ]  # fmt: skip
    assert [path.name for path in images_in(tmp_path, scan, frozenset({".tiff"}))] == ["im1.tiff"]
    assert [path.name for path in subfolders(tmp_path, scan)] == ["deep"]
    assert scan.problems == []


def test_a_folder_is_found_by_name_or_by_what_lies_in_it(tmp_path: Path) -> None:
    touch(tmp_path, "BCCD/JPEGImages/a.jpg")
    assert find_folder(tmp_path, "BCCD", marks=["JPEGImages"]) == tmp_path / "BCCD"
    assert find_folder(tmp_path / "BCCD", "BCCD", marks=["JPEGImages"]) == tmp_path / "BCCD"
    assert find_folder(tmp_path, "none", "BCCD") == tmp_path / "BCCD"
    with pytest.raises(DataError, match="`Annotations`"):
        find_folder(tmp_path, "BCCD", marks=["Annotations"])
    with pytest.raises(DataError, match="got nothing"):
        require_folder(tmp_path / "nowhere")


def test_class_folders_are_numbered_by_name_or_by_place(tmp_path: Path) -> None:
    touch(tmp_path, "a/x7.png", "a/x12.png", "b/left.png", "b/right.png")
    (tmp_path / "empty").mkdir()
    scan = Scan()
    rows = read_class_folders(tmp_path, ["a", "b", "missing", "empty"], scan)
    assert [(name, order, path.name) for name, order, path in rows] == [
        ("a", 7, "x7.png"), ("a", 12, "x12.png"), ("b", 0, "left.png"), ("b", 1, "right.png"),
    ]  # fmt: skip
    assert [Path(note.path).name for note in scan.notes] == ["missing"]
    assert [Path(problem.path).name for problem in scan.problems] == ["empty"]


# --- data sets -------------------------------------------------------------------------------------------------------


def sample(name: str, label: str = "a") -> Sample:
    return Sample(Path(name), name, label, "x")


def test_samples_are_sorted_and_the_first_problem_is_raised() -> None:
    assert [s.name for s in samples_of(Scan([sample("b"), sample("a")]), "x", Path())] == ["a", "b"]
    scan = Scan([sample("a"), sample("a")])
    with pytest.raises(DataError, match="`a` to be listed once"):
        samples_of(scan, "x", Path())
    scan.problem("f", "x", "y", "z")
    with pytest.raises(DataError, match=r"`f` to be x.*1 more: `mtl data check x DIR`"):
        samples_of(scan, "x", Path())
    with pytest.raises(DataError, match="no images"):
        samples_of(Scan(), "x", Path("somewhere"))


def test_a_file_that_may_not_be_read_is_one_line(tmp_path: Path) -> None:
    def refuse(root: Path) -> Scan:
        raise PermissionError(13, "Permission denied", str(root / "secret"))

    dataset: DataSet = replace(find_dataset("pbc"), reader=refuse)
    with pytest.raises(BadFileError, match=r"secret.*Permission denied.*check its permissions"):
        dataset.scan(tmp_path)


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_typing_error_is_understood(name: str) -> None:
    assert find_dataset(name).name == name
    with pytest.raises(DataError, match=rf"did you mean .*{name}"):
        find_dataset(name.upper().replace("-", "_") + "x")


# --- frames of an archive --------------------------------------------------------------------------------------------


def archive(
    path: Path, sizes: tuple[int, int, int] = (3, 2, 4), seed: int = 0, packed: bool = True
) -> np.ndarray:
    """Write a MedMNIST file, and return all its frames in order."""
    frames = np.random.default_rng(seed).integers(0, 256, (sum(sizes), 6, 5, 3), np.uint8)
    content, start = {}, 0
    for part, size in zip(("train", "val", "test"), sizes, strict=True):
        content[f"{part}_images"] = frames[start : start + size]
        content[f"{part}_labels"] = (np.arange(size, dtype=np.uint8) % 3)[:, None]
        start += size
    (np.savez_compressed if packed else np.savez)(path, **content)  # type: ignore[arg-type]
    return frames


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("sizes", [(3, 2, 4), (1, 1, 1), (2, 0, 1), (0, 0, 2)])
def test_frames_are_counted_through_the_parts(
    tmp_path: Path, sizes: tuple[int, int, int], packed: bool
) -> None:
    frames = archive(tmp_path / "m.npz", sizes, packed=packed)
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(read_frame(tmp_path / "m.npz", number), frame)
    for outside in (-1, len(frames)):
        with pytest.raises(BadFileError, match=f"{len(frames)} frames"):
            read_frame(tmp_path / "m.npz", outside)
    labels = read_labels(tmp_path / "m.npz", 3)
    assert [len(part) for part in labels] == list(sizes)


def test_a_frame_is_a_copy_and_a_new_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    frames = archive(path)
    read_frame(path, 0)[:] = 7
    np.testing.assert_array_equal(read_frame(path, 0), frames[0])
    others = archive(path, (4, 4, 4), seed=1)
    os.utime(path, ns=(1, 1))
    np.testing.assert_array_equal(read_frame(path, 11), others[11])


def test_threads_read_the_same(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    frames = archive(path, (20, 20, 20))
    wrong: list[int] = []

    def work(first: int) -> None:
        for number in range(first, 60, 4):
            if not np.array_equal(read_frame(path, number), frames[number]):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("kept", [0.2, 0.6, 0.95])
def test_a_truncated_archive_is_named(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "m.npz"
    archive(path)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    for read in (lambda: read_frame(path, 0), lambda: read_labels(path, 3)):
        with pytest.raises(BadFileError, match=r"m\.npz.*truncated or foreign"):
            read()
