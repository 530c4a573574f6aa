"""What `mtl tune` can be told: an experiment, and the plan of a study that changes it."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from mtl.config import Experiment
from mtl.errors import ConfigError
from mtl.tune.plan import Plan
from mtl.tune.space import default_space, with_values

__all__ = ["TuneSettings"]


class TuneSettings(Experiment):
    """An experiment with one more section, `tune`."""

    tune: Plan = Plan()

    @model_validator(mode="after")
    def _searchable(self) -> Self:
        experiment = self.experiment()
        if self.tune.stage != "chain" and experiment.stages[-1] != int(self.tune.stage):
            raise ConfigError(
                f"Expected the chain to end with stage {self.tune.stage}, but it is {','.join(map(str, experiment.stages))}; "
                "do change --stage"
            )
        for key, parameter in self.tune.space.items():
            for value in parameter.choices or parameter.reach:
                with_values(experiment, {key: value})
        return self

    def experiment(self) -> Experiment:
        """Return what trials change: one chain, which ends with the searched stage."""
        stages = tuple(number for number in self.stages if self.tune.stage != "2" or number <= 2)
        tree = self.model_dump(mode="json", exclude={"tune"}) | {"stages": stages, "against": ()}
        return Experiment.model_validate(tree)

    def plan(self) -> Plan:
        """Return the plan with everything said: the name of the study and the space that is searched."""
        return self.tune.model_copy(
            update={
                "study": self.tune.study or f"{self.name}-study",
                "space": self.tune.space or default_space(self.experiment(), self.tune.stage),
            }
        )
