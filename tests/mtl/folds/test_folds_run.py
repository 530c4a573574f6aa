"""`mtl run --folds`, for real, with a tiny backbone on rendered smears."""

from __future__ import annotations

import csv
import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY_BACKBONE, called

Done = subprocess.CompletedProcess[str]


def typed(rendered: Path, *more: str) -> list[str]:
    return [
        "--weights", "none", "--epochs", "2", "--image-size", "32", "--backbone", TINY_BACKBONE, "--workers", "1",
        "--single-cell", f"all-idb2:{rendered / 'ALL-IDB2'}", "--multi-cell", f"all-idb1:{rendered / 'ALL-IDB1'}",
        "--set", "multi_cell.train.batch_size=8", "--set", "single_cell.train.batch_size=8",
        "--set", "evaluation.resamples=100", *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def finished(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    desk = tmp_path_factory.mktemp("folds")
    done = called("run", "--stages", "1,2,3", "--folds", "3", *typed(rendered), cwd=desk)
    assert done.returncode == 0, done.stderr
    return desk / "runs" / "default-folds", done


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_image_is_predicted_once_by_a_network_that_has_not_seen_its_group(
    finished: tuple[Path, Done], rendered: Path
) -> None:
    folder, _ = finished
    pooled = rows(folder / "predictions.csv")
    fields = sorted(f"im/{path.name}" for path in (rendered / "ALL-IDB1" / "im").iterdir())
    assert sorted(row["name"] for row in pooled) == fields
    group = {row["name"]: row["group"] for row in pooled}
    cut = {f"img/{row['image']}": row["field"] for row in rows(rendered / "ALL-IDB2" / "crops.csv")}
    for fold in range(3):
        cell = folder / "cells" / f"repeat00-fold0{fold}-{TINY_BACKBONE}"
        last = json.loads((cell / "splits" / "3-all-idb1.json").read_text())
        middle = json.loads((cell / "splits" / "2-all-idb2.json").read_text())
        assert {row["name"] for row in pooled if row["fold"] == str(fold + 1)} == set(last["test"])
        tested = {group[name] for name in last["test"]}
        learned = {group[name] for name in (*last["train"], *last["validation"])}
        learned |= {group[f"im/{cut[name]}"] for name in (*middle["train"], *middle["validation"])}
        assert tested
        assert not tested & learned


def test_a_stage_tells_of_its_images_what_the_pooled_table_tells(finished: tuple[Path, Done]) -> None:
    folder, _ = finished
    pooled = {row["name"]: row for row in rows(folder / "predictions.csv")}
    results: list[dict[str, Any]] = json.loads((folder / "results.json").read_text())
    for result in results:
        stage = folder / "stages" / result["chains"]["1,2,3"]["stage"]
        assert "train_accuracy" in rows(stage / "history.csv")[0]
        for row in rows(stage / "predictions.csv"):
            assert {key: pooled[row["name"]][key] for key in row} == row
            assert pooled[row["name"]]["fold"] == str(result["fold"] + 1)


def test_the_tables_stand_in_terminal_page_and_files(finished: tuple[Path, Done]) -> None:
    folder, done = finished
    page = (folder / "report.html").read_text()
    for text in (
        "Detection: normal or not, 3-fold cross-validation",
        "Classification: 4 classes, 3-fold cross-validation",
        "Confusion matrix of all folds",
        "It is not a standard error",
        "no group is on two sides in any fold or stage of the chain",
        "rendered smears, not patient data",
    ):
        assert text in done.stdout, text
        assert text in page, text
    assert page.count("<svg") == 3
    kinds = Counter(row["over"] for row in rows(folder / "scores.csv"))
    assert kinds == {"all": 1, "macro": 6, "weighted": 5, "micro": 1, "class": 24, "detection": 5}


def test_a_benchmark_of_one_chain_is_the_same_and_trains_nothing(
    finished: tuple[Path, Done], rendered: Path
) -> None:
    folder, first = finished
    before = {path: path.stat().st_mtime_ns for path in folder.glob("stages/*/weights.safetensors")}
    desk = folder.parent.parent
    again = called("benchmark", "--chains", "1,2,3", "--folds", "3", *typed(rendered), cwd=desk)
    assert again.returncode == 0, again.stderr
    assert "3 of 3 cells are done already" in again.stderr
    assert again.stdout == first.stdout
    assert before == {path: path.stat().st_mtime_ns for path in folder.glob("stages/*/weights.safetensors")}
    machine = called("run", "--stages", "1,2,3", "--folds", "3", *typed(rendered), "--json", cwd=desk)
    told = json.loads(machine.stdout)
    assert (told["chain"], told["count"], told["models"][0]["images"]) == ("1,2,3", 3, 32)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--folds", "1"], "`--folds` to be 2 or more"),
        (["--folds", "-3"], "`--folds` to be 2 or more"),
        (["--folds", "9"], "4 folds or fewer"),
        (["--folds", "3", "--against", "1,3"], "without --against"),
        (["--folds", "3", "--from", "runs/other"], "without --from"),
        (["--folds", "3", "--test", "folder:x"], "without --test"),
        ([], "`--workers` beside `--folds`"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(rendered: Path, tmp_path: Path, more: list[str], said: str) -> None:
    done = called("run", *typed(rendered, *more), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("mtl: ")]
    assert len(lines) == 1
    assert said in lines[0]
    assert len(lines[0]) < 300
    assert "Traceback" not in done.stderr
