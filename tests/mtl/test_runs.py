"""The run folder: whose it is, who holds it, what stands in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mtl.errors import RunError
from mtl.runs import RunFolder, StageFolder, open_run, stage_key
from segmentation.errors import MtlError, WriteError
from segmentation.files import write_table

HOLD = """
import sys
from pathlib import Path
from mtl.runs import RunFolder, StageFolder
kind, path = sys.argv[1:]
folder = RunFolder(Path(path)) if kind == "run" else StageFolder(Path(path))
with folder.lock():
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_key_depends_on_values_and_not_on_their_order() -> None:
    key = stage_key({"a": 1, "b": (2, 3)}, Path("x"))
    assert key == stage_key({"b": [2, 3], "a": 1}, "x")
    assert len(key) == 12
    others = [stage_key({"a": 1, "b": [3, 2]}, "x"), stage_key("x", {"a": 1, "b": [2, 3]}), stage_key()]
    assert len({key, *others}) == 4


def test_a_key_is_the_same_in_another_process() -> None:
    code = "from mtl.runs import stage_key; print(stage_key({'a': 1.5}, 'ä'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == stage_key({"a": 1.5}, "ä")


def test_a_folder_belongs_to_one_work(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.claim("tune", metric="macro_f1", space={"depth": (1, 2)}, data=Path("d"))
    run.claim("tune", data="d", space={"depth": [1, 2]}, metric="macro_f1")
    with pytest.raises(RunError, match="differs in metric, space;"):
        run.claim("tune", metric="accuracy", space={}, data="d")
    with pytest.raises(RunError, match="folder of `mtl run`, but it belongs to `mtl tune`;"):
        run.claim("run")
    with pytest.raises(RunError, match="differs in trials;"):
        run.claim("tune", metric="macro_f1", space={"depth": [1, 2]}, data="d", trials=3)


def test_a_claim_survives_what_is_refused(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.claim("run")
    with pytest.raises(RunError):
        run.claim("benchmark")
    run.claim("run")
    (tmp_path / "claim.json").write_text("{")
    with pytest.raises(MtlError, match=r"claim\.json"):
        run.claim("run")


@pytest.mark.parametrize("how", ["end", "kill"])
def test_a_run_folder_is_held_by_one_process(tmp_path: Path, how: str) -> None:
    run = RunFolder(tmp_path / "x")
    command = [sys.executable, "-c", HOLD, "run", str(run.path)]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(RunError, match="another mtl process is at work"), run.lock():
        pass
    if how == "kill":
        other.kill()
    other.communicate("\n" if how == "end" else None)
    with run.lock():
        pass  # free again, and so after a kill


def test_a_stage_folder_is_waited_for(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, "stage", str(tmp_path)]
    with StageFolder(tmp_path).lock():
        other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(timeout=2)
    said, _ = other.communicate("\n", timeout=60)
    assert said == "held\n"
    assert other.returncode == 0


def test_stages_may_lie_elsewhere_and_the_newest_is_last(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "cell", tmp_path / "shared")
    folders = [run.stage(number, "x", "k") for number in (3, 1, 2)]
    assert folders[0].path == tmp_path / "shared" / "3-x-k"
    assert not run.finished_stages()
    for time, folder in enumerate(folders):
        folder.weights.touch()
        assert not folder.finished()
        (folder.path / "stage.json").touch()
        os.utime(folder.path / "stage.json", (time, time))
    assert [folder.path.name[0] for folder in run.finished_stages()] == ["3", "1", "2"]


def test_a_folder_that_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="a file stands where a folder should"):
        RunFolder(tmp_path / "file" / "run")
    with pytest.raises(RunError, match=r"no config\.yaml") as caught:
        open_run(tmp_path / "nowhere")
    assert "nowhere" in str(caught.value)
    assert not (tmp_path / "nowhere").exists()


def test_tables_come_back(tmp_path: Path) -> None:
    header = ["name", "label", "group", "predicted", "p_a, b", "p_c"]
    rows = [["im/ü.png", "c", "g", "a, b", 0.75, 0.25], ["2.png", "a, b", "", "a, b", 1, 0]]
    write_table(tmp_path / "predictions.csv", header, rows)
    told = StageFolder(tmp_path).predictions()
    assert told.classes == ("a, b", "c")
    assert told.names == ("im/ü.png", "2.png")
    assert told.groups == ("g", "2.png")
    assert told.truth().tolist() == [1, 0]
    np.testing.assert_array_equal(told.probabilities, [[0.75, 0.25], [1, 0]])
    write_table(tmp_path / "history.csv", ["epoch", "loss"], [[0, ""], [1, "nan"], [2, 0.5]])
    first, second, third = StageFolder(tmp_path).history()
    assert first == {"epoch": 0}
    assert np.isnan(second["loss"])
    assert third == {"epoch": 2, "loss": 0.5}


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff\xfe\x00garbage\xff",
        b"name,label,group,predicted,p_a,p_b\n",
        b"name,label,group,predicted,p_a,p_b\n1.png,a,g,a,0.5\n",
        b"name,label,group,predicted,p_a,p_b\n1.png,a,g,a,0.5,much\n",
        b"label,group,predicted,p_a,p_b\na,g,a,0.5,0.5\n",
    ],
    ids=["empty", "bytes", "header alone", "cut", "no number", "column missing"],
)
def test_damaged_predictions_are_one_sentence(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "predictions.csv").write_bytes(damage)
    with pytest.raises(RunError, match=r"predictions\.csv to be a table of a run"):
        StageFolder(tmp_path).predictions()


@pytest.mark.parametrize("damage", [b"epoch,loss\n0,low\n", b"epoch,loss\n0,1,2\n", b"\xff\xff\n", None])
def test_a_damaged_history_is_one_sentence(tmp_path: Path, damage: bytes | None) -> None:
    if damage is not None:
        (tmp_path / "history.csv").write_bytes(damage)
    with pytest.raises(RunError, match=r"history\.csv to be a table of a run"):
        StageFolder(tmp_path).history()
