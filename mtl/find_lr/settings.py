"""What `mtl find-lr` can be told: an experiment, and how its learning rate is raised."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mtl.config import STAGE_FIELDS, Experiment
from mtl.errors import ConfigError
from segmentation.settings import Settings
from stages.settings import StageSettings

__all__ = ["FindRateSettings", "RatePlan"]

Rate = Annotated[float, Field(gt=0, le=100)]


class RatePlan(Settings):
    """From which rate to which, and of what."""

    stage: Literal[2, 3] | None = Field(
        None, description="whose rate; the last stage of the chain if not given"
    )
    head: bool = Field(False, description="of the head alone on a frozen backbone, for head_learning_rate")
    lowest: Rate = Field(1e-7, description="first rate")
    highest: Rate = Field(10.0, description="last rate; a loss that grows fourfold ends it before")
    steps: Annotated[int, Field(ge=20, le=10_000)] = Field(100, description="batches from first to last rate")

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.lowest >= self.highest:
            raise ValueError(
                f"Expected `highest` to be above `lowest` = {self.lowest:g}, but got {self.highest:g}; do raise it"
            )
        return self


class FindRateSettings(Experiment):
    """An experiment with one more section, `find_lr`."""

    find_lr: RatePlan = RatePlan()

    @property
    def number(self) -> int:
        """Of the stage whose rate is looked for."""
        return self.find_lr.stage or self.stages[-1]

    @property
    def chain(self) -> tuple[int, ...]:
        """Up to that stage."""
        return tuple(number for number in self.stages if number <= self.number)

    def learning(self) -> StageSettings:
        """Return the settings of that stage, as it learns while the rate rises."""
        settings = self.stage(self.number)
        if not self.find_lr.head:
            return settings
        frozen = settings.train.model_copy(update={"policy": "frozen"})
        return settings.model_copy(update={"train": frozen})

    @model_validator(mode="after")
    def _learns(self) -> Self:
        known = [number for number in self.stages if number in STAGE_FIELDS]
        if self.number not in known:
            raise ConfigError(
                f"Expected `--stage` to be one that learns in the chain {','.join(map(str, self.stages))}, but got {self.number}; "
                f"do choose {' or '.join(map(str, known)) or 'another chain'}"
            )
        settings = self.stage(self.number)
        learner = settings.learner if settings.bagging is None else "one on bags"
        if learner != "network":
            raise ConfigError(
                f"Expected stage {self.number} to learn by a network, but its learner is {learner}, which has no learning rate; "
                "do choose another stage or learner"
            )
        return self
