"""`mtl data clean`: labels turned on purpose are found, and the corrected table is what `mtl run` takes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_BACKBONE, called
from PIL import Image

EACH, TURNED = 30, 3
SHORT = ["--stages", "1,3", "--against", "none", "--backbone", TINY_BACKBONE, "--weights", "none", "--image-size", "32",
         "--learner", "stacked", "--set", "multi_cell.stacked.depths=[0,1]", "--set", "evaluation.resamples=100"]  # fmt: skip


def grained(root: Path) -> set[str]:
    """A folder of noise of fine or coarse grain; of each class the first few lie in the other's folder. Returns those."""
    random, names, turned = np.random.default_rng(0), ("coarse", "fine"), set()
    for place, name in enumerate(names):
        for number in range(EACH):
            grain = 2 if place else 8
            pixels = (
                random.integers(0, 256, (40 // grain, 40 // grain, 3), np.uint8)
                .repeat(grain, 0)
                .repeat(grain, 1)
            )
            label = names[1 - place] if number < TURNED else name
            (root / label).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / label / f"{name}-{number}.png")
            turned |= {f"{label}/{name}-{number}.png"} if number < TURNED else set()
    return turned


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    folder = tmp_path_factory.mktemp("clean")
    turned = grained(folder / "images")
    done = called("run", "--multi-cell", "folder:images", *SHORT, "--name", "noisy", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, turned


def test_turned_labels_are_found_corrected_and_run_again(run: tuple[Path, set[str]]) -> None:
    folder, turned = run
    done = called("data", "clean", "runs/noisy", "--out", "cleaned", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    first = {row["name"] for row in told["suspects"][: len(turned)]}
    assert len(first & turned) >= len(turned) - 1
    assert all(row["suggested"] != row["label"] for row in told["suspects"])
    page = (folder / "cleaned" / "report.html").read_text("utf-8")
    assert page.count("<img") >= len(told["suspects"])

    table = folder / "cleaned" / "labels.csv"
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2 * EACH
    assert [row["suspect"] for row in rows[:3]] == ["1", "2", "3"]
    for row in rows:
        row["label"] = row["suggested"] or row["label"]
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    again = called("run", "--multi-cell", f"manifest:{table}", *SHORT, "--name", "corrected", cwd=folder)
    assert again.returncode == 0, again.stderr


def test_by_default_it_lies_in_the_folder_of_the_stage(run: tuple[Path, set[str]]) -> None:
    folder, _ = run
    done = called("data", "clean", "runs/noisy", "--folds", "3", cwd=folder)
    assert done.returncode == 0, done.stderr
    (stage,) = (folder / "runs" / "noisy" / "stages").glob("3-*")
    assert (stage / "clean" / "labels.csv").is_file()
    assert "manifest:" in done.stdout


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("nowhere",), "run folder"),
        (("runs/noisy", "--stage", "2"), "one that learned"),
        (("runs/noisy", "--stage", "7"), "stage"),
        (("runs/noisy", "--folds", "1"), "folds"),
        (("runs/noisy", "--chain", "1,2"), "chain"),
    ],
)
def test_bad_input_is_one_sentence(run: tuple[Path, set[str]], typed: tuple[str, ...], said: str) -> None:
    done = called("data", "clean", *typed, cwd=run[0])
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())


def test_a_run_whose_first_stage_is_gone_says_so(run: tuple[Path, set[str]], tmp_path: Path) -> None:
    import shutil

    shutil.copytree(run[0] / "runs", tmp_path / "runs")
    for stage in (tmp_path / "runs" / "noisy" / "stages").glob("1-*"):
        shutil.rmtree(stage)
    done = called(
        "data", "clean", str(next((tmp_path / "runs" / "noisy" / "stages").glob("3-*"))), cwd=run[0]
    )
    assert done.returncode == 2
    assert "do run `mtl run` again" in " ".join(done.stderr.split())
