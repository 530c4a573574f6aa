"""`mtl find-lr`: a short training of a stage's own, what is written, and one sentence for bad input."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from conftest import TINY_BACKBONE, called

from mtl.find_lr.settings import FindRateSettings
from mtl.loading import load_settings

SHORT = ("--steps", "25", "--lowest", "1e-5", "--highest", "1")


def flags(rendered: Path) -> list[str]:
    found = [
        "--backbone",
        TINY_BACKBONE,
        "--weights",
        "none",
        "--image-size",
        "32",
        "--batch-size",
        "8",
        "--name",
        "tiny",
    ]
    found += [
        "--single-cell",
        f"all-idb2:{rendered / 'ALL-IDB2'}",
        "--multi-cell",
        f"all-idb1:{rendered / 'ALL-IDB1'}",
    ]
    return found


def test_a_rate_is_suggested_written_and_drawn(rendered: Path, tmp_path: Path) -> None:
    done = called("find-lr", "--stages", "1,3", *flags(rendered), *SHORT, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["stage"] == 3
    assert told["setting"] == "multi_cell.train.learning_rate"
    assert 1e-5 <= told["suggestion"] <= 1
    assert told["rates"] == sorted(told["rates"])
    folder = tmp_path / "runs" / "tiny" / "find-lr" / "3-learning_rate"
    with (folder / "curve.csv").open() as stream:
        assert [float(row["rate"]) for row in csv.DictReader(stream)] == pytest.approx(told["rates"])
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")
    page = (folder / "report.html").read_text("utf-8")
    assert "<svg" in page
    assert "Rendered smears" in page


def test_a_run_reuses_the_stages_that_came_before(rendered: Path, tmp_path: Path) -> None:
    short = ["--set", "single_cell.train.epochs=2", "--set", "multi_cell.train.epochs=2"]
    found = called("find-lr", "--head", *flags(rendered), *SHORT, *short, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "multi_cell.train.head_learning_rate=" in found.stdout
    run = called("run", "--against", "none", *flags(rendered), *short, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert len(list((tmp_path / "runs" / "tiny" / "stages").glob("2-*"))) == 1


def test_the_head_alone_learns_on_a_frozen_backbone() -> None:
    settings = load_settings(FindRateSettings, "default", {"find_lr.head": True})
    assert settings.learning().train.policy == "frozen"
    assert settings.stage(3).train.policy == "full"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("--stage", "2", "--stages", "1,3"), "one that learns in the chain 1,3"),
        (("--stages", "1"), "another chain"),
        (("--stage", "5"), "find_lr.stage"),
        (("--lowest", "1", "--highest", "0.1"), "above `lowest`"),
        (("--steps", "3"), "find_lr.steps"),
        (("--set", "multi_cell.learner=stacked"), "has no learning rate"),
        (("--from", "nowhere"), "--from"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, typed: tuple[str, ...], said: str) -> None:
    done = called("find-lr", *typed, cwd=tmp_path)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert not (tmp_path / "runs").exists()
