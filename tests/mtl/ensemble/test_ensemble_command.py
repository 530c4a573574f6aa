"""`mtl ensemble`, for real, on the two chains of a tiny run; and what is refused."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import called, tiny_experiment

from mtl.ensemble.records import read_ensemble
from mtl.run.execute import execute
from mtl.run.load import load
from mtl.runs import StageFolder, open_run
from stages.data.images import decode_rgb
from stages.learners.ensemble.model import EnsembleModel

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def stages(tiny_run: Path) -> list[Path]:
    """The last stages of both chains: the same test images."""
    chains = open_run(tiny_run).record().chains
    return [tiny_run / "stages" / names[-1] for names in chains.values()]


@pytest.fixture(scope="module")
def made(stages: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    desk = tmp_path_factory.mktemp("ensemble")
    done = called("ensemble", *stages, "--rule", "grid", "--set", "resamples=100", cwd=desk)
    assert done.returncode == 0, done.stderr
    return desk / "runs" / "ensemble", done


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_model_says_of_the_files_what_was_written_of_them(
    made: tuple[Path, Done], stages: list[Path]
) -> None:
    folder, _ = made
    model = load(folder)
    assert isinstance(model, EnsembleModel)
    told = StageFolder(folder).predictions()
    root = StageFolder(stages[0]).learned_record().data.sources[0].root
    said = model.probabilities(decode_rgb(root / name) for name in told.names)
    np.testing.assert_allclose(said, told.probabilities, atol=2e-4)


def test_what_is_written_is_the_weighted_mean_of_the_members(
    made: tuple[Path, Done], stages: list[Path]
) -> None:
    folder, _ = made
    record = read_ensemble(folder)
    parts = [StageFolder(stage).predictions("validation.csv").probabilities for stage in stages]
    weights = record.combination.weights  # type: ignore[union-attr]
    np.testing.assert_allclose(
        StageFolder(folder).predictions("validation.csv").probabilities,
        np.tensordot(weights, parts, axes=1),
        atol=1e-8,
    )


def test_the_choice_is_the_validation_part_s_alone(stages: list[Path], tmp_path: Path) -> None:
    """With other test labels the same weights are chosen."""
    moved = [Path(shutil.copytree(stage, tmp_path / stage.name)) for stage in stages]
    for stage in moved:
        table = rows(stage / "predictions.csv")
        for row in table:
            row["label"] = "normal" if row["label"] != "normal" else "L1"
        with (stage / "predictions.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(table[0]))
            writer.writeheader()
            writer.writerows(table)
    found = []
    for number, members in enumerate((stages, moved)):
        for rule in ("grid", "optimised", "stacking"):
            done = called(
                "ensemble", *members, "--rule", rule, "--name", f"{rule}{number}", "--set", "resamples=100", "--no-copies", "--json",
                cwd=tmp_path,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            found.append(read_ensemble(tmp_path / "runs" / f"{rule}{number}").combination)
    assert found[:3] == found[3:]


def test_the_changes_are_those_of_the_tables(made: tuple[Path, Done], stages: list[Path]) -> None:
    folder, _ = made
    ours = {row["name"]: row["predicted"] for row in rows(folder / "predictions.csv")}
    listed = rows(folder / "changed.csv")
    names = [member["name"] for member in json.loads((folder / "report.json").read_text())["members"]]
    for name, stage in zip(names, stages, strict=True):
        single = {row["name"]: row for row in rows(stage / "predictions.csv")}
        differ = {image for image, row in single.items() if row["predicted"] != ours[image]}
        assert {row["name"] for row in listed if row["member"] == name} == differ
        for row in listed:
            if row["member"] == name:
                was, now = single[row["name"]]["predicted"] == row["class"], ours[row["name"]] == row["class"]
                true = single[row["name"]]["label"] == row["class"]
                expected = (
                    ("TP -> FN" if true else "FP -> TN") if was else ("FN -> TP" if true else "TN -> FP")
                )
                assert (was, row["change"]) == (not now, expected)
    copied = sum(path.is_file() for path in (folder / "changed").rglob("*")) if listed else 0
    assert copied == sum(row["answered"] == "yes" for row in listed)


def test_page_terminal_and_json_say_what_choosing_on_the_test_part_would_have_claimed(
    made: tuple[Path, Done],
) -> None:
    folder, done = made
    told = json.loads((folder / "report.json").read_text())["selection"]
    assert told["claimed"]["test"] == max(row["test"] for row in told["rows"])
    assert told["honest"]["validation"] == max(row["validation"] for row in told["rows"])
    for text in (done.stdout, (folder / "report.md").read_text(), (folder / "report.html").read_text()):
        assert f"selected on test: {told['claimed']['test']:.4f}" in text
    page = (folder / "report.html").read_text()
    for text in (
        "Single networks and rules",
        "stacking",
        "optimised weights",
        "colour alone",
        "Rendered smears",
    ):
        assert text in page


def test_an_ensemble_is_a_member_and_a_file_of_compare(
    made: tuple[Path, Done], stages: list[Path], tmp_path: Path
) -> None:
    folder, _ = made
    done = called("ensemble", folder, stages[0], "--rule", "equal", "--set", "resamples=100", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(load(tmp_path / "runs" / "ensemble").members) == ["ensemble", stages[0].name]  # type: ignore[attr-defined]
    done = called("compare", folder / "predictions.csv", stages[0] / "predictions.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--rule", "weighted"], "--weights"),
        (["--weights", "1,2"], "--rule weighted"),
        (["--rule", "weighted", "--weights", "1,2,3"], "each of 2 members"),
        (["--rule", "weighted", "--weights", "0,0"], "positive sum"),
        (["--rule", "weighted", "--weights", "a,b"], "numbers with commas"),
        (["--rule", "best"], "rule"),
        (["--threshold", "1"], "threshold"),
    ],
)
def test_flags_that_cannot_be_are_one_line(
    stages: list[Path], tmp_path: Path, more: list[str], said: str
) -> None:
    done = called("ensemble", *stages, *more, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.fixture(scope="module")
def elsewhere(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of another seed, so of another split, and of two classes in place of four."""
    sets = (
        "evaluation.baselines=false",
        "multi_cell.train.epochs=1",
        "multi_cell.train.head_epochs=0",
        "against=[]",
    )
    experiment = tiny_experiment(rendered, *sets, seed=5, stages=(1, 3))
    return execute(experiment, tmp_path_factory.mktemp("elsewhere"), "").run


def test_members_that_do_not_fit_are_one_line(stages: list[Path], elsewhere: Path, tmp_path: Path) -> None:
    without = Path(shutil.copytree(stages[0], tmp_path / "without"))
    (without / "validation.csv").unlink()
    other = Path(shutil.copytree(stages[0], tmp_path / "other"))
    text = (other / "predictions.csv").read_text()
    (other / "predictions.csv").write_text(
        text.replace("p_normal", "p_healthy").replace(",normal", ",healthy")
    )
    cases = {
        "same test images": [stages[0], elsewhere],
        "two runs or more": [stages[0]],
        "twice": [stages[0], stages[0]],
        "validation part": [stages[0], without],
        "same classes": [stages[0], other],
        "run folder": [stages[0], tmp_path / "nowhere"],
    }
    for said, members in cases.items():
        done = called("ensemble", *members, cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert said in done.stderr
    assert not (tmp_path / "runs").exists()
