"""The search space: which keys of the configuration a study may change, and between what."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mtl.config import STAGE_FIELDS, Experiment, load_config
from mtl.errors import ConfigError
from mtl.tune.plan import Parameter, Space
from stages.stacked_settings import STACKED

if TYPE_CHECKING:
    from optuna import Trial

__all__ = ["default_space", "read_space", "suggest", "with_values"]


def default_space(experiment: Experiment, stage: str) -> dict[str, Parameter]:
    """Return what is tuned if nothing else is said: rate, head, dropout, depth of fine-tuning, schedule, batch, augmentation, size.

    Where the learner is no network: which classifier, reduction, how much it leaves, size. Where bags are answered for: rule, width,
    dropout, rate, size.

    Args:
        experiment: Whose image sizes are the largest that are tried.
        stage: `2`, `3` or `chain` (both).
    """
    found: dict[str, Parameter] = {}
    for number in (2, 3) if stage == "chain" else (int(stage),):
        field, size = STAGE_FIELDS[number], experiment.stage(number).preprocess.image_size
        sizes = sorted({max(32, round(size * share / 32) * 32) for share in (0.5, 0.75)} | {size})
        learner = experiment.stage(number).learner
        if experiment.stage(number).bagging is not None:
            found |= {
                f"{field}.bags.aggregate": Parameter(choices=("mean", "noisy-or", "attention")),
                f"{field}.bags.width": Parameter(choices=(16, 32, 64, 128)),
                f"{field}.bags.dropout": Parameter(low=0.0, high=0.6, step=0.1),
                f"{field}.bags.learning_rate": Parameter(low=1e-4, high=1e-2, log=True),
                f"{field}.preprocess.image_size": Parameter(choices=tuple(sizes)),
            }
            continue
        if learner == STACKED:
            found[f"{field}.stacked.views"] = Parameter(choices=(("plain",), ("plain", "grey-world")))
            found[f"{field}.preprocess.image_size"] = Parameter(choices=tuple(sizes))
            continue
        if learner != "network":
            found |= {
                f"{field}.learner": Parameter(choices=("svm", "forest", "boosting", "logistic")),
                f"{field}.classical.reduction": Parameter(choices=("none", "pca", "lda", "mutual-info")),
                f"{field}.classical.components": Parameter(choices=(8, 16, 32, 64)),
            }
            found[f"{field}.preprocess.image_size"] = Parameter(choices=tuple(sizes))
            continue
        found |= {
            f"{field}.train.learning_rate": Parameter(low=1e-4, high=1e-2, log=True),
            f"{field}.head.hidden": Parameter(choices=((), (128,), (256,), (512,))),
            f"{field}.head.dropout": Parameter(low=0.0, high=0.6, step=0.1),
            f"{field}.train.policy": Parameter(choices=("full", "gradual", "layer_decay", "frozen")),
            f"{field}.train.schedule": Parameter(choices=("cosine", "exponential", "constant")),
            f"{field}.train.batch_size": Parameter(choices=(8, 16, 32)),
            f"{field}.augment.strength": Parameter(low=0.0, high=1.5, step=0.25),
            f"{field}.preprocess.image_size": Parameter(choices=tuple(sizes)),
        }
    return found


def read_space(path: Path) -> dict[str, Any]:
    """Read a space from YAML: `key: {low: 1.0e-4, high: 1.0e-2, log: true}`, with `step` if wanted, or `key: {choices: [16, 32]}`.

    Raises:
        ConfigError: If the file is no such thing.
    """
    try:
        tree = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise ConfigError(
            f"Expected `--search` {path} to be a YAML file, but got: {reason}; do check it"
        ) from error
    if not isinstance(tree, dict) or not tree:
        raise ConfigError(
            f"Expected `--search` {path} to hold keys of the configuration, but got {type(tree).__name__}; do write "
            "for example multi_cell.train.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}"
        )
    return {str(key): value for key, value in tree.items()}


def suggest(trial: Trial, space: Space) -> dict[str, Any]:
    """Return a value for every key, as the study's sampler proposes."""
    return {key: _suggest(trial, key, parameter) for key, parameter in space.items()}


def with_values(experiment: Experiment, values: Mapping[str, Any]) -> Experiment:
    """Return the experiment with other values at dotted keys.

    Raises:
        ConfigError: If the configuration knows no such key or value.
    """
    tree = experiment.model_dump(mode="json")
    return load_config(tree, dict(values))


def decoded(parameters: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """Return a trial's values as the configuration takes them (lists are stored as text)."""
    return {
        key: _decode(value) if key in space and space[key].choices else value
        for key, value in parameters.items()
    }


def _suggest(trial: Trial, key: str, parameter: Parameter) -> Any:
    if parameter.choices:
        # Optuna's storages keep numbers and text; a list such as a head's widths goes in as text.
        return _decode(trial.suggest_categorical(key, [_encode(one) for one in parameter.choices]))
    low, high = parameter.reach
    if parameter.whole:
        return trial.suggest_int(key, int(low), int(high), log=parameter.log, step=int(parameter.step or 1))
    return trial.suggest_float(key, low, high, log=parameter.log, step=parameter.step)


def _encode(value: Any) -> Any:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, tuple) else value


def _decode(value: Any) -> Any:
    return yaml.safe_load(value) if isinstance(value, str) and value.startswith("[") else value
