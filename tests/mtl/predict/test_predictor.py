"""`mtl predict` by runs of every kind: a classifier, readouts of a network at rest, an ensemble of both; and on odd images."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import called, tiny_experiment

import mtl
from mtl.ensemble.command import make_ensemble
from mtl.ensemble.settings import EnsembleSettings
from mtl.predict.command import predict_images
from mtl.predict.predictor import Predictor
from mtl.predict.settings import PredictSmears
from mtl.run.execute import execute
from mtl.run.load import learned_stages
from stages.data.images import decode_rgb

CHEAP = PredictSmears.model_validate({"segment": {"method": "white-cells"}})
LEAN = (
    "evaluation.baselines=false", "single_cell.classical.candidates=2", "single_cell.classical.folds=2",
    # Enough groups in the validation part, that a combination can be cross-fitted.
    "single_cell.data.groups=ignore", "single_cell.split.near_duplicates=false",
)  # fmt: skip


@pytest.fixture(scope="module")
def runs(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Stage 2 by a tree on texture and by readouts of a network at rest: the same test images."""
    sets = {
        "tree": ("single_cell.learner=tree", "single_cell.classical.features=[lbp]"),
        "stacked": (
            "single_cell.learner=stacked",
            "single_cell.stacked.depths=[0, 1]",
            "single_cell.stacked.folds=2",
        ),
    }
    return {
        name: execute(
            tiny_experiment(rendered, *own, *LEAN, name=name, stages=(1, 2), against="none"),
            tmp_path_factory.mktemp(name),
            "",
        ).run
        for name, own in sets.items()
    }


@pytest.fixture(scope="module")
def ensemble(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both with equal weights."""
    folder = tmp_path_factory.mktemp("ensembles")
    settings = EnsembleSettings(rule="equal", resamples=100, copies=False)
    return make_ensemble(list(runs.values()), settings, folder, "").folder


@pytest.fixture(scope="module")
def smear(rendered: Path) -> Path:
    return sorted((rendered / "ALL-IDB1" / "im").iterdir())[0]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("kind", ["tree", "stacked"])
def test_a_run_of_another_learner_answers_cells_as_its_model_does(
    runs: dict[str, Path], smear: Path, kind: str
) -> None:
    predictor = Predictor(runs[kind], CHEAP)
    looked = predictor.look(decode_rgb(smear), "a", "a")
    assert looked.said.said is None
    assert looked.said.blasts is not None
    assert predictor.blast == "lymphoblast"
    assert looked.said.cells
    model = mtl.load(runs[kind])
    for cell in looked.said.cells:
        assert cell.said is not None
        assert sum(cell.said.probabilities.values()) == pytest.approx(1)
        assert tuple(cell.said.probabilities) == model.classes


def test_an_ensemble_answers_cells_with_the_mean_of_its_members(
    runs: dict[str, Path], ensemble: Path, smear: Path
) -> None:
    singles = [Predictor(run, CHEAP).predict(smear) for run in runs.values()]
    together = Predictor(ensemble, CHEAP)
    said = together.predict(smear)
    assert together.blast == "lymphoblast"
    assert together.frame == Predictor(runs["tree"], CHEAP).frame  # cells are cut as the members saw them
    assert said.said is None
    assert len(said.cells) == len(singles[0].cells) > 0
    for cell, *own in zip(said.cells, *(one.cells for one in singles), strict=True):
        assert cell.said is not None
        for name, value in cell.said.probabilities.items():
            expected = np.mean([one.said.probabilities[name] for one in own if one.said is not None])
            assert value == pytest.approx(expected, abs=1e-6)
        assert cell.said.unlike == any(one.said is not None and one.said.unlike for one in own)


def test_the_command_takes_an_ensemble_writes_it_all_and_goes_on(
    ensemble: Path, smear: Path, tmp_path: Path
) -> None:
    typed = (
        "predict", smear, "--run", ensemble, "--out", tmp_path / "o", "--json", "--set", "segment.method=white-cells",
    )  # fmt: skip
    done = called(*typed, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["stages"], said["blast"], said["skipped"]) == (
        {"cells": ensemble.name},
        "lymphoblast",
        0,
    )
    assert len(rows(tmp_path / "o" / "cells.csv")) == said["cells"] > 0
    assert json.loads(called(*typed, cwd=tmp_path).stdout)["skipped"] == 1
    explained = called(*typed, "--explain", cwd=tmp_path)
    assert explained.returncode == 0  # nothing in it is a network: nothing is explained
    assert json.loads(explained.stdout)["sanity"] == {}


def test_what_an_ensemble_cannot_answer_is_one_line(ensemble: Path, smear: Path, tmp_path: Path) -> None:
    done = called("predict", smear, "--run", ensemble, "--stage", "fields", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "to hold stage 3, but it learned 2" in done.stderr
    for lost in ("ensemble.json", "model.json"):
        damaged = Path(shutil.copytree(ensemble, tmp_path / lost))
        (damaged / lost).unlink()
        done = called("predict", smear, "--run", damaged, cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert not (tmp_path / "runs").exists()


def test_an_ensemble_is_compared_and_embedded_like_a_run(
    runs: dict[str, Path], ensemble: Path, smear: Path, tmp_path: Path
) -> None:
    done = called("runs", "compare", ensemble, runs["tree"], "--out", tmp_path / "r", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "r.json").read_text())["images"][0]
    table = rows(ensemble / "predictions.csv")
    assert told["n"] == len(table)
    right = [row["label"] == row["predicted"] for row in table]
    assert told["first_accuracy"] == pytest.approx(np.mean(right))
    pair = [decode_rgb(smear)] * 2
    parts = [mtl.load(run).embeddings(pair) for run in runs.values()]
    np.testing.assert_allclose(mtl.load(ensemble).embeddings(pair), np.concatenate(parts, axis=1))


def test_a_stage_folder_and_its_run_answer_alike(tiny_run: Path, smear: Path) -> None:
    alone = Predictor(learned_stages(tiny_run)[2].path, CHEAP)
    both = Predictor(tiny_run, CHEAP)
    assert alone.fields is None
    assert alone.predict(smear).cells == both.predict(smear).cells
    assert alone.key() != both.key()


@pytest.fixture(scope="module")
def odd(tiny_run: Path, smear: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Any]:
    """Two images of one name in one folder and in two, a single pixel, and glass."""
    folder = tmp_path_factory.mktemp("odd") / "slides"
    (folder / "A").mkdir(parents=True)
    (folder / "B").mkdir()
    image = cv2.imread(str(smear))
    cv2.imwrite(str(folder / "A" / "same.png"), image)
    cv2.imwrite(str(folder / "A" / "same.bmp"), image)
    cv2.imwrite(str(folder / "B" / "same.png"), image)
    cv2.imwrite(str(folder / "B" / "dot.png"), np.full((1, 1, 3), 90, np.uint8))
    cv2.imwrite(str(folder / "glass.png"), np.full((60, 90, 3), 235, np.uint8))
    out = tmp_path_factory.mktemp("odd-out") / "o"
    return folder, out, predict_images(folder, tiny_run, out, CHEAP)


def test_images_of_one_name_have_outputs_of_their_own(odd: tuple[Path, Path, Any]) -> None:
    _, out, result = odd
    table = rows(out / "fields.csv")
    assert (result.images, set(result.failed)) == (4, {"B/dot.png"})
    assert len({row["output"].casefold() for row in table}) == 4
    for row in table:
        assert (out / "overlays" / f"{row['output']}.png").is_file()
        assert (out / "geojson" / f"{row['output']}.geojson").is_file()
    cells = rows(out / "cells.csv")
    of = {
        name: [[row[key] for key in row if key not in ("image", "group")] for row in cells if row["image"] == name]
        for name in ("A/same.png", "A/same.bmp", "B/same.png")
    }  # fmt: skip
    assert of["A/same.png"] == of["A/same.bmp"] == of["B/same.png"] != []


def test_a_pixel_is_refused_in_one_sentence_and_glass_has_no_blasts(odd: tuple[Path, Path, Any]) -> None:
    _, out, result = odd
    glass = next(row for row in rows(out / "fields.csv") if row["image"] == "glass.png")
    assert result.empty == 1
    assert (glass["cells"], glass["counted_cells"], glass["blast_part"]) == ("0", "0", "")
    assert "at least 16 px a side, but got 1x1 px" in result.failed["B/dot.png"]
    assert "\n" not in result.failed["B/dot.png"]
    patients = {row["group"]: row for row in rows(out / "patients.csv")}
    assert set(patients) == {"A", "B", "slides"}
    assert patients["slides"]["blast_low"] == ""
    assert "no cell to count" in result.to_text()


def test_the_table_says_what_the_json_says(odd: tuple[Path, Path, Any]) -> None:
    _, out, _ = odd
    said = json.loads((out / "predictions.json").read_text())
    cells = iter(rows(out / "cells.csv"))
    for field, row in zip(said["fields"], rows(out / "fields.csv"), strict=True):
        assert (row["image"], int(row["width"]), int(row["height"])) == (
            field["image"],
            field["width"],
            field["height"],
        )
        for name, value in field["said"]["probabilities"].items():
            assert float(row[f"p_{name}"]) == pytest.approx(value, abs=6e-6)
        for cell in field["cells"]:
            own = next(cells)
            assert [int(own[key]) for key in ("x0", "y0", "x1", "y1")] == cell["box"]
            assert (int(own["area_px"]), int(own["cell"])) == (cell["area_px"], cell["cell"])
            assert own["label"] == max(cell["said"]["probabilities"], key=cell["said"]["probabilities"].get)
            assert float(own["probability"]) == pytest.approx(
                max(cell["said"]["probabilities"].values()), abs=6e-6
            )
    assert next(cells, None) is None
    for patient, row in zip(said["patients"], rows(out / "patients.csv"), strict=True):
        assert (patient["group"], patient["cells"]) == (row["group"], int(row["cells"]))
