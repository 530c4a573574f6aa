"""Data sets from elsewhere: classes are mapped, what was learned from is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stages.assemble import assemble, split_stages
from stages.data_settings import DataSettings, ExternalSettings
from stages.errors import DataError
from stages.external import External, Trained, assemble_external
from stages.settings import SplitSettings
from stages.splits.chains import Learned

CLASSES = ("a", "b")


def picture(path: Path, seed: int, noise: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    pixels = np.asarray(
        Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)).resize(
            (64, 64), Image.Resampling.BICUBIC
        ),
        np.int16,
    )
    shaken = pixels + np.random.default_rng(seed + 1).integers(-noise, noise + 1, pixels.shape)
    Image.fromarray(np.clip(shaken, 0, 255).astype(np.uint8)).save(path)


def folder(root: Path, labels: dict[str, range], noise: int = 0) -> Path:
    for label, seeds in labels.items():
        for seed in seeds:
            picture(root / label / f"{seed}.png", seed, noise)
    return root


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory.mktemp("home"), {"a": range(20), "b": range(100, 120)})


@pytest.fixture(scope="module")
def trained(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    stage = assemble(DataSettings(dataset="folder", root=home), near_duplicates=True)
    data, splits = split_stages({2: stage}, {2: SplitSettings()}, 0, tmp_path_factory.mktemp("splits"))
    return Trained(data, splits, Learned())


def outside(root: Path, trained: Trained, positive: str | None = None, **more: Any) -> External:
    settings = ExternalSettings.model_validate({"dataset": "folder", "root": root, **more})
    return assemble_external(settings, "folder", 2, CLASSES, trained, positive)


def learned(trained: Trained) -> list[Path]:
    return [sample.path for sample in trained.stages[2].samples if sample.name in trained.names(2)]


def test_labels_are_mapped(tmp_path: Path, trained: Trained) -> None:
    root = folder(tmp_path, {"A": range(200, 204), "b": range(300, 303), "c": range(400, 402)})
    found = outside(root, trained, rename={"A": "a"}, drop=["c"])
    assert sorted(sample.label for sample in found.samples) == ["a"] * 4 + ["b"] * 3
    assert found.notes[0].startswith("0 of 7 images were left out")
    with pytest.raises(
        DataError, match=r"classes of stage 2 \(a, b\), but it holds A, c.*tests\.0\.drop=\[A,c\]"
    ) as caught:
        outside(root, trained)
    assert len(str(caught.value)) < 300


def test_of_one_class_against_all_others_every_label_is_one_of_two(tmp_path: Path, trained: Trained) -> None:
    root = folder(tmp_path, {"x": range(200, 204), "b": range(300, 303), "c": range(400, 402)})
    settings = ExternalSettings(dataset="folder", root=root)
    found = assemble_external(settings, "folder", 2, ("other", "b"), trained, "b")
    assert sorted(sample.label for sample in found.samples) == ["b"] * 3 + ["other"] * 6


def copies(root: Path, trained: Trained, count: int) -> Path:
    """Fresh images, and copies of `count` that were learned from; those bear other names."""
    folder(root, {"a": range(200, 206), "b": range(300, 306)})
    for number, path in enumerate(learned(trained)[:count]):
        (root / path.parent.name / f"copy{number}.png").write_bytes(path.read_bytes())
    return root


def test_images_that_were_trained_on_are_refused_and_counted(tmp_path: Path, trained: Trained) -> None:
    root = copies(tmp_path, trained, 5)
    with pytest.raises(
        DataError, match=r"5 of 17 .*such as 'a/copy0\.png'.*tests\.0\.seen=leave-out"
    ) as caught:
        outside(root, trained)
    assert len(str(caught.value)) < 300
    found = outside(root, trained, seen="leave-out")
    assert not [sample.name for sample in found.samples if "copy" in sample.name]
    assert len(found.samples) == 12
    assert "5 as trained on" in found.notes[0]


def test_the_set_that_was_trained_on_is_refused_by_name(home: Path, trained: Trained) -> None:
    with pytest.raises(DataError, match=rf"{len(learned(trained))} of 40"):
        outside(home, trained)
    # What the internal test holds out is no image that was learned from.
    found = outside(home, trained, seen="leave-out")
    assert {sample.path for sample in found.samples} == {
        sample.path for sample in trained.stages[2].samples
    } - set(learned(trained))


def test_near_duplicates_of_training_are_left_out(tmp_path: Path, trained: Trained) -> None:
    folder(tmp_path, {"a": range(200, 206), "b": range(300, 306)})
    for path in learned(trained)[:4]:
        picture(tmp_path / path.parent.name / f"near{path.stem}.png", int(path.stem), noise=2)
    found = outside(tmp_path, trained)
    assert len(found.samples) == 12
    assert found.notes[0].startswith("4 of 16 images were left out as near-duplicates")


def test_patients_that_were_trained_on_are_refused(tmp_path: Path, home: Path) -> None:
    def table(name: str, rows: list[tuple[Path, str, str]]) -> Path:
        path = tmp_path / name
        text = "".join(f"{image},{label},{patient}\n" for image, label, patient in rows)
        path.write_text("path,label,group\n" + text)
        return path

    root = folder(tmp_path / "new", {"a": range(200, 204), "b": range(300, 304)})
    known = [(path, path.parent.name, f"p{int(path.stem) % 5}") for path in sorted(home.rglob("*.png"))]
    stage = assemble(DataSettings(dataset="manifest", root=table("home.csv", known)), near_duplicates=True)
    data, splits = split_stages({2: stage}, {2: SplitSettings()}, 0, tmp_path)
    trained = Trained(data, splits, Learned())
    patient = next(stage.stated[name] for name in splits[2].train)
    fresh = [(path, path.parent.name, f"new{path.stem}") for path in sorted(root.rglob("*.png"))]
    one = table("one.csv", [*fresh[:-1], (*fresh[-1][:2], patient)])
    settings = ExternalSettings(dataset="manifest", root=one)
    with pytest.raises(DataError, match=r"1 of 8 .*patients"):
        assemble_external(settings, "manifest", 2, CLASSES, trained)
    found = assemble_external(
        ExternalSettings(dataset="manifest", root=table("none.csv", fresh)), "manifest", 2, CLASSES, trained
    )
    assert len(found.samples) == 8


def test_what_is_left_must_hold_two_classes(tmp_path: Path, trained: Trained) -> None:
    with pytest.raises(DataError, match=r"two or more classes.* lack b"):
        outside(folder(tmp_path, {"a": range(200, 204)}), trained)
