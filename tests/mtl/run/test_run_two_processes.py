"""`mtl run --devices 2 --strategy ddp`: Lightning types the command again, and both processes make one run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY_BACKBONE, called

from mtl.records import LearnedRecord, RunRecord, read_record
from mtl.runs import StageFolder, follows

MTL = Path(sys.executable).with_name("mtl")


def arguments(rendered: Path, name: str, *more: str) -> list[str]:
    # Dropout and augmentation are drawn by every process for itself: without them two learn what one learns.
    plain = [f"--set={stage}.{key}" for stage in ("single_cell", "multi_cell")
             for key in ("train.policy=frozen", "head.dropout=0.0")]  # fmt: skip
    return [
        "run", "--backbone", TINY_BACKBONE, "--weights", "none", "--epochs", "2", "--batch-size", "8", "--image-size", "32",
        "--single-cell", f"all-idb2:{rendered / 'ALL-IDB2'}", "--multi-cell", f"all-idb1:{rendered / 'ALL-IDB1'}",
        "--set", "evaluation.resamples=100", "--set", "evaluation.baselines=false", "--against", "none", "--name", name,
        *plain, *more,
    ]  # fmt: skip


def ends(run: Path) -> list[LearnedRecord]:
    names = next(iter(read_record(run / "run.json", RunRecord).chains.values()))
    return [StageFolder(run / "stages" / name).learned_record() for name in names[1:]]


@pytest.mark.skipif(not MTL.is_file(), reason="Lightning starts further processes by the command's own file")
def test_two_processes_give_the_scores_of_one(rendered: Path, tmp_path: Path) -> None:
    alone = called(*arguments(rendered, "one"), cwd=tmp_path)
    assert alone.returncode == 0, alone.stderr
    both = subprocess.run(
        [MTL, *arguments(rendered, "two", "--accelerator", "cpu", "--devices", "2", "--strategy", "ddp")],
        cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert both.returncode == 0, both.stderr
    assert both.stdout.count("Wrote runs/two") == 1, "the second process says nothing"
    for one, two in zip(ends(tmp_path / "runs/one"), ends(tmp_path / "runs/two"), strict=True):
        assert one.evaluation is not None
        assert two.evaluation is not None
        assert one.evaluation.confusion == two.evaluation.confusion
        for name, score in one.evaluation.headline.items():
            assert two.evaluation.headline[name].value == pytest.approx(score.value, abs=1e-3), name


@pytest.mark.parametrize(
    ("variables", "expected"),
    [({}, False), ({"LOCAL_RANK": "0"}, False), ({"LOCAL_RANK": "1"}, True), ({"SLURM_PROCID": "3"}, True)],
)
def test_who_follows(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: bool) -> None:
    for name in ("LOCAL_RANK", "RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert follows() is expected
