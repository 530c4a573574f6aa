"""Makes the stage that clients learn together, as `mtl run` makes a stage: keyed, locked, reused, scored, written down."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mtl.errors import ConfigError
from mtl.federate.public import public_basis
from mtl.federate.settings import FederatedExperiment
from mtl.progress import Steps
from mtl.run.stage import StageMaker
from mtl.runs import RunFolder, stage_key
from stages.assemble import Assembled
from stages.learners.federated.learner import FederatedLearner
from stages.learners.network.model import NetworkLearner

__all__ = ["FederatedMaker"]


class FederatedMaker(StageMaker):
    """Makes the last stage of a federated experiment.

    Args:
        experiment: What is run.
        run: Where stages are kept.
        reporter: Told about progress.
    """

    def __init__(self, experiment: FederatedExperiment, run: RunFolder, reporter: Steps) -> None:
        super().__init__(experiment, run, reporter)
        self.federate = experiment.federate

    def learner(self, number: int, data: Assembled, *more: Any, **named: Any) -> FederatedLearner:
        """Return what federates a stage; see `StageMaker.learner`.

        Raises:
            ConfigError: If its learner is no network.
        """
        base = super().learner(number, data, *more, **named)
        if not isinstance(base, NetworkLearner):
            raise ConfigError(
                f"Expected a network to be federated, but stage {number} is learned by {self.experiment.stage(number).learner}; do leave it out"
            )
        basis = public_basis(base, self.federate, self.reporter.step)
        return FederatedLearner(replace(base, basis=basis), self.federate, data.samples)

    def _key(self, *arguments: Any) -> str:
        return stage_key("federate", super()._key(*arguments), self.federate.model_dump(mode="json"))
