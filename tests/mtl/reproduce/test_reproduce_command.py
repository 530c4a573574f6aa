"""`mtl reproduce`, for real, with a tiny network in the place of the papers' on noise in the layout of Taleqani; and what is refused."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY_BACKBONE, called
from PIL import Image

from mtl.reproduce.published import read_paper
from mtl.runs import StageFolder

Done = subprocess.CompletedProcess[str]
SMALL = ("--weights", "none", "--budget", "0.01", "--set", "resamples=100")


@pytest.fixture(scope="module")
def taleqani(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise of four colours in the layout of paper D's data."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    for label, colour in zip(
        ("Benign", "Early", "Pre", "Pro"), random.integers(90, 160, (4, 3)), strict=True
    ):
        own = folder / "taleqani" / "Original" / label
        own.mkdir(parents=True)
        for number in range(1, 21):
            blocks = np.clip(colour + random.normal(0, 40, (8, 8, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(blocks).resize((64, 64)).save(own / f"WBC-{label}-{number:03d}.jpg", quality=95)
    return folder


@pytest.fixture(scope="module")
def made(taleqani: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    desk = tmp_path_factory.mktemp("reproduce")
    stand_in = f"{TINY_BACKBONE},test_vit"
    done = called("reproduce", "patel2025", "--data", taleqani, "--stand-in", stand_in, *SMALL, cwd=desk)
    assert done.returncode == 0, done.stderr
    return desk, done


def told(desk: Path, name: str = "patel2025") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((desk / "runs" / f"reproduce-{name}" / "report.json").read_text())
    return found


def test_every_column_of_the_paper_stands_beside_ours(made: tuple[Path, Done]) -> None:
    desk, done = made
    (paper,) = told(desk)["papers"]
    printed = read_paper("patel2025").tables
    assert [len(table["header"]) for table in paper["tables"]] == [
        2 + len(table.columns) for table in printed
    ]
    for ours, theirs in zip(paper["tables"], printed, strict=True):
        rows = [row for row in ours["rows"] if row[1] == "the paper"]
        assert [row[2:] for row in rows] == [
            ["–" if v is None else f"{v:g}" for v in row.values] for row in theirs.rows
        ]
        beside = [row for row in ours["rows"] if row[1] != "the paper"]
        assert beside
        assert all("[" in cell or cell == "–" for row in beside for cell in row[2:])
    assert "Table 3, weights 0.7, 0.3 at 0.7" in done.stdout


def test_a_split_over_images_and_one_over_groups_were_run(made: tuple[Path, Done]) -> None:
    desk, _ = made
    folder = desk / "runs" / "reproduce-patel2025" / "papers" / "patel2025"
    kinds = {}
    for path in sorted((folder / "stages").glob("3-*")):
        record = StageFolder(path).learned_record()
        kinds.setdefault(record.settings.data.groups, []).append(record.settings.split.method)
    assert kinds == {"known": ["block"] * 2, "ignore": ["grouped"] * 2}


def test_inflation_is_what_the_predictions_say(made: tuple[Path, Done]) -> None:
    desk, _ = made
    (paper,) = told(desk)["papers"]
    folder = desk / "runs" / "reproduce-patel2025" / "papers" / "patel2025"
    right: dict[str, float] = {}
    for path in (folder / "stages").glob("3-*"):
        stage = StageFolder(path)
        record = stage.learned_record()
        if record.weights.backbone == TINY_BACKBONE:
            said = stage.predictions()
            share = sum(a == b for a, b in zip(said.labels, said.predicted, strict=True)) / len(said.labels)
            right[record.settings.data.groups] = share
    leak = paper["leakage"][f"{TINY_BACKBONE} (stand-in)"]["accuracy"]
    assert leak["value"] == pytest.approx(right["ignore"] - right["known"])
    assert set(paper["leakage"]) == {
        "colour alone", f"{TINY_BACKBONE} (stand-in)", "test_vit (stand-in)", f"{TINY_BACKBONE} (stand-in) + test_vit (stand-in)",
    }  # fmt: skip


def test_stand_ins_sizes_and_random_weights_are_said_everywhere(made: tuple[Path, Done]) -> None:
    desk, done = made
    folder = desk / "runs" / "reproduce-patel2025"
    for text in (done.stdout, (folder / "report.md").read_text(), (folder / "report.html").read_text()):
        for said in (
            "Scaled to a budget: 64 px", "They are not the paper", "Nothing is pretrained", "in the place of DenseNet-201 + ResNet-50",
            "selected on test", "Leakage", "colour alone", "printed is 96.07",
        ):  # fmt: skip
            assert said in text, said


def test_a_second_run_says_the_same_and_trains_nothing(
    made: tuple[Path, Done], taleqani: Path, tmp_path: Path
) -> None:
    desk, _ = made
    before = told(desk)["papers"]
    stamps = {path: path.stat().st_mtime_ns for path in desk.rglob("stage.json")}
    stand_in = f"{TINY_BACKBONE},test_vit"
    again = called("reproduce", "patel2025", "--data", taleqani, "--stand-in", stand_in, *SMALL, cwd=desk)
    assert again.returncode == 0, again.stderr
    assert told(desk)["papers"] == before
    assert {path: path.stat().st_mtime_ns for path in desk.rglob("stage.json")} == stamps


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--all"),
        (["patel2025", "--all"], "both"),
        (["patel2024"], "did you mean patel2025"),
        (["pushpalatha2024"], "cnmc2019"),
        (["maaliw2022"], "all-idb2"),
        (["patel2025", "--budget", "-1"], "budget"),
    ],
)
def test_what_cannot_be_run_is_one_line(
    taleqani: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = called("reproduce", *arguments, "--data", taleqani, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert said in done.stderr
    assert not (tmp_path / "runs").exists()


def test_without_data_it_asks_for_them(tmp_path: Path) -> None:
    done = called("reproduce", "patel2025", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "data" in done.stderr
