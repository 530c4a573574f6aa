"""Data as they come: damaged files and classes too rare to split; a run goes on where it was told to."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.assemble import assemble, make_task, split_stages
from stages.data_settings import DataSettings
from stages.errors import DataError
from stages.preprocess import Preprocess
from stages.settings import PreprocessSettings, SplitSettings


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """Two classes of 8, one of 2 and one of 1; one image of each large class is cut off."""
    random = np.random.default_rng(0)
    root = tmp_path / "cells"
    for label, number in {"a": 8, "b": 8, "c": 2, "d": 1}.items():
        (root / label).mkdir(parents=True)
        for i in range(number):
            Image.fromarray(random.integers(0, 256, (48, 48, 3), np.uint8)).save(root / label / f"{i}.png")
    for file in (root / "a" / "3.png", root / "b" / "7.png"):
        file.write_bytes(file.read_bytes()[:900])
    return root


def _settings(root: Path, **options: object) -> DataSettings:
    return DataSettings.model_validate({"dataset": "folder", "root": root, **options})


@pytest.mark.parametrize("near", [True, False])
def test_damaged_images_are_left_out_and_named(cells: Path, tmp_path: Path, near: bool) -> None:
    stage = assemble(_settings(cells, on_bad_file="leave-out", rare="drop"), near)
    assert Counter(sample.label for sample in stage.samples) == {"a": 7, "b": 7}
    assert stage.notes[:2] == (
        "Left out as too rare, in fewer than 3 groups: c (2 images in 2 groups), d (1 images in 1 groups).",
        "2 of 16 images are damaged and were left out: a/3.png, b/7.png.",
    )
    stages, splits = split_stages({3: stage}, {3: SplitSettings(near_duplicates=near)}, 0, tmp_path)
    task = make_task(stages[3], splits[3], Preprocess(PreprocessSettings(image_size=16)))
    assert sum(map(len, task.rows.values())) == 14
    # Mended files are seen again: what is known of damage hangs on the content.
    for name in ("a/3.png", "b/7.png"):
        Image.fromarray(np.random.default_rng(1).integers(0, 256, (48, 48, 3), np.uint8)).save(cells / name)
    mended = assemble(_settings(cells, on_bad_file="leave-out", rare="drop"), near)
    assert len(mended.samples) == 16
    assert mended.notes[1] == "Every image could be decoded."


def test_a_damaged_image_stops_the_run_else_and_the_way_out_is_named(cells: Path) -> None:
    with pytest.raises(DataError, match=r"3\.png.*1 more; `mtl data check` lists all, `data\.on_bad_file="):
        assemble(_settings(cells), near_duplicates=True)


def test_rare_classes_are_merged(cells: Path) -> None:
    stage = assemble(_settings(cells, on_bad_file="leave-out", rare="merge"), near_duplicates=False)
    assert stage.classes == ("a", "b", "rare")
    assert Counter(sample.label for sample in stage.samples)["rare"] == 3
    assert stage.notes[0].startswith("Made one class `rare`")
    with pytest.raises(DataError, match=r"least_groups` = 4 groups together, but c, d are in 3"):
        assemble(_settings(cells, rare="merge", least_groups=4), near_duplicates=False)


def test_a_rare_class_stops_the_split_and_the_way_out_is_named(cells: Path, tmp_path: Path) -> None:
    stage = assemble(_settings(cells, on_bad_file="leave-out"), near_duplicates=False)
    with pytest.raises(DataError, match=r"class 'd'.* set `data\.rare` to drop or merge"):
        split_stages({3: stage}, {3: SplitSettings()}, 0, tmp_path)
    with pytest.raises(DataError, match=r"set `data\.rare` to drop or merge and `data\.least_groups` to 5"):
        split_stages({3: stage}, {3: SplitSettings(method="kfold", folds=5)}, 0, tmp_path)


def test_groups_are_ignored_when_told_and_the_report_says_that_it_leaks(cells: Path) -> None:
    for name in ("4.png", "5.png"):
        (cells / "a" / name).write_bytes((cells / "a" / "0.png").read_bytes())
    known = assemble(_settings(cells, on_bad_file="leave-out", rare="drop"), near_duplicates=True)
    assert len({sample.group for sample in known.samples if sample.group}) == 1
    ignored = assemble(_settings(cells, on_bad_file="leave-out", rare="drop", groups="ignore"), True)
    assert {sample.group for sample in ignored.samples} == {None}
    assert ignored.unit.endswith("ignored)")
    assert any("This split leaks" in note for note in ignored.notes)
