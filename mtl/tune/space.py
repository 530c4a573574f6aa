"""The search space: which keys of the configuration a study may change, and between what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mtl.config import STAGE_FIELDS, Experiment, load_config
from mtl.errors import ConfigError

if TYPE_CHECKING:
    from optuna import Trial

__all__ = ["Parameter", "Space", "default_space", "read_space", "suggest", "with_values"]


@dataclass(frozen=True)
class Parameter:
    """One key of the configuration and what it may be.

    Attributes:
        key: Dotted, such as `multi_cell.train.learning_rate`.
        choices: Values to choose from; empty for a range.
        low: Least value of a range.
        high: Largest value of a range.
        log: Whether the range is even in the logarithm.
        step: Distance of two values; None for any.
    """

    key: str
    choices: tuple[Any, ...] = ()
    low: float | int = 0
    high: float | int = 0
    log: bool = False
    step: float | int | None = None

    @property
    def whole(self) -> bool:
        """Whether it takes whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)


Space = tuple[Parameter, ...]


def default_space(experiment: Experiment, stage: str) -> Space:
    """Return what is tuned if nothing else is said: rate, head, dropout, depth of fine-tuning, schedule, batch, augmentation, size.

    Args:
        experiment: Whose image sizes are the largest that are tried.
        stage: `2`, `3` or `chain` (both).
    """
    numbers = [2, 3] if stage == "chain" else [int(stage)]
    found: list[Parameter] = []
    for number in numbers:
        field, size = STAGE_FIELDS[number], experiment.stage(number).image_size
        sizes = sorted({max(32, round(size * share / 32) * 32) for share in (0.5, 0.75)} | {size})
        found += [
            Parameter(f"{field}.train.learning_rate", low=1e-4, high=1e-2, log=True),
            Parameter(f"{field}.head.hidden", ((), (128,), (256,), (512,))),
            Parameter(f"{field}.head.dropout", low=0.0, high=0.6, step=0.1),
            Parameter(f"{field}.train.policy", ("full", "gradual", "layer_decay", "frozen")),
            Parameter(f"{field}.train.schedule", ("cosine", "exponential", "constant")),
            Parameter(f"{field}.train.batch_size", (8, 16, 32)),
            Parameter(f"{field}.augment.strength", low=0.0, high=1.5, step=0.25),
            Parameter(f"{field}.image_size", tuple(sizes)),
        ]
    return tuple(found)


def read_space(path: Path, experiment: Experiment) -> Space:
    """Read a space from YAML: `key: {low: 1.0e-4, high: 1.0e-2, log: true}`, with `step` if wanted, or `key: {choices: [16, 32]}`.

    Raises:
        ConfigError: If the file is no such thing, or a key or value is not one of the configuration's.
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
    space = tuple(_parameter(str(key), value) for key, value in tree.items())
    for parameter in space:
        for value in parameter.choices or (parameter.low, parameter.high):
            with_values(experiment, {parameter.key: value})
    return space


def suggest(trial: Trial, space: Space) -> dict[str, Any]:
    """Return a value for every key, as the study's sampler proposes."""
    return {parameter.key: _suggest(trial, parameter) for parameter in space}


def with_values(experiment: Experiment, values: Mapping[str, Any]) -> Experiment:
    """Return the experiment with other values at dotted keys.

    Raises:
        ConfigError: If the configuration knows no such key or value.
    """
    tree = experiment.model_dump(mode="json")
    return load_config(tree, dict(values))


def decoded(parameters: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """Return a trial's values as the configuration takes them (lists are stored as text)."""
    known = {parameter.key: parameter for parameter in space}
    return {
        key: _decode(value) if key in known and known[key].choices else value
        for key, value in parameters.items()
    }


def _parameter(key: str, value: Any) -> Parameter:
    if (
        isinstance(value, dict)
        and set(value) == {"choices"}
        and isinstance(value["choices"], list)
        and value["choices"]
    ):
        return Parameter(key, tuple(tuple(one) if isinstance(one, list) else one for one in value["choices"]))
    known = {"low", "high", "log", "step"}
    if not isinstance(value, dict) or not {"low", "high"} <= set(value) <= known:
        raise ConfigError(
            f"Expected `{key}` of `--search` to be {{low: ..., high: ...}} with log or step, or {{choices: [...]}}, but got {value!r}; do write one"
        )
    numbers = {name: value[name] for name in ("low", "high", "step") if value.get(name) is not None}
    wrong = [
        name for name, one in numbers.items() if isinstance(one, bool) or not isinstance(one, (int, float))
    ]
    if wrong:
        raise ConfigError(
            f"Expected `{key}.{wrong[0]}` of `--search` to be a number, but got {value[wrong[0]]!r}; do write 1.0e-4 and not 1e-4"
        )
    if not value["low"] < value["high"] or (value.get("log") and (value["low"] <= 0 or value.get("step"))):
        raise ConfigError(
            f"Expected `{key}` of `--search` to rise from low to high, above 0 and without step if log, but got {value!r}; do change it"
        )
    return Parameter(key, (), value["low"], value["high"], bool(value.get("log")), value.get("step"))


def _suggest(trial: Trial, parameter: Parameter) -> Any:
    if parameter.choices:
        # Optuna's storages keep numbers and text; a list such as a head's widths goes in as text.
        return _decode(trial.suggest_categorical(parameter.key, [_encode(one) for one in parameter.choices]))
    if parameter.whole:
        step = int(parameter.step or 1)
        return trial.suggest_int(
            parameter.key, int(parameter.low), int(parameter.high), log=parameter.log, step=step
        )
    return trial.suggest_float(
        parameter.key, parameter.low, parameter.high, log=parameter.log, step=parameter.step
    )


def _encode(value: Any) -> Any:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, tuple) else value


def _decode(value: Any) -> Any:
    return yaml.safe_load(value) if isinstance(value, str) and value.startswith("[") else value
