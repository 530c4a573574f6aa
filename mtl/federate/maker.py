"""Makes the stage that clients learn together, as `mtl run` makes a stage: keyed, locked, reused, scored, written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mtl.federate.settings import FederatedExperiment
from mtl.progress import Steps
from mtl.run.stage import StageMaker
from mtl.runs import RunFolder, StageFolder, stage_key
from stages.assemble import Assembled
from stages.learners.federated.learner import FederatedLearner
from stages.learners.network.model import NetworkLearner
from stages.learners.network.training import Watch
from stages.preprocess import Preprocess

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

    def base(
        self, number: int, data: Assembled, preprocess: Preprocess, parent: StageFolder
    ) -> NetworkLearner:
        """Return what one client would train with, before it is told how many epochs; see `StageMaker.learner`."""
        learner = super().learner(number, data, preprocess, parent, flips=self.experiment.evaluation.flips)
        assert isinstance(learner, NetworkLearner)  # noqa: S101 - tells the type checker
        return learner

    def learner(
        self,
        number: int,
        data: Assembled,
        preprocess: Preprocess,
        parent: StageFolder,
        progress: Callable[[int, int, str], None] | None = None,
        watch: Watch | None = None,
        *,
        flips: bool = False,
    ) -> FederatedLearner:
        """Return what federates a stage."""
        base = replace(self.base(number, data, preprocess, parent), progress=progress, flips=flips)
        return FederatedLearner(base, self.federate, data.samples)

    def _key(self, *arguments: Any) -> str:
        return stage_key("federate", super()._key(*arguments), self.federate.model_dump(mode="json"))
