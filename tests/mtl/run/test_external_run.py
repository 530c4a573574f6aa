"""`mtl run --test`: a finished run is scored on data from elsewhere, and nothing is trained again."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_BACKBONE, called, noise_folder, tiny_experiment
from PIL import Image

from mtl.run.execute import execute
from mtl.runs import RunFolder
from stages.learners.model import load_model

LABELS = ("normal", "L1", "L2", "L3")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noise_folder(tmp_path_factory.mktemp("elsewhere"), LABELS, 4)


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


@pytest.fixture
def again(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return Path(shutil.copytree(tiny_run, tmp_path / "runs" / "tiny"))


@pytest.mark.filterwarnings("ignore:.*sklearn.utils.parallel.delayed:UserWarning")
def test_a_finished_run_is_scored_elsewhere_and_not_trained_again(
    rendered: Path, elsewhere: Path, again: Path
) -> None:
    before = digests(again)
    tests = [{"dataset": "folder", "root": str(elsewhere)}]
    result = execute(tiny_experiment(rendered, tests=tests), again.parent, "mtl run")
    after = digests(again)
    changed = {Path(path).name for path in after if before.get(path) != after[path]}
    new = {path for path in after if path not in before}
    assert {Path(path).parts[2:3] for path in new} == {("tests",)}
    assert changed - {Path(path).name for path in new} == {
        "stage.json",
        "config.yaml",
        "run.json",
        "report.html",
    }

    last = RunFolder(again, make=False).record().chains["1,2,3"][-1]
    folder = again / "stages" / last
    (test,) = json.loads((folder / "stage.json").read_text())["tests"]
    with (folder / test["predictions"]).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 16
    # The same model on the files themselves is the oracle.
    model = load_model(folder)
    for row in rows:
        said = model.predict(elsewhere / row["name"]).probabilities
        assert [float(row[f"p_{name}"]) for name in LABELS] == pytest.approx(
            [said[name] for name in LABELS], abs=1e-6
        )
    right = sum(row["label"] == row["predicted"] for row in rows) / 16
    assert test["evaluation"]["headline"]["accuracy"]["value"] == pytest.approx(right)
    assert set(test["baselines"]) == {"1-NN on colour statistics", "random forest on colour histogram"}
    assert "external test folder: accuracy" in result.to_text()
    page = (again / "report.html").read_text()
    assert "External tests" in page
    assert "tested on folder" in page

    # Asked again, nothing is scored again; asked for another set, the first result stays.
    rows_before = (folder / test["predictions"]).stat().st_mtime_ns
    more = [*tests, {"dataset": "folder", "root": str(elsewhere), "drop": ["L3"]}]
    execute(tiny_experiment(rendered, tests=more), again.parent, "mtl run")
    both = json.loads((folder / "stage.json").read_text())["tests"]
    assert (folder / test["predictions"]).stat().st_mtime_ns == rows_before
    assert [one["source"]["name"] for one in both] == ["folder", "folder-2"]
    assert both[0] == test
    assert both[1]["counts"] == {"normal": 4, "L1": 4, "L2": 4, "L3": 0}


@pytest.mark.parametrize(
    ("test", "said"),
    [
        ("all-idb1:{rendered}/ALL-IDB1", "images that nothing was trained on, but"),
        ("folder:{elsewhere}/normal", "one folder a class"),
        ("folder:{elsewhere}/../nowhere", "nowhere"),
        ("pbc", "NAME:FOLDER"),
    ],
)
def test_what_cannot_be_a_test_is_one_line_and_nothing_is_lost(
    rendered: Path, elsewhere: Path, again: Path, test: str, said: str
) -> None:
    before = digests(again)
    text = test.format(rendered=rendered, elsewhere=elsewhere)
    done = called(
        "run", "--config", again / "config.yaml", "--runs", again.parent, "--test", text, cwd=again.parent
    )
    assert done.returncode == 2, done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert said in line
    assert len(line) < 330
    assert "Traceback" not in done.stderr
    assert digests(again) == before


def test_labels_that_no_table_maps_are_listed(rendered: Path, again: Path, tmp_path: Path) -> None:
    for label in ("normal", "L1", "L9"):
        (tmp_path / "odd" / label).mkdir(parents=True)
        Image.new("RGB", (40, 40), (9, 9, 99)).save(tmp_path / "odd" / label / "1.png")
    run = (
        "run",
        "--config",
        again / "config.yaml",
        "--runs",
        again.parent,
        "--test",
        f"folder:{tmp_path / 'odd'}",
    )
    done = called(*run, cwd=tmp_path)
    assert done.returncode == 2
    assert "it holds L9" in done.stderr
    assert "tests.0.drop=[L9]" in done.stderr
    assert called(*run, "--set", "tests.0.rename={L9: L2}", cwd=tmp_path).returncode == 0


def test_of_two_sources_one_is_left_out(elsewhere: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for number, label in enumerate(LABELS):
        (other / label).mkdir(parents=True)
        for i in range(6):
            pixels = np.random.default_rng(1000 + 10 * number + i).integers(0, 256, (40, 50, 3), np.uint8)
            Image.fromarray(pixels).save(other / label / f"{i}.png")
    done = called(
        "run", "--runs", tmp_path, "--name", "two", "--stages", "1,2", "--against", "none",
        "--single-cell", f"folder:{elsewhere}", "--single-cell", f"folder:{other}",
        "--set", "single_cell.split.method=leave-one-source-out", "--set", "single_cell.split.source=folder-2",
        "--set", "single_cell.data.sources.1.share=0.5", "--set", "evaluation.resamples=100",
        "--backbone", TINY_BACKBONE, "--weights", "none", "--image-size", "32", "--epochs", "2", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "stage 2, folder+folder-2: accuracy" in done.stdout
    split = json.loads((tmp_path / "two" / "splits" / "2-folder+folder-2.json").read_text())
    assert split["test"] == sorted(f"folder-2/{label}/{i}.png" for label in LABELS for i in (0, 2, 5))
    assert all(name.startswith("folder/") for name in (*split["train"], *split["validation"]))
    page = (tmp_path / "two" / "report.html").read_text()
    for text in (
        "source folder-2 left out",
        "folder: 16 images of 16 groups",
        "folder-2: 12 images of 12 groups",
    ):
        assert text in page
