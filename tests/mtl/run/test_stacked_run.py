"""The learner `stacked` behind the same command as networks, on tiny rendered smears."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from conftest import tiny_experiment

from mtl.run.execute import execute
from mtl.run.load import load
from mtl.runs import StageFolder, open_run
from stages.data.images import decode_rgb
from stages.learners.stacked.model import StackedModel


def test_a_run_trains_scores_writes_a_report_and_is_reused(rendered: Path, tmp_path: Path) -> None:
    experiment = tiny_experiment(
        rendered,
        "multi_cell.learner=stacked",
        "multi_cell.stacked.depths=[0, 1]",
        "multi_cell.stacked.folds=2",
    )
    run = execute(experiment, tmp_path, "mtl run").run
    stage = StageFolder(run / "stages" / open_run(run).record().chains["1,3"][-1])
    record, told = stage.learned_record(), stage.predictions()
    assert record.evaluation is not None
    assert record.over_colour is not None
    assert "at rest (plain and grey-world) under least squares" in (run / "report.html").read_text("utf-8")
    model = load(run)
    assert isinstance(model, StackedModel)
    root = record.data.sources[0].root
    said = model.probabilities(decode_rgb(root / name) for name in told.names)
    assert said.shape == (len(told.names), len(record.classes))
    np.testing.assert_allclose(said.sum(axis=1), 1)
    begun = stage.path.stat().st_mtime_ns
    execute(experiment, tmp_path, "mtl run")
    assert stage.path.stat().st_mtime_ns == begun
