"""The learner `stacked` and `--preset` behind the same command as networks, on tiny rendered smears."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import called, tiny_experiment

from mtl.cli.options import overrides, with_learner
from mtl.config import Experiment, load_config
from mtl.errors import ConfigError
from mtl.presets import PRESETS
from mtl.run.execute import execute
from mtl.run.load import load
from mtl.runs import StageFolder, open_run
from stages.data.images import decode_rgb
from stages.learners.stacked.model import StackedModel


def preset(name: str, **flags: object) -> Experiment:
    return with_learner(lambda keys: load_config("default", keys), overrides(**flags), None, None, name)


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


@pytest.mark.parametrize("name", ["fast", "best"])
def test_a_preset_is_of_the_last_stage_alone(name: str) -> None:
    experiment = preset(name)
    assert experiment.multi_cell.learner == "stacked"
    assert experiment.multi_cell.preprocess.image_size == PRESETS[name]["preprocess.image_size"]
    assert experiment.single_cell == load_config("default").single_cell


def test_the_default_preset_is_the_configuration() -> None:
    assert preset("default") == load_config("default")


@pytest.mark.parametrize(
    ("name", "flags", "said"),
    [
        ("fats", {}, "did you mean fast?"),
        ("best", {"image_size": 96}, "without `--image-size`"),
    ],
)
def test_a_preset_that_is_unknown_or_contradicts_is_one_sentence(
    name: str, flags: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said.replace("?", r"\?")):
        preset(name, **flags)


def test_a_learner_beside_a_preset_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    done = called("run", "--preset", "fast", "--learner", "svm", cwd=tmp_path)
    assert done.returncode == 2
    assert "without `--learner`" in " ".join(done.stderr.split())
