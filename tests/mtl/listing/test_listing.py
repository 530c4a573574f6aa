"""Run folders listed with their scores, and two of them compared on the images that both tested."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from conftest import called

from mtl.errors import ConfigError, RunError
from mtl.listing.command import compare_runs, list_runs
from mtl.run.load import learned_stages


def test_every_run_is_listed_and_what_is_wrong_is_said(tiny_run: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_run, tmp_path / "whole")
    shutil.copytree(tiny_run, tmp_path / "half")
    (tmp_path / "half" / "run.json").unlink()
    shutil.copytree(tiny_run, tmp_path / "damaged")
    (tmp_path / "damaged" / "run.json").write_text("{")
    (tmp_path / "other").mkdir()
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "claim.json").write_text('{"kind": "benchmark"}')
    found = {run.name: run for run in list_runs(tmp_path).runs}
    assert set(found) == {"whole", "half", "damaged", "cells"}
    assert [found[name].finished for name in ("whole", "half", "damaged", "cells")] == [
        True,
        False,
        None,
        None,
    ]
    record = learned_stages(tiny_run)[3].learned_record()
    reach = record.evaluation.headline["macro_f1"]
    assert found["whole"].scores["1,2,3"] == pytest.approx((reach.value, reach.low, reach.high), nan_ok=True)
    assert set(found["whole"].scores) == {"1,2,3", "1,3"}
    assert "no JSON" in found["damaged"].note
    size = sum(path.stat().st_size for path in (tmp_path / "whole").rglob("*") if path.is_file())
    assert found["whole"].bytes == size
    told = called("runs", "--runs", tmp_path, cwd=tmp_path)
    assert told.returncode == 0
    assert len(told.stdout.splitlines()) == 4
    said = json.loads(called("runs", "--runs", tmp_path, "--json", cwd=tmp_path).stdout)
    assert {run["name"] for run in said["runs"]} == set(found)


def test_two_runs_on_the_images_that_both_tested(tiny_run: Path, tmp_path: Path) -> None:
    one, other = learned_stages(tiny_run)[3].path, learned_stages(tiny_run, "1,3")[3].path
    fewer = tmp_path / "fewer"
    shutil.copytree(other, fewer)
    with (fewer / "predictions.csv").open(newline="") as stream:
        header, *rows = list(csv.reader(stream))
    with (fewer / "predictions.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows[1:]])
    told = called("runs", "compare", one, fewer, "--out", tmp_path / "report", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "one run alone tested are left out" in told.stdout
    said = json.loads((tmp_path / "report.json").read_text())
    assert said["images"][0]["n"] == len(rows) - 1
    right = [row[1] == row[3] for row in rows[1:]]
    assert said["images"][0]["second_accuracy"] == pytest.approx(sum(right) / len(right))
    assert (tmp_path / "report.html").is_file()


def test_runs_that_share_nothing_are_one_line(tiny_run: Path, tmp_path: Path) -> None:
    stages = learned_stages(tiny_run)
    with pytest.raises(ConfigError, match="none in common"):
        compare_runs(stages[2].path, stages[3].path, tmp_path / "r", "")
    with pytest.raises(RunError, match="run folder"):
        compare_runs(tiny_run, tmp_path, tmp_path / "r", "")
    with pytest.raises(ConfigError, match="--runs"):
        list_runs(tmp_path / "none")
