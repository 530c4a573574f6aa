"""Stages that answer by the cells of a field or for patients, behind the same commands as those that answer for images."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import called, tiny_experiment
from PIL import Image

from mtl.config import load_config
from mtl.errors import ConfigError
from mtl.run.execute import execute
from mtl.run.load import learned_stages, load
from stages.data.images import decode_rgb
from stages.learners.bags.model import BagModel

BAGS = ("multi_cell.bags.epochs=3", "multi_cell.bags.most=4", "multi_cell.bags.width=8")
CHEAP = ("--set", "segment.method=white-cells")
PATIENTS = 18


@pytest.fixture(scope="module")
def over_cells(rendered: Path, tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stage 3 by the cells of fields, behind the stage 2 of another run."""
    experiment = tiny_experiment(rendered, "multi_cell.unit=cells", *BAGS, stages=(3,), against="none")
    folder = tmp_path_factory.mktemp("cells")
    return execute(experiment, folder, "mtl run", learned_stages(tiny_run)[2].path).run


@pytest.fixture(scope="module")
def deepapl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Patients with two to four cells each; those of APL are brighter."""
    root = tmp_path_factory.mktemp("deepapl")
    rows = ["Patient_ID,Diagnosis,Cohort"]
    random = np.random.default_rng(0)
    for number in range(PATIENTS):
        name, bright = f"Patient_{number:02}", number % 2
        rows.append(f"{name},{'APL' if bright else 'AML'},Discovery")
        place = root / "Data" / "All" / name / "Signed slides" / "Monocyte"
        place.mkdir(parents=True)
        for cell in range(2 + number % 3):
            pixels = random.integers(0, 156, (40, 40, 3)) + 100 * bright
            Image.fromarray(pixels.astype(np.uint8)).save(place / f"{cell}.png")
    (root / "Data" / "master.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture(scope="module")
def over_patients(rendered: Path, deepapl: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stage 3 of patients, behind ImageNet's stage alone."""
    data = f"multi_cell.data={{dataset: deepapl-diagnosis, root: {deepapl}}}"
    experiment = tiny_experiment(
        rendered, data, "multi_cell.unit=patient", *BAGS, stages=(1, 3), against="none"
    )
    return execute(experiment, tmp_path_factory.mktemp("patients"), "mtl run").run


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_run_over_cells_scores_as_its_saved_model_and_says_what_it_is(over_cells: Path) -> None:
    stage = learned_stages(over_cells)[3]
    record, told = stage.learned_record(), stage.predictions()
    assert record.evaluation is not None
    assert record.over_colour is not None
    assert record.trust is not None
    assert "attention over the cells of a field" in (over_cells / "report.html").read_text("utf-8")
    model = load(over_cells)
    assert isinstance(model, BagModel)
    images = [decode_rgb(record.data.sources[0].root / name) for name in told.names]
    np.testing.assert_allclose(model.probabilities(images), told.probabilities, atol=1e-6)


def test_a_field_says_which_cells_decided(over_cells: Path, rendered: Path, tmp_path: Path) -> None:
    path = sorted((rendered / "ALL-IDB1" / "im").iterdir())[0]
    told = called("predict", path, "--run", over_cells, "--out", "o", *CHEAP, cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    cells = rows_of(tmp_path / "o" / "cells.csv")
    parts = [float(row["decided"]) for row in cells]
    assert sum(parts) == pytest.approx(1, abs=1e-3)
    assert sum(part > 0 for part in parts) <= 4  # that the bag holds at most
    (field,) = rows_of(tmp_path / "o" / "fields.csv")
    model = load(over_cells)
    assert field["label"] == model.predict(path).label
    assert (tmp_path / "o" / "overlays" / f"{path.stem}.png").is_file()


def test_patients_are_split_scored_and_answered_as_one(
    over_patients: Path, deepapl: Path, tmp_path: Path
) -> None:
    stage = learned_stages(over_patients)[3]
    record, told = stage.learned_record(), stage.predictions()
    assert record.data.counts["train"].keys() == {"AML", "APL"}
    assert sum(sum(own.values()) for own in record.data.counts.values()) == PATIENTS
    assert set(told.names) < {f"Patient_{number:02}" for number in range(PATIENTS)}
    assert "attention over a patient" in (over_patients / "report.html").read_text("utf-8")
    done = called(
        "predict", deepapl / "Data" / "All", "--run", over_patients, "--out", "o", "--group-by", r"regex:(Patient_\d+)", "--json",
        *CHEAP, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    patients = {row["group"]: row for row in rows_of(tmp_path / "o" / "patients.csv")}
    for name, votes in zip(told.names, told.probabilities, strict=True):
        own = patients[name]
        assert own["aggregate"] == "patient"
        assert [float(own[f"p_{one}"]) for one in told.classes] == pytest.approx(list(votes), abs=1e-4)
    fields = rows_of(tmp_path / "o" / "fields.csv")
    for name in told.names:
        assert sum(float(row["decided"]) for row in fields if row["group"] == name) == pytest.approx(
            1, abs=1e-3
        )
    assert all(row["label"] == "" for row in fields)
    (first, *_) = json.loads(done.stdout)["patients"]
    assert first["label"] in told.classes


def test_a_finished_run_of_patients_is_reused(over_patients: Path) -> None:
    begun = (learned_stages(over_patients)[3].path / "stage.json").stat().st_mtime_ns
    execute(load_config(str(over_patients / "config.yaml")), over_patients.parent, "mtl run")
    assert (learned_stages(over_patients)[3].path / "stage.json").stat().st_mtime_ns == begun


@pytest.mark.parametrize("aggregate", ["mean", "noisy-or"])
def test_patients_by_the_cells_of_stage_2(
    tiny_run: Path, rendered: Path, aggregate: str, tmp_path: Path
) -> None:
    path = sorted((rendered / "ALL-IDB1" / "im").iterdir())[0]
    told = called(
        "predict", path, "--run", tiny_run, "--out", "o", "--aggregate", aggregate, *CHEAP, cwd=tmp_path
    )
    assert told.returncode == 0, told.stderr
    (patient,) = rows_of(tmp_path / "o" / "patients.csv")
    cells = [row for row in rows_of(tmp_path / "o" / "cells.csv") if row["unlike"] == "0"]
    if not cells:
        assert patient["label"] == ""
        return
    sick = np.array([float(row["p_lymphoblast"]) for row in cells])
    hand = sick.mean() if aggregate == "mean" else 1 - np.prod(1 - sick)
    assert float(patient["p_lymphoblast"]) == pytest.approx(hand, abs=2e-3)


def test_what_a_run_cannot_aggregate_is_one_line(
    tiny_run: Path, over_patients: Path, over_cells: Path, rendered: Path, tmp_path: Path
) -> None:
    path = sorted((rendered / "ALL-IDB1" / "im").iterdir())[0]
    cases = [(tiny_run, "attention"), (over_patients, "mean"), (over_patients, "field")]
    for run, aggregate in cases:
        told = called(
            "predict", path, "--run", run, "--out", "o", "--aggregate", aggregate, *CHEAP, cwd=tmp_path
        )
        assert (told.returncode, told.stderr.count("\n")) == (2, 1), told.stderr
        assert f"`--aggregate` {aggregate}" in told.stderr
    stage = learned_stages(over_cells)[3].path
    told = called("predict", path, "--run", stage, "--chain", "1,3", *CHEAP, cwd=tmp_path)
    assert (told.returncode, told.stderr.count("\n")) == (2, 1)
    assert "which is one stage" in told.stderr


def test_settings_that_contradict_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`single_cell\.unit` to be field"):
        load_config("default", {}, ["single_cell.unit=cells"])
    with pytest.raises(ConfigError, match="no `learner` beside `unit` cells"):
        load_config("default", {}, ["multi_cell.unit=cells", "multi_cell.learner=svm"])
    told = called("run", "--aggregate", "mean", cwd=tmp_path)
    assert (told.returncode, told.stderr.count("\n")) == (2, 1)
    assert "do add --unit" in told.stderr
