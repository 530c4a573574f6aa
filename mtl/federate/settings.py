"""What `mtl federate` can be told: an experiment, and how its last stage is federated."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from mtl.config import Experiment
from mtl.errors import ConfigError
from stages.learners.federated.settings import FederateSettings

__all__ = ["FederatedExperiment"]


class FederatedExperiment(Experiment):
    """An experiment with one more section, `federate`: its last stage is learned by several clients."""

    federate: FederateSettings = FederateSettings()

    @model_validator(mode="after")
    def _one_chain(self) -> Self:
        if self.against:
            raise ConfigError("Expected one chain to federate, but got `against`, too; do set it to none")
        if self.stages[-1] == 1:
            raise ConfigError(
                "Expected the last of `--stages` to be 2 or 3, which clients learn together, but got 1; do add a stage"
            )
        last = self.stage(self.stages[-1])
        if last.bagging is not None:
            raise ConfigError(
                f"Expected a last stage that answers for images, which clients can learn together, but its `unit` is {last.unit}; do set it to field"
            )
        return self
