"""Cells of a benchmark in process: their scores are those of their stages, and a finished one is not run again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Told, tiny_experiment
from sklearn import metrics

from mtl.benchmark.cell import run_cell
from mtl.benchmark.plan import BenchmarkSettings, Design, cells_of
from mtl.benchmark.runner import run_benchmark
from mtl.benchmark.summary import summarise
from mtl.errors import RunError
from mtl.progress import Reporter
from mtl.records import CellRecord, read_record
from mtl.runs import RunFolder, StageFolder

DESIGN = Design(chains=((1, 2, 3), (1, 3)), repeats=2)


@pytest.fixture(scope="module")
def settings(rendered: Path) -> BenchmarkSettings:
    experiment = tiny_experiment(
        rendered,
        "multi_cell.train.epochs=1",
        "multi_cell.train.head_epochs=0",
        "single_cell.train.epochs=1",
        "single_cell.train.head_epochs=0",
    )
    return BenchmarkSettings.model_validate({**experiment.model_dump(), "benchmark": DESIGN})


@pytest.fixture(scope="module")
def folder(settings: BenchmarkSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("benchmark")
    run_benchmark(settings, path, 1, Reporter(quiet=True))
    return path


@pytest.fixture(scope="module")
def results(folder: Path) -> list[CellRecord]:
    return [read_record(path, CellRecord) for path in sorted(folder.glob("cells/*/cell.json"))]


def test_a_cell_holds_the_scores_of_its_stages(folder: Path, results: list[CellRecord]) -> None:
    assert [(cell.repeat, cell.seed) for cell in results] == [(0, 0), (1, 1)]
    for cell in results:
        assert set(cell.chains) == {"1,2,3", "1,3"}
        for chain in cell.chains.values():
            stage = StageFolder(folder / "stages" / chain.stage)
            record, told = stage.learned_record(), stage.predictions()
            assert record.evaluation is not None
            assert record.over_colour is not None
            truth, said = told.truth(), told.probabilities.argmax(axis=1)
            assert chain.scores["accuracy"] == pytest.approx(metrics.accuracy_score(truth, said))
            assert chain.scores["macro_f1"] == record.evaluation.headline["macro_f1"].value
            best = record.baselines[record.over_colour.baseline].headline
            assert chain.colour["macro_f1"] == best["macro_f1"].value
            healthy = [label == "normal" for label in told.labels]
            called = [label == "normal" for label in told.predicted]
            assert chain.detection == pytest.approx(metrics.accuracy_score(healthy, called))
            assert (cell.trained, cell.tested) == tuple(
                sum(record.data.counts[part].values()) for part in ("train", "test")
            )
    assert json.loads((folder / "results.json").read_text()) == [
        json.loads(path.read_text()) for path in sorted(folder.glob("cells/*/cell.json"))
    ]


def test_a_finished_cell_is_not_run_again(
    settings: BenchmarkSettings, folder: Path, results: list[CellRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtl.benchmark.cell.run_cell", lambda *_: pytest.fail("it is done"))
    again = run_benchmark(settings, folder, 1, Reporter(quiet=True))
    assert [cell.key for cell in again] == [cell.key for cell in results]
    with pytest.raises(RunError, match="belongs to `mtl benchmark`"):
        RunFolder(folder).claim("run")


def test_a_cell_that_is_lost_is_made_of_the_stages_that_are_there(
    settings: BenchmarkSettings, folder: Path, results: list[CellRecord]
) -> None:
    told = Told()
    again = run_cell(folder, cells_of(settings)[0], settings, told)
    assert again.model_dump_json() == results[0].model_dump_json()
    assert len(told.reused) == 3


def test_a_cell_of_another_version_is_one_sentence(settings: BenchmarkSettings, folder: Path) -> None:
    path = next(folder.glob("cells/*/cell.json"))
    text = path.read_text()
    path.write_text(json.dumps({**json.loads(text), "later": 1}))
    try:
        with pytest.raises(RunError, match=r"cell\.json .*`later`"):
            run_benchmark(settings, folder, 1, Reporter(quiet=True))
    finally:
        path.write_text(text)


def test_a_drawn_score_is_that_of_as_many_images(settings: BenchmarkSettings, folder: Path) -> None:
    drawing = settings.model_copy(update={"benchmark": DESIGN.model_copy(update={"draw": 4})})
    drawn = run_cell(folder, cells_of(drawing)[0], drawing, Told())
    for chain in drawn.chains.values():
        assert chain.scores["accuracy"] * 4 == pytest.approx(round(chain.scores["accuracy"] * 4))
        told = StageFolder(folder / "stages" / chain.stage).predictions()
        rows = np.random.default_rng(drawn.seed).permutation(len(told.names))[:4]
        right = np.array(told.labels)[rows] == np.array(told.predicted)[rows]
        assert chain.scores["accuracy"] == pytest.approx(right.mean())


def test_the_summary_shows_what_the_cells_hold(folder: Path, results: list[CellRecord]) -> None:
    content = summarise(results, DESIGN.model_copy(update={"metric": "accuracy"}), folder, "mtl benchmark")
    assert content.name == "1,3 against 1,2,3"
    assert content.rendered
    rows: list[dict[str, Any]] = [dict(zip(content.runs[0], row, strict=True)) for row in content.runs[1:]]
    assert [(row["split"], row["chain"]) for row in rows] == [
        (split, chain) for split in ("1.1", "2.1") for chain in ("1,2,3", "1,3")
    ]
    for row, chain in zip(rows, (chain for cell in results for chain in cell.chains.values()), strict=True):
        assert float(row["accuracy"]) == pytest.approx(chain.scores["accuracy"], abs=1e-4)
        assert row["stage"] == chain.stage
    losses = content.convergence["training loss"]
    assert {chain: table.shape for chain, table in losses.items()} == {"1,2,3": (2, 1), "1,3": (2, 1)}
    assert any(note.startswith("Colour alone, without any shape, reaches") for note in content.notes)
    for name, column in content.ours.items():
        for chain, value in column.items():
            cells = [cell.chains[chain] for cell in results]
            expected = [cell.detection if "leukaemia" in name else cell.scores["accuracy"] for cell in cells]
            assert value == pytest.approx(np.mean(np.array(expected, float)))
