"""`--preset`: of the last stage alone, and one sentence where it contradicts."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import called

from mtl.cli.options import overrides, with_learner
from mtl.config import Experiment, load_config
from mtl.errors import ConfigError
from mtl.presets import PRESETS


def preset(name: str, **flags: object) -> Experiment:
    return with_learner(lambda keys: load_config("default", keys), overrides(**flags), None, None, name)


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


@pytest.mark.parametrize("name", ["fast", "best"])
@pytest.mark.parametrize("more", [("--learner", "network"), ("--features", "glcm"), ("--image-size", "96")])
def test_every_flag_that_a_preset_decides_is_refused_beside_it(
    tmp_path: Path, name: str, more: tuple[str, str]
) -> None:
    done = called("run", "--preset", name, *more, cwd=tmp_path)
    assert done.returncode == 2
    assert f"`--preset {name}` without `{more[0]}`" in " ".join(done.stderr.split())
    assert "do leave one out" in " ".join(done.stderr.split())
    assert not (tmp_path / "runs").exists()


def test_flags_that_a_preset_says_nothing_of_stay_as_given() -> None:
    experiment = preset("fast", epochs=4, seed=7)
    assert (experiment.seed, experiment.single_cell.train.epochs, experiment.multi_cell.learner) == (
        7,
        4,
        "stacked",
    )


@pytest.mark.parametrize(("chain", "last"), [((1, 2), "single_cell"), ((1, 3), "multi_cell")])
def test_a_preset_is_of_the_last_stage_whatever_it_is(chain: tuple[int, ...], last: str) -> None:
    experiment = preset("fast", stages=chain, against="none")
    learners = {stage: getattr(experiment, stage).learner for stage in ("single_cell", "multi_cell")}
    assert learners.pop(last) == "stacked"
    assert set(learners.values()) == {"network"}


def test_a_single_key_is_above_a_preset() -> None:
    experiment = with_learner(
        lambda keys: load_config("default", keys, ["multi_cell.preprocess.image_size=64"]), {}, None, None, "best"
    )  # fmt: skip
    assert experiment.multi_cell.preprocess.image_size == 64
    assert experiment.multi_cell.learner == "stacked"
