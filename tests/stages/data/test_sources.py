"""Several data sets in one stage: names, classes, shares."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from stages.assemble import Assembled, assemble
from stages.data.sources import read_sources, source_names
from stages.data_settings import DataSettings
from stages.errors import DataError


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC).save(path)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two folders: `a` and `b` with 8 images each, and `alpha`, `b`, `c`; one picture of `b` is in both."""
    root = tmp_path_factory.mktemp("sources")
    for number, (folder, labels) in enumerate({"one": "a b", "two": "alpha b c"}.items()):
        for place, label in enumerate(labels.split()):
            for i in range(8):
                picture(root / folder / label / f"{i}.png", 1000 * number + 100 * place + i)
    picture(root / "two" / "b" / "0.png", 105)  # what one/b/5.png shows
    return root / "one", root / "two"


def settings(two: tuple[Path, Path], first: Any = (), second: Any = (), **more: Any) -> DataSettings:
    sources = [
        {"dataset": "folder", "root": root, **dict(own)}
        for root, own in zip(two, (first, second), strict=True)
    ]
    return DataSettings.model_validate({"sources": sources, **more})


def counts(stage: Assembled) -> dict[tuple[str, str], int]:
    return dict(Counter((sample.source, sample.label) for sample in stage.samples))


MAPPED = {"rename": {"alpha": "a"}, "drop": ["c"]}


def test_classes_are_mapped_and_every_sample_keeps_its_data_set(two: tuple[Path, Path]) -> None:
    stage = assemble(settings(two, second=MAPPED), near_duplicates=True)
    assert stage.classes == ("a", "b")
    assert counts(stage) == dict.fromkeys([(s, c) for s in ("folder", "folder-2") for c in "ab"], 8)
    assert {sample.dataset for sample in stage.samples} == {"folder"}
    assert len({sample.name for sample in stage.samples}) == 32
    assert {sample.name for sample in stage.samples} >= {"folder/a/0.png", "folder-2/alpha/0.png"}
    assert stage.name == "folder+folder-2"
    assert stage.unit.count("image (no patient ids)") == 2


def test_copies_are_found_across_sources(two: tuple[Path, Path]) -> None:
    stage = assemble(settings(two, second=MAPPED), near_duplicates=True)
    group = {sample.name: sample.group for sample in stage.samples}
    assert group["folder/b/5.png"] == group["folder-2/b/0.png"] is not None
    assert "1 groups hold images of several sources" in " ".join(stage.notes)


def test_one_image_has_one_key_alone_and_beside_others(two: tuple[Path, Path]) -> None:
    alone, _ = read_sources(DataSettings(dataset="folder", root=two[0]))
    beside, _ = read_sources(settings(two, second=MAPPED))
    keys = {sample.path: sample.key for sample in beside}
    assert all(keys[sample.path] == sample.key for sample in alone)
    assert len(set(keys.values())) == len(beside)


@pytest.mark.parametrize(
    ("classes", "left"),
    [("shared", {"b": 16}), ("all", {"a": 8, "alpha": 8, "b": 16, "c": 8})],
)
def test_what_one_source_lacks_is_left_out_or_kept_on_request(
    two: tuple[Path, Path], classes: str, left: dict[str, int]
) -> None:
    samples, _ = read_sources(settings(two, classes=classes))
    assert Counter(sample.label for sample in samples) == left


def test_shares_and_limits_are_of_a_source(two: tuple[Path, Path]) -> None:
    stage = assemble(settings(two, {"share": 0.5}, MAPPED | {"limit": 3}), near_duplicates=False)
    assert counts(stage) == {
        ("folder", "a"): 4,
        ("folder", "b"): 4,
        ("folder-2", "a"): 3,
        ("folder-2", "b"): 3,
    }


def test_one_class_against_all_others_is_so_in_every_source(two: tuple[Path, Path]) -> None:
    stage = assemble(settings(two, positive="b"), near_duplicates=False)
    assert stage.classes == ("other", "b")
    assert counts(stage)["folder-2", "other"] == 16
    with pytest.raises(DataError, match=r"data\.positive.*folder-2.*'a'.*alpha, b, c"):
        assemble(settings(two, positive="a"), near_duplicates=False)


def test_damaged_files_rare_classes_and_ignored_groups_are_of_all_sources(
    two: tuple[Path, Path], tmp_path: Path
) -> None:
    broken = tmp_path / "one"
    shutil.copytree(two[0], broken)
    (broken / "a" / "3.png").write_bytes(b"no image")
    more = {"on_bad_file": "leave-out", "rare": "drop", "least_groups": 9, "groups": "ignore"}
    stage = assemble(settings((broken, two[1]), second=MAPPED | {"limit": 1}, **more), near_duplicates=True)
    assert counts(stage) == {
        ("folder", "a"): 7,
        ("folder", "b"): 8,
        ("folder-2", "a"): 1,
        ("folder-2", "b"): 1,
    }
    assert {sample.group for sample in stage.samples} == {None}
    assert stage.unit.count("ignored") == 2


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({}, {}, r"folder lacks alpha, c; folder-2 lacks a; do .*rename.*drop.*data\.classes"),
        ({}, {"rename": {"z": "a"}}, r"data\.rename.*folder-2.*'z'.*alpha, b, c"),
        ({"drop": ["z"]}, {}, r"data\.drop.*folder.*'z'"),
        ({}, {"labels": "fab"}, r"`labels` to be left out for folder"),
    ],
)
def test_what_is_not_mapped_is_one_line(
    two: tuple[Path, Path], first: dict[str, Any], second: dict[str, Any], said: str
) -> None:
    with pytest.raises(DataError, match=said) as caught:
        assemble(settings(two, first, second), near_duplicates=False)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({}, "name a `dataset` or several `sources`, but got neither"),
        ({"dataset": "pbc", "sources": [{"dataset": "pbc"}]}, "both"),
        ({"drop": ["x"], "sources": [{"dataset": "pbc"}]}, r"both \(`drop`\)"),
        ({"sources": [{"root": "x"}]}, "every entry"),
        ({"dataset": "pbc", "share": 0}, "greater than 0"),
    ],
)
def test_settings_name_one_data_set_or_several(value: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        DataSettings.model_validate(value)


def test_fab_is_said_and_not_found(two: tuple[Path, Path]) -> None:
    assert DataSettings(dataset="all-idb1").labels == "fab"
    assert DataSettings.model_validate({"sources": [{"dataset": "all-idb1"}]}).each()[0].labels == "fab"
    assert DataSettings(dataset="all-idb1", labels="detection").labels == "detection"
    assert DataSettings(dataset="pbc").labels is None


def test_two_classes_are_never_called_fab(tmp_path: Path) -> None:
    for number in range(6):
        picture(tmp_path / "im" / f"Im00{number}_{number % 2}.jpg", number)
    told = {}
    for labels in ("detection", "fab"):
        (tmp_path / "fab.csv").write_text(
            "image,fab\n" + "".join(f"Im00{n}_{n % 2}.jpg,{('normal', 'L1')[n % 2]}\n" for n in range(6))
        )
        stage = assemble(
            DataSettings(dataset="all-idb1", root=tmp_path, labels=labels),  # type: ignore[arg-type]
            near_duplicates=False,
        )
        told[labels] = (stage.classes, stage.notes[0])
    assert told["detection"][0] == ("normal", "leukaemia")
    assert "no FAB classes" in told["detection"][1]
    assert told["fab"][0] == ("normal", "L1")
    assert "no classification by FAB" in told["fab"][1]


def test_names_of_sources() -> None:
    assert source_names(["pbc", "wbc-1", "pbc", "pbc"]) == ("pbc", "wbc-1", "pbc-2", "pbc-3")
