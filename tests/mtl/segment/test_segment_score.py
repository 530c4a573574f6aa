"""`mtl segment score`: against arithmetic done by hand, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import called
from PIL import Image
from test_segment_images import mtl, refused


def disc(x: int, y: int, radius: int) -> np.ndarray:
    rows, columns = np.mgrid[:100, :120]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def write(path: Path, cells: list[tuple[int, int]], levels: tuple[int, int] = (128, 255)) -> None:
    mask = np.zeros((100, 120), np.uint8)
    for x, y in cells:
        mask[disc(x, y, 16)] = levels[0]
        mask[disc(x, y, 8)] = levels[1]
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(mask).save(path)


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """Truth in BCCD's code, predictions in Zheng's: one right, one with a cell too many and a cell missed."""
    write(tmp_path / "truth" / "a.png", [(30, 30)], (155, 255))
    write(tmp_path / "truth" / "b.png", [(30, 30), (90, 60)], (155, 255))
    write(tmp_path / "truth" / "only.png", [(30, 30)])
    Image.new("RGB", (120, 100), (200, 180, 190)).save(
        tmp_path / "truth" / "a.bmp"
    )  # the image beside its mask
    write(tmp_path / "found" / "a.png", [(30, 30)])
    write(tmp_path / "found" / "b.png", [(30, 30), (90, 20)])
    return tmp_path


def test_means_and_counts_are_those_done_by_hand(masks: Path) -> None:
    done = mtl("segment", "score", "truth", "found", "--json", cwd=masks)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["images"]["a"]["cell"]["dice"] == 1.0
    assert told["images"]["b"]["nucleus"]["dice"] == pytest.approx(0.5)  # one of two, equally large
    assert told["mean"]["nucleus"]["dice"] == pytest.approx(0.75)
    assert told["counts"] == {
        "true": 3,
        "predicted": 3,
        "matched": 2,
        "precision": pytest.approx(2 / 3),
        "recall": pytest.approx(2 / 3),
    }
    assert told["only_truth"] == ["only"]
    text = called("segment", "score", "truth", "found", cwd=masks).stdout
    assert "0.7500" in text
    assert "1 without a prediction, such as only" in text


def test_two_files_of_other_names_are_a_pair(masks: Path) -> None:
    done = called("segment", "score", "truth/only.png", "found/a.png", "--json", cwd=masks)
    assert json.loads(done.stdout)["mean"]["cell"]["iou"] == 1.0


def test_masks_of_two_levels_tell_one_part(masks: Path) -> None:
    write(masks / "two" / "a.png", [(30, 30)], (0, 255))
    told = json.loads(called("segment", "score", "two", "found", "--json", cwd=masks).stdout)
    assert told["mean"]["nucleus"]["dice"] == 1.0
    assert "cell" not in told["mean"]
    assert told["counts"]["matched"] == 1
    write(masks / "whole" / "a.png", [(30, 30)], (255, 255))
    told = json.loads(
        called("segment", "score", "whole", "found", "--binary", "cell", "--json", cwd=masks).stdout
    )
    assert told["mean"]["cell"]["dice"] == 1.0
    assert "nucleus" not in told["mean"]


def test_unexpected_values_are_named_and_may_be_rounded(masks: Path) -> None:
    write(masks / "odd" / "a.png", [(30, 30)], (131, 250))
    line = refused(called("segment", "score", "truth", "odd", cwd=masks))
    for part in ("131, 250", "0/255", "0/128/255", "0/155/255", "--snap", "a.png"):
        assert part in line
    told = json.loads(called("segment", "score", "truth", "odd", "--snap", "--json", cwd=masks).stdout)
    assert told["mean"]["cell"]["dice"] == 1.0


def test_a_mask_without_background_is_scored(masks: Path) -> None:
    Image.fromarray(np.full((100, 120), 255, np.uint8)).save(masks / "found" / "a.png")
    done = called("segment", "score", "truth", "found", cwd=masks)
    assert done.returncode == 0, done.stderr


def test_bad_input_is_one_line(masks: Path) -> None:
    Image.fromarray(np.zeros((50, 60), np.uint8)).save(masks / "small.png")
    (masks / "empty").mkdir()
    write(masks / "other" / "z.png", [(30, 30)])
    for said, arguments in (
        ("100 x 120", ["truth/a.png", "small.png"]),
        ("to hold masks", ["truth", "empty"]),
        ("nowhere", ["truth", "nowhere"]),
        ("same names", ["truth", "other"]),
        ("`binary`", ["truth", "found", "--binary", "x"]),
        ("colours", ["truth/a.png", "truth/a.bmp"]),
    ):
        assert said in refused(called("segment", "score", *arguments, cwd=masks))
