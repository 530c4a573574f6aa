"""Stages that answer for the cells of a field or for patients, behind the same commands as those that answer for images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import tiny_experiment

from mtl.run.execute import execute
from mtl.run.load import load
from mtl.runs import StageFolder, open_run
from stages.data.images import decode_rgb
from stages.learners.bags.model import BagModel

BAGS = ("multi_cell.bags.epochs=3", "multi_cell.bags.most=4", "multi_cell.bags.width=8")


def last_stage(run: Path) -> StageFolder:
    return StageFolder(run / "stages" / open_run(run).record().chains["1,2,3"][-1])


@pytest.mark.parametrize("aggregate", ["mean", "noisy-or", "attention"])
def test_a_run_over_cells_trains_scores_writes_a_report_and_is_reused(
    rendered: Path, tmp_path: Path, aggregate: str
) -> None:
    experiment = tiny_experiment(
        rendered, "multi_cell.unit=cells", f"multi_cell.bags.aggregate={aggregate}", *BAGS
    )
    run = execute(experiment, tmp_path, "mtl run").run
    stage = last_stage(run)
    record, told = stage.learned_record(), stage.predictions()
    assert record.evaluation is not None
    assert record.over_colour is not None
    assert record.trust is not None
    assert f"{aggregate} over the cells of a field" in (run / "report.html").read_text("utf-8")
    model = load(run)
    assert isinstance(model, BagModel)
    root = record.data.sources[0].root
    images = [decode_rgb(root / name) for name in told.names]
    # What was scored is what a saved model says of the file.
    np.testing.assert_allclose(model.probabilities(images), told.probabilities, atol=1e-6)
    deciding = model.deciding(images[0])
    assert 1 <= len(deciding) <= 4
    assert sum(weight for _, weight in deciding) == pytest.approx(1, abs=1e-5)
    begun = stage.path.stat().st_mtime_ns
    execute(experiment, tmp_path, "mtl run")
    assert stage.path.stat().st_mtime_ns == begun
