"""What learners hold that train no backbone: they fit something small on features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from segmentation.settings import Hardware
from stages.learners.model import Fitting, Model
from stages.learners.network.weights import WeightRecord
from stages.settings import StageSettings
from stages.task import Task

__all__ = ["LearnerAtRest"]


@dataclass(frozen=True)
class LearnerAtRest(ABC):
    """A learner whose backbone, where it asks one, stays as the stage before left it.

    Attributes:
        settings: Of the stage.
        weights: Where the backbone came from.
        start: Weight file of the stage before.
        seed: All randomness follows from it.
        hardware: What a backbone's features are computed on.
        progress: Told about every step.
    """

    settings: StageSettings
    weights: WeightRecord
    start: Path
    seed: int
    hardware: Hardware = field(default_factory=Hardware)
    progress: Callable[[int, int, str], None] | None = None

    @abstractmethod
    def fit(self, task: Task, folder: Path) -> tuple[Model, Fitting]:
        """Learn from a task; see `stages.learners.model.Learner`."""

    def _tell(self, done: int, total: int, text: str) -> None:
        if self.progress:
            self.progress(done, total, text)
