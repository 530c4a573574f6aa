from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from conftest import TINY_BACKBONE, called

MTL = [sys.executable, "-c", "from mtl.cli.app import main; main()"]


def mtl(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MTL, *arguments], cwd=cwd, capture_output=True, text=True, timeout=240, check=False
    )


def tiny(rendered: Path, name: str = "tiny", *more: str) -> list[str]:
    return [
        "run", "--backbone", TINY_BACKBONE, "--weights", "none", "--epochs", "2", "--batch-size", "8", "--image-size", "48",
        "--single-cell", f"all-idb2:{rendered / 'ALL-IDB2'}", "--multi-cell", f"all-idb1:{rendered / 'ALL-IDB1'}",
        "--name", name, "--set", "evaluation.resamples=100", *more,
    ]  # fmt: skip


def records(folder: Path) -> dict[str, dict[str, object]]:
    run = json.loads((folder / "run.json").read_text())
    return {
        f"{chain} {name[0]}": json.loads((folder / "stages" / name / "stage.json").read_text())
        for chain, names in run["chains"].items()
        for name in names
        if (folder / "stages" / name / "stage.json").is_file()  # a start from another run lies there
    }


def column(path: Path, key: str, value: str) -> dict[str, str]:
    with path.open(newline="") as stream:
        return {row[key]: row[value] for row in csv.DictReader(stream)}


@pytest.fixture(scope="module")
def finished(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    done = mtl(*tiny(rendered), cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "rendered smears, not patient data" in done.stdout
    assert "colour alone" in done.stdout
    assert "runs/tiny" in done.stdout
    return folder / "runs" / "tiny"


def test_a_run_leaves_everything_that_the_design_names(finished: Path) -> None:
    assert {"config.yaml", "run.json", "report.html", "splits", "stages"} <= {
        path.name for path in finished.iterdir()
    }
    found = records(finished)
    assert set(found) == {"1,2,3 1", "1,2,3 2", "1,2,3 3", "1,3 1", "1,3 3"}
    for key, record in found.items():
        folder = (
            finished
            / "stages"
            / next(
                path.name
                for path in (finished / "stages").iterdir()
                if path.name.endswith(str(record["key"]))
            )
        )
        assert (folder / "weights.safetensors").is_file()
        assert not (folder / "last.ckpt").exists()
        if not key.endswith("1"):
            assert {"history.csv", "predictions.csv"} <= {path.name for path in folder.iterdir()}
            assert record["evaluation"]
            assert len(record["baselines"]) == 2  # type: ignore[arg-type]
    assert "<html" in (finished / "report.html").read_text()


def test_both_chains_are_tested_on_the_same_images_and_nothing_leaks_between_stages(
    finished: Path, rendered: Path
) -> None:
    run = json.loads((finished / "run.json").read_text())
    first, second = (
        list(column(finished / "stages" / names[-1] / "predictions.csv", "name", "label"))
        for names in run["chains"].values()
    )
    assert first == second
    slide = column(rendered / "ALL-IDB1" / "fab.csv", "image", "slide")
    origin = column(rendered / "ALL-IDB2" / "crops.csv", "image", "field")
    crops = json.loads(next((finished / "splits").glob("2-*.json")).read_text())
    fields = json.loads(next((finished / "splits").glob("3-*.json")).read_text())
    for mine, theirs in (("train", "test"), ("validation", "test"), ("test", "train")):
        seen = {slide[origin[Path(name).name]] for name in crops[mine]}
        assert not seen & {slide[Path(name).name] for name in fields[theirs]}


def test_the_same_command_again_reuses_every_stage(finished: Path, rendered: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.glob("stages/*/weights.safetensors")}
    done = called(*tiny(rendered), cwd=finished.parent.parent)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("reused") == 3
    assert before == {path: path.stat().st_mtime_ns for path in finished.glob("stages/*/weights.safetensors")}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_goes_on_and_ends_with_identical_weights(
    finished: Path, rendered: Path, tmp_path: Path, how: signal.Signals
) -> None:
    process = subprocess.Popen([*MTL, *tiny(rendered)], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while (
        not list(tmp_path.glob("runs/tiny/stages/3-*/last.ckpt"))
        and time.monotonic() < deadline
        and process.poll() is None
    ):
        time.sleep(0.005)
    process.send_signal(how)
    _, said = process.communicate()
    if how == signal.SIGINT and process.returncode != 0:
        assert process.returncode == 130, said
        assert "The same command goes on" in said
        assert "mtl run --backbone" in said
    again = called(*tiny(rendered), cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    whole = sorted(path.read_bytes() for path in finished.glob("stages/*/weights.safetensors"))
    assert whole == sorted(
        path.read_bytes() for path in tmp_path.glob("runs/tiny/stages/*/weights.safetensors")
    )


def test_a_chain_starts_from_a_finished_run(finished: Path, rendered: Path, tmp_path: Path) -> None:
    done = called(
        *tiny(rendered, "later", "--stages", "3", "--against", "none", "--from", str(finished)), cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    later = records(tmp_path / "runs" / "later")
    assert later["3 3"]["parent"] == records(finished)["1,2,3 2"]["key"]


def test_a_run_that_goes_on_takes_data_size_and_backbone_from_where_it_begins(
    finished: Path, tmp_path: Path
) -> None:
    begun = next(finished.glob("stages/2-*"))
    for number, start in enumerate((finished, begun)):
        name = f"later{number}"
        more = ["--from", start, "--stages", "3", "--name", name, "--set", "multi_cell.train.batch_size=7"]
        done = called("run", *more, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        told, origin = (
            yaml.safe_load((folder / "config.yaml").read_text())
            for folder in (tmp_path / "runs" / name, finished)
        )
        origin["multi_cell"]["train"]["batch_size"] = 7
        assert told == origin | {"name": name, "stages": [3], "against": []}
        assert records(tmp_path / "runs" / name)["3 3"]["parent"] == records(finished)["1,2,3 2"]["key"]
    refused = called(
        "run",
        "--stages",
        3,
        "--from",
        finished,
        "--name",
        finished.name,
        "--runs",
        finished.parent,
        cwd=tmp_path,
    )
    assert refused.returncode == 2
    assert "another run than `--from`" in refused.stderr


def test_a_start_from_weights_does_not_test_on_what_they_have_learned(
    finished: Path, rendered: Path, tmp_path: Path
) -> None:
    more = ["--stages", "3", "--against", "none", "--from", str(finished), "--seed", "11"]
    done = called(*tiny(rendered, "later", *more), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    slide = column(rendered / "ALL-IDB1" / "fab.csv", "image", "slide")
    origin = column(rendered / "ALL-IDB2" / "crops.csv", "image", "field")
    crops = json.loads(next((finished / "splits").glob("2-*.json")).read_text())
    seen = {slide[origin[Path(name).name]] for part in ("train", "validation") for name in crops[part]}
    fields = json.loads(next((tmp_path / "runs" / "later" / "splits").glob("3-*.json")).read_text())
    assert fields["test"]
    assert not seen & {slide[Path(name).name] for name in fields["test"]}


def test_a_saved_split_is_given_back(finished: Path, rendered: Path, tmp_path: Path) -> None:
    files = [f"{stage}.split.{key}={value}" for stage in ("single_cell", "multi_cell")
             for key, value in (("method", "files"), ("folder", finished / "splits"))]  # fmt: skip
    sets = [part for text in files for part in ("--set", text)]
    done = called(*tiny(rendered, "again", "--seed", "5", *sets), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for file in (finished / "splits").iterdir():
        mine = json.loads((tmp_path / "runs" / "again" / "splits" / file.name).read_text())
        assert mine["test"] == json.loads(file.read_text())["test"]


def test_the_report_can_be_written_again(finished: Path) -> None:
    (finished / "report.html").unlink()
    assert called("report", str(finished), cwd=finished).returncode == 0
    assert (finished / "report.html").is_file()


BAD = [
    (["--stages", "3,2"], "--stages"),
    (["--stages", "3"], "--from"),
    (["--backbone", "inceptionresnetv2x"], "inception_resnet_v2"),
    (["--weights", "nowhere.pth"], "nowhere.pth"),
    (["--config", "maliw2022"], "maaliw2022"),
    (["--multi-cell", "taleqani:nowhere"], "nowhere"),
    (["--multi-cell", "taleqany:x"], "taleqani"),
    (["--multi-cell", "taleqani"], "NAME:FOLDER"),
    (["--set", "multi_cell.split.method=kfold", "--set", "multi_cell.split.folds=500"], "folds"),
    (["--set", "multi_cell.train.epochs=-1"], "epochs"),
    (["--epochs", "many"], "epochs"),
    (["--accelerator", "warp"], "warp"),
    (["--from", "nowhere"], "nowhere"),
    (["--bogus"], "--bogus"),
]


def test_a_place_that_takes_no_files_is_work_that_failed(rendered: Path, tmp_path: Path) -> None:
    done = called(*tiny(rendered), "--runs", "/proc/none", cwd=tmp_path)
    assert done.returncode == 1
    assert "mtl: Expected /proc/none" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("arguments", "said"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_bad_input_is_one_line_and_exit_code_2(
    rendered: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = called(*tiny(rendered), *arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    last = [line for line in done.stderr.splitlines() if line.startswith("mtl: ")]
    assert len(last) == 1
    assert said in last[0]


def test_help_answers_without_torch() -> None:
    code = "import sys, mtl.cli.app as app; from typer.main import get_command; get_command(app.app); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.strip() == "False"


def test_the_command_line_reference_is_up_to_date() -> None:
    root = Path(__file__).parents[3]
    code = "import sys; sys.path.insert(0, 'docs'); import make_cli; print(make_cli.render(), end='')"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == (root / "docs" / "cli.md").read_text("utf-8"), "do run `make docs`"
