"""From settings to samples, parts and arrays; leaks are looked for in the files and not in our groups."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from stages.assemble import Assembled, assemble, make_task, split_stages
from stages.data.patients import join_patients
from stages.data_settings import DataSettings
from stages.errors import DataError
from stages.preprocess import Preprocess
from stages.settings import PreprocessSettings, SplitSettings
from stages.splits.split import Split, group_of


def picture(seed: int, size: int = 64) -> np.ndarray:
    random = np.random.default_rng(seed)
    layers = [
        cv2.resize(random.random((n, n, 3)), (size, size), interpolation=cv2.INTER_CUBIC) for n in (4, 8, 32)
    ]
    return np.clip(np.sum(layers, axis=0) * 85, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of 40 images; images 20 to 39 are copies of 0 to 19."""
    root = tmp_path_factory.mktemp("copies")
    for number, label in enumerate("abc"):
        (root / label).mkdir()
        for i in range(40):
            Image.fromarray(picture(number * 100 + i % 20)).save(root / label / f"{i:02}.png")
    return root


def read(root: Path, near: bool = True, dataset: str = "folder", **options: object) -> Assembled:
    settings = DataSettings.model_validate({"dataset": dataset, "root": root, **options})
    return assemble(settings, near_duplicates=near)


def split(**options: object) -> SplitSettings:
    return SplitSettings.model_validate(options)


def content(stage: Assembled, names: tuple[str, ...]) -> set[str]:
    paths = {sample.name: sample.path for sample in stage.samples}
    return {hashlib.sha256(paths[name].read_bytes()).hexdigest() for name in names}


def shared(stages: dict[int, Assembled], splits: dict[int, Split]) -> int:
    """Pictures that one stage trains or validates on and another (or the same) tests on."""
    tested = set().union(*(content(stages[n], splits[n].test) for n in splits))
    learned = set().union(*(content(stages[n], (*splits[n].train, *splits[n].validation)) for n in splits))
    return len(tested & learned)


@pytest.mark.parametrize(
    ("second", "third"),
    [
        ({}, {}),
        ({"limit": 17}, {}),
        ({}, {"limit": 17}),
        ({"limit": 31}, {"limit": 17}),
        ({"drop": ("c",)}, {}),
        ({"positive": "a"}, {"drop": ("b",)}),
        ({"near": False}, {}),
        ({}, {"near": False}),
    ],
)
@pytest.mark.parametrize("method", ["grouped", "kfold", "block"])
def test_stages_that_take_the_same_images_in_their_own_way_do_not_leak(
    copies: Path, tmp_path: Path, second: dict[str, object], third: dict[str, object], method: str
) -> None:
    stages = {2: read(copies, **second), 3: read(copies, **third)}  # type: ignore[arg-type]
    settings = split(method=method, folds=4, fold=2)
    tied, splits = split_stages(stages, {2: settings, 3: settings}, 0, tmp_path)
    assert shared(tied, splits) == 0
    assert len(splits[3].test) >= 6


def test_without_the_search_copies_do_straddle_so_the_test_above_can_fail(
    copies: Path, tmp_path: Path
) -> None:
    stages = {3: read(copies, near=False)}
    assert shared(stages, split_stages(stages, {3: split()}, 0, tmp_path)[1]) > 0


def test_saved_lists_come_back_and_those_of_another_seed_are_refused(copies: Path, tmp_path: Path) -> None:
    stages = {2: read(copies), 3: read(copies)}
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    _, first = split_stages(stages, {2: split(), 3: split()}, 0, tmp_path / "a")
    saved = split(method="files", folder=tmp_path / "a")
    _, again = split_stages(stages, {2: saved, 3: saved}, 7, tmp_path / "b")
    assert again == first
    with pytest.raises(DataError, match="leaks"):
        split_stages(stages, {2: saved, 3: split()}, 7, tmp_path / "b")
    with pytest.raises(DataError, match="saved split"):
        split_stages(stages, {2: split(), 3: split(method="files", folder=tmp_path)}, 0, tmp_path / "b")
    with pytest.raises(DataError, match="lists"):
        split_stages({3: read(copies, limit=9)}, {3: saved}, 0, tmp_path / "b")


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_rendered_slides_stay_on_one_side(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, stated: bool
) -> None:
    with (rendered / "ALL-IDB1" / "fab.csv").open(newline="") as stream:
        slide = {row["image"]: row["slide"] for row in csv.DictReader(stream)}
    with (rendered / "ALL-IDB2" / "crops.csv").open(newline="") as stream:
        origin = {row["image"]: row["field"] for row in csv.DictReader(stream)}
    if not stated:
        monkeypatch.setattr("stages.assemble.stated_origins", lambda root: None)
    stages = {
        2: read(rendered / "ALL-IDB2", seed == 0, "all-idb2"),
        3: read(rendered / "ALL-IDB1", seed == 0, "all-idb1"),
    }
    tied, splits = split_stages(stages, {2: split(), 3: split(test=0.25)}, seed, tmp_path)
    places: dict[str, set[str]] = {}
    for name, part in splits[3].part_of().items():
        places.setdefault(slide[Path(name).name], set()).add(part)
    for name, part in splits[2].part_of().items():
        places.setdefault(slide[origin[Path(name).name]], set()).add(part)
    assert {len(parts) for parts in places.values()} == {1}
    assert any("test" in parts for parts in places.values())
    how = "stated by crops.csv" if stated else "found by template matching"
    total = len(origin)
    for number in (2, 3):
        assert f"{total} of {total} crops" in tied[number].notes[-1]
        assert how in tied[number].notes[-1]
        assert [one.name for one in tied[number].samples] == [one.name for one in stages[number].samples]


def test_a_limit_takes_images_from_the_whole_range_of_every_class(copies: Path) -> None:
    data = read(copies, near=False, limit=5)
    assert Counter(sample.label for sample in data.samples) == {"a": 5, "b": 5, "c": 5}
    taken = [int(Path(sample.name).stem) for sample in data.samples if sample.label == "b"]
    assert (taken[0], taken[-1]) == (0, 39)
    assert set(np.diff(taken)) <= {9, 10, 11}
    assert len(read(copies, near=False, limit=1000).samples) == 120


def test_the_positive_class_is_the_last(copies: Path) -> None:
    data = read(copies, near=False, positive="a")
    assert data.classes == ("other", "a")
    assert data.labels().tolist() == [int(Path(sample.name).parent.name == "a") for sample in data.samples]


def test_labels_and_groups_do_not_depend_on_where_the_data_lie(copies: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.symlink_to(copies)
    one, other = read(copies), read(moved)
    assert one.fingerprint == other.fingerprint
    assert [group_of(sample) for sample in one.samples] == [group_of(sample) for sample in other.samples]
    assert not one.rendered
    assert read(copies, positive="a").fingerprint != one.fingerprint


def test_what_is_copied_is_told(copies: Path) -> None:
    notes = read(copies).notes
    assert "60 identical and 0 near-duplicate pairs" in notes[0]
    assert "largest of 2" in notes[0]
    assert read(copies, near=False).notes == ()


def test_a_task_hands_out_the_pictures_of_its_parts(copies: Path, tmp_path: Path) -> None:
    stage = read(copies)
    chosen = split_stages({3: stage}, {3: split(method="block", test=0.3)}, 0, tmp_path)[1][3]
    task = make_task(stage, chosen, Preprocess(PreprocessSettings(image_size=64)))
    for part in ("train", "validation", "test"):
        rows = task.rows[part]
        assert {stage.samples[row].name for row in rows} == set(getattr(chosen, part))
        for row in rows[:3]:
            sample = stage.samples[row]
            np.testing.assert_array_equal(task.images[row], np.asarray(Image.open(sample.path)))
            assert task.classes[task.labels[row]] == sample.label
    # Copies lie 20 numbers apart, so the block before a border loses those that are tested.
    assert len(chosen.left_out) == 120 - sum(len(rows) for rows in task.rows.values()) > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"positive": "z"}, r"data\.positive.*'z'.*a, b, c"),
        ({"drop": ("a", "z")}, r"data\.drop.*'z'"),
        ({"drop": ("a", "b")}, r"only 'c'"),
        ({"drop": ("a", "b", "c")}, "no image"),
        ({"drop": ("a",), "positive": "a"}, r"data\.positive.*b, c"),
        ({"root": None}, r"data\.root"),
        ({"root": Path("/nowhere/at all")}, "nowhere"),
        ({"dataset": "al-idb1"}, "all-idb1"),
    ],
)
def test_what_cannot_be_assembled_is_one_line(copies: Path, options: dict[str, object], said: str) -> None:
    settings = DataSettings.model_validate({"dataset": "folder", "root": copies, **options})
    with pytest.raises(DataError, match=said) as caught:
        assemble(settings, near_duplicates=False)
    assert "\n" not in str(caught.value)


def test_one_class_alone_is_nothing_to_learn(tmp_path: Path) -> None:
    (tmp_path / "only").mkdir()
    Image.fromarray(picture(0)).save(tmp_path / "only" / "1.png")
    with pytest.raises(DataError, match=r"two or more.*'only'"):
        read(tmp_path, near=False)


@pytest.mark.parametrize("near", [False, True], ids=["by file", "by copies"])
def test_a_patient_and_its_images_in_another_stage_are_never_on_two_sides(
    copies: Path, tmp_path: Path, near: bool
) -> None:
    images = read(copies, near=False)
    of = {sample.name: f"{sample.label}{int(Path(sample.name).stem) % 5}" for sample in images.samples}
    named = [replace(sample, group=of[sample.name]) for sample in images.samples]
    patients = replace(images, samples=tuple(join_patients(named, of)), fingerprint="patients")
    settings = split(near_duplicates=near)
    tied, splits = split_stages({2: images, 3: patients}, {2: settings, 3: settings}, 0, tmp_path)
    assert len(tied[3].samples) == 15
    tested = {
        one.path for sample in tied[3].samples if sample.name in splits[3].test for one in sample.images
    }
    assert tested
    learned = {*splits[2].train, *splits[2].validation}
    assert not tested & {sample.path for sample in tied[2].samples if sample.name in learned}
