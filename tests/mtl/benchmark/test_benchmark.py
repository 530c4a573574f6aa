"""`mtl benchmark`, for real, with a tiny backbone on rendered smears."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import TINY_BACKBONE, called, interruptible

MTL = [sys.executable, "-c", "from mtl.cli.app import main; main()"]
Done = subprocess.CompletedProcess[str]


def mtl(*arguments: str, cwd: Path) -> Done:
    return subprocess.run(
        [*MTL, *arguments], cwd=cwd, capture_output=True, text=True, timeout=280, check=False
    )


def shared(rendered: Path) -> list[str]:
    return [
        "--weights", "none", "--epochs", "2", "--image-size", "48",
        "--single-cell", f"all-idb2:{rendered / 'ALL-IDB2'}", "--multi-cell", f"all-idb1:{rendered / 'ALL-IDB1'}",
        "--set", "multi_cell.train.batch_size=8", "--set", "single_cell.train.batch_size=8",
    ]  # fmt: skip


def command(rendered: Path, *more: str) -> list[str]:
    return [
        "benchmark",
        "--chains",
        "1,3",
        "1,2,3",
        "--set",
        f"backbone={TINY_BACKBONE}",
        *shared(rendered),
        *more,
    ]


@pytest.fixture(scope="module")
def finished(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    folder = tmp_path_factory.mktemp("benchmark")
    done = mtl(*command(rendered, "--repeats", "2", "--workers", "2"), cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "runs" / "default-benchmark", done


def test_it_ends_with_a_verdict_and_a_report(finished: tuple[Path, Done]) -> None:
    folder, done = finished
    assert re.search(r"(1,2,3|1,3) beats|No difference shown between 1,2,3 and 1,3", done.stdout)
    assert "rendered smears, not patient data" in done.stdout
    page = (folder / "report.html").read_text()
    assert page.count("<svg") >= 4
    assert "Table III, 4 classes" in page
    assert "McNemar exact" in page
    assert not re.search(r"(src|href)=[\"'](?!data:|#)", page.split("</style>")[1])
    header, first = json.loads((folder / "report.json").read_text())["runs"][:2]
    assert first[0] == "1.1"
    assert [header.count(name) for name in ("macro F1", "accuracy")] == [1, 1]
    assert len(first) == len(header)
    assert (folder / "report.md").is_file()


def test_both_chains_meet_on_one_split_and_share_their_first_stage(finished: tuple[Path, Done]) -> None:
    folder, _ = finished
    results = json.loads((folder / "results.json").read_text())
    assert [result["seed"] for result in results] == [0, 1]
    tested = []
    for result in results:
        names = [
            [
                row.split(",")[0]
                for row in (folder / "stages" / entry["stage"] / "predictions.csv").read_text().splitlines()
            ]
            for entry in result["chains"].values()
        ]
        assert names[0] == names[1]
        tested.append(tuple(names[0]))
    assert tested[0] != tested[1]
    kinds = [path.name[0] for path in (folder / "stages").iterdir()]
    assert (kinds.count("2"), kinds.count("3")) == (2, 4)


def test_a_cell_is_what_mtl_run_gives(finished: tuple[Path, Done], rendered: Path, tmp_path: Path) -> None:
    folder, _ = finished
    done = called(
        "run",
        "--stages",
        "1,2,3",
        "--against",
        "1,3",
        "--seed",
        "1",
        "--backbone",
        TINY_BACKBONE,
        *shared(rendered),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    alone = json.loads((tmp_path / "runs" / "default" / "run.json").read_text())["chains"]
    cell = json.loads((folder / "results.json").read_text())[1]
    for chain, names in alone.items():
        ours = (folder / "stages" / cell["chains"][chain]["stage"] / "predictions.csv").read_text()
        theirs = (tmp_path / "runs" / "default" / "stages" / names[-1] / "predictions.csv").read_text()
        rows, others = ([line.split(",") for line in text.splitlines()[1:]] for text in (ours, theirs))
        assert [row[:4] for row in rows] == [row[:4] for row in others]
        for row, other in zip(rows, others, strict=True):
            assert [float(p) for p in row[4:]] == pytest.approx([float(p) for p in other[4:]], abs=1e-4)


def test_the_same_command_again_trains_nothing(finished: tuple[Path, Done], rendered: Path) -> None:
    folder, first = finished
    before = {path: path.stat().st_mtime_ns for path in folder.glob("stages/*/weights.safetensors")}
    again = called(*command(rendered, "--repeats", "2"), cwd=folder.parent.parent)
    assert again.returncode == 0, again.stderr
    assert "2 of 2 cells are done already" in again.stderr
    assert again.stdout == first.stdout
    assert before == {path: path.stat().st_mtime_ns for path in folder.glob("stages/*/weights.safetensors")}


def test_folds_draws_scratch_and_backbones(rendered: Path, tmp_path: Path) -> None:
    more = [
        "--repeats",
        "1",
        "--folds",
        "2",
        "--draw",
        "5",
        "--metric",
        "accuracy",
        "--json",
        "--workers",
        "1",
    ]
    chains = ["--chains", "3", "--chains", "1,3", "--backbones", f"{TINY_BACKBONE},test_vit"]
    done = called("benchmark", *chains, *more, *shared(rendered), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["runs"]) == 1 + 2 * 2 * 2
    assert len(found["verdicts"]) == 2
    assert any("5 test images drawn" in note for note in found["notes"])
    results = json.loads((tmp_path / "runs" / "default-benchmark" / "results.json").read_text())
    for result in results:
        for entry in result["chains"].values():
            assert round(entry["scores"]["accuracy"] * 5, 6) % 1 == 0


def test_variants_learn_on_the_same_splits(rendered: Path, tmp_path: Path) -> None:
    key = "multi_cell.preprocess"
    done = mtl(
        "benchmark", "--chains", "1,3", "--set", f"backbone={TINY_BACKBONE}", *shared(rendered), "--repeats", "2", "--workers", "1",
        "--variant", "plain", "--variant", f"black:{key}.segment.method=hsv", "--variant", f"small:{key}.image_size=32",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for first, second in (("black", "plain"), ("small", "plain"), ("small", "black")):
        assert re.search(
            f"({first}|{second}) beats|No difference shown between {first} and {second}", done.stdout
        )
    assert "same chain" not in done.stdout
    folder = tmp_path / "runs" / "default-benchmark"
    for place in folder.glob("cells/*"):
        cell = json.loads((place / "cell.json").read_text())
        assert list(cell["chains"]) == ["plain", "black", "small"]
        stages = [
            json.loads((folder / "stages" / one["stage"] / "stage.json").read_text())
            for one in cell["chains"].values()
        ]
        assert [one["settings"]["preprocess"]["image_size"] for one in stages] == [48, 48, 32]
        assert [one["settings"]["preprocess"]["segment"]["method"] for one in stages] == [
            "none",
            "hsv",
            "none",
        ]
        tested = [
            (folder / "stages" / one["stage"] / "predictions.csv").read_text().splitlines()
            for one in cell["chains"].values()
        ]
        assert len({tuple(line.split(",")[0] for line in lines) for lines in tested}) == 1
    report = json.loads((folder / "report.json").read_text())
    assert report["name"] == "3 variants"
    assert report["compared"][0]["friedman"] is not None


def test_a_stopped_benchmark_goes_on(rendered: Path, tmp_path: Path) -> None:
    arguments = command(rendered, "--repeats", "3", "--workers", "2")
    process = subprocess.Popen(
        [*MTL, *arguments], cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=interruptible
    )
    folder = tmp_path / "runs" / "default-benchmark"
    deadline = time.monotonic() + 200
    while (
        not list(folder.glob("cells/*/cell.json")) and time.monotonic() < deadline and process.poll() is None
    ):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "The same command goes on" in said
    done = list(folder.glob("cells/*/cell.json"))
    assert 1 <= len(done) < 3
    again = called(*arguments, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert f"{len(done)} of 3 cells are done already" in again.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--repeats", "1"], "--repeats"),
        (["--metric", "speed"], "benchmark.metric"),
        (["--rope", "-1"], "benchmark.rope"),
        (["1,2"], "--chains"),
        (["1,4"], "--chains"),
        (["--backbones", "no_such_net"], "no_such_net"),
        (["--variant", "plain", "--variant", "other:backbone=no_such_net"], "no_such_net"),
        (["--variant", "plain", "--variant", "other:multi_cell.split.test=0.4"], "--variant other"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(rendered: Path, tmp_path: Path, more: list[str], said: str) -> None:
    done = called(*command(rendered, *more, "--workers", "1"), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("mtl: ")]
    assert len(lines) == 1
    assert said in lines[0]
    assert "Traceback" not in done.stderr
