"""What decides a study: the `tune` section of a configuration, and what stands in `plan.json`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, FiniteFloat, field_validator, model_validator

from mtl.errors import ConfigError
from segmentation.settings import Settings

__all__ = ["METRICS", "Parameter", "Plan", "Space", "short_key"]

Scalar = bool | int | float | str
Number = FiniteFloat | int
Metric = Literal["macro_f1", "accuracy", "balanced_accuracy", "macro_auroc", "ece", "milliseconds"]

METRICS: Mapping[Metric, Literal["maximize", "minimize"]] = {
    "macro_f1": "maximize",
    "accuracy": "maximize",
    "balanced_accuracy": "maximize",
    "macro_auroc": "maximize",
    "ece": "minimize",
    "milliseconds": "minimize",
}
"""What can be tuned for: scores of the inner validation part, and inference time an image."""


class Parameter(Settings):
    """What one key of the configuration may be: some choices, or a range."""

    choices: tuple[Scalar | tuple[Scalar, ...], ...] = Field((), description="values to choose from")
    low: Number | None = Field(None, description="least value of a range")
    high: Number | None = Field(None, description="largest value of a range")
    log: bool = Field(False, description="the range is even in the logarithm")
    step: Number | None = Field(None, gt=0, description="distance of two values of a range")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        ends = [one for one in (self.low, self.high) if one is not None]
        ranged = bool(ends or self.log or self.step)
        if ranged == bool(self.choices) or (ranged and len(ends) < 2):
            raise ConfigError(
                "Expected a key of the search space to be {low: ..., high: ...} with log or step, or {choices: [...]}, "
                f"but got {self.model_dump(mode='json', exclude_defaults=True)}; do write one"
            )
        if self.choices:
            return self
        low, high = self.reach
        if not low < high or (self.log and (low <= 0 or self.step is not None)):
            raise ConfigError(
                "Expected a key of the search space to rise from low to high, above 0 and without step if log, "
                f"but got {self.model_dump(mode='json', exclude_defaults=True)}; do change it"
            )
        return self

    @property
    def reach(self) -> tuple[float, float]:
        """Least and largest value of a range."""
        if self.low is None or self.high is None:
            raise ConfigError("Expected a range, but got choices; do look at `choices`")
        return self.low, self.high

    @property
    def whole(self) -> bool:
        """Whether a range holds whole numbers alone."""
        return all(isinstance(one, int) for one in (self.low, self.high, self.step or 1))


Space = Mapping[str, Parameter]
"""By dotted key of the configuration, such as `multi_cell.train.learning_rate`."""


class Plan(Settings):
    """Everything that workers of one study must agree on."""

    study: str | None = Field(
        None, description="name of the study and its folder; the configuration's with -study if none"
    )
    stage: Literal["2", "3", "chain"] = Field("3", description="whose settings are searched; chain: both")
    trials: int = Field(50, ge=1, le=1_000_000, description="in all, by all workers")
    folds: int = Field(
        3, ge=1, le=1000, description="grouped folds inside the training part; 1 for an inner hold-out"
    )
    metrics: tuple[Metric, ...] = Field(
        ("macro_f1",), min_length=1, max_length=2, description="what is tuned for; two give a Pareto front"
    )
    sampler: Literal["tpe", "cmaes", "random", "nsga2", "gp"] = "tpe"
    pruner: Literal["median", "hyperband", "halving", "none"] = "median"
    space: dict[str, Parameter] = Field({}, description="what is searched; a default space if none")
    storage: str | None = Field(
        None, description="database URL, or journal file ending in .log; study.sqlite in the folder if none"
    )
    grace: int = Field(
        300, ge=1, description="seconds without a sign of life after which a worker elsewhere counts as dead"
    )

    @field_validator("stage", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value

    @field_validator("metrics", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value

    @field_validator("study")
    @classmethod
    def _is_a_name(cls, value: str | None) -> str | None:
        if value is not None and (value in (".", "..") or not re.fullmatch(r"[\w.-]+", value)):
            raise ConfigError(
                f"Expected `--study` to be a name of letters, digits, dots and dashes, but got {value!r}; "
                "do name the study, and give its place with --runs"
            )
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(set(self.metrics)) < len(self.metrics):
            raise ConfigError(
                f"Expected `tune.metrics` to be two different ones, but got {', '.join(self.metrics)}; do change it"
            )
        if len(self.metrics) == 2 and self.sampler == "cmaes":
            raise ConfigError(
                "Expected `tune.sampler` to be tpe, nsga2, gp or random for two metrics, but got 'cmaes'; do choose one"
            )
        return self

    @property
    def directions(self) -> list[str]:
        """`maximize` or `minimize` for every metric."""
        return [METRICS[metric] for metric in self.metrics]

    def identity(self) -> dict[str, Any]:
        """Return what makes a study: all but how many trials, where it is stored and when a worker counts as dead."""
        return self.model_dump(mode="json", exclude={"trials", "storage", "grace"})


def short_key(key: str) -> str:
    """Return the last part of a key, and the part before it where several sections have such a one.

    Examples:
        >>> short_key("multi_cell.train.epochs"), short_key("multi_cell.preprocess.segment.method")
        ('epochs', 'segment.method')
    """
    parts = key.split(".")
    return ".".join(parts[-2:]) if parts[-1] == "method" else parts[-1]
