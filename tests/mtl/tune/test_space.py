"""The search space: what is read, what is refused, and that values land where they belong."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from mtl.config import load_config
from mtl.errors import ConfigError
from mtl.loading import load_settings
from mtl.tune.settings import TuneSettings
from mtl.tune.space import decoded, default_space, read_space, suggest, with_values

EXPERIMENT = load_config("default")


def write(folder: Path, text: str) -> Path:
    path = folder / "space.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("stage", ["2", "3", "chain"])
def test_everything_that_the_default_space_proposes_is_a_configuration(stage: str) -> None:
    space = default_space(EXPERIMENT, stage)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(30):
        trial = study.ask()
        values = suggest(trial, space)
        chosen = with_values(EXPERIMENT, values)
        assert chosen.multi_cell.data == EXPERIMENT.multi_cell.data
        assert decoded(trial.params, space) == {
            key: list(v) if isinstance(v, tuple) else v for key, v in values.items()
        }
        if stage == "2":
            assert chosen.single_cell.train.learning_rate == values["single_cell.train.learning_rate"]
            assert chosen.multi_cell == EXPERIMENT.multi_cell


def test_bags_have_a_default_space_of_their_own() -> None:
    experiment = load_config("default", {}, ["multi_cell.unit=cells"])
    space = default_space(experiment, "3")
    assert not [key for key in space if ".train." in key or ".head." in key]
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    values = suggest(trial, space)
    assert with_values(experiment, values).multi_cell.bags.width == values["multi_cell.bags.width"]


def test_classifiers_have_a_default_space_of_their_own() -> None:
    experiment = load_config("default", {}, ["multi_cell.learner=svm"])
    space = default_space(experiment, "3")
    assert not [key for key in space if ".train." in key or ".head." in key]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    tried = {with_values(experiment, suggest(study.ask(), space)).multi_cell.learner for _ in range(30)}
    assert tried == {"svm", "forest", "boosting", "logistic"}


def test_a_space_is_read(tmp_path: Path) -> None:
    text = """
multi_cell.train.learning_rate: {low: 1e-4, high: 1.0e-2, log: true}
multi_cell.train.batch_size: {low: 8, high: 32, step: 8}
multi_cell.head.hidden: {choices: [[], [64, 32]]}
backbone: {choices: [resnet18, resnet34]}
"""
    read = read_space(write(tmp_path, text))
    space = load_settings(TuneSettings, "default", {"tune.space": read}).plan().space
    assert list(space) == [
        "multi_cell.train.learning_rate", "multi_cell.train.batch_size", "multi_cell.head.hidden", "backbone",
    ]  # fmt: skip
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    values = suggest(trial, space)
    assert 1e-4 <= values["multi_cell.train.learning_rate"] <= 1e-2
    assert values["multi_cell.train.batch_size"] in (8, 16, 24, 32)
    assert with_values(EXPERIMENT, values).backbone == values["backbone"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "keys of the configuration"),
        ("a: [", "YAML"),
        ("multi_cell.train.learning: {low: 1, high: 2}", "learning"),
        ("multi_cell.train.learning_rate: {low: 2, high: 1}", "rise"),
        ("multi_cell.train.learning_rate: {low: 0, high: 1, log: true}", "above 0"),
        ("multi_cell.train.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true, step: 0.1}", "without step"),
        ("multi_cell.train.learning_rate: {low: little, high: 1.0}", "number"),
        ("multi_cell.train.learning_rate: {low: 0.1, high: .inf}", "finite"),
        ("multi_cell.train.learning_rate: {low: 0.1}", "low"),
        ("multi_cell.train.learning_rate: {low: 0.1, high: 0.2, choices: [0.1]}", "choices"),
        ("multi_cell.train.learning_rate: {choices: []}", "choices"),
        ("multi_cell.train.learning_rate: [0.1, 0.2]", "learning_rate"),
        ("multi_cell.train.policy: {choices: [full, half]}", "policy"),
        ("multi_cell.head.dropout: {low: 0.0, high: 1.5}", "dropout"),
    ],
)
def test_what_is_no_space_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(TuneSettings, "default", {"tune.space": read_space(write(tmp_path, text))})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
