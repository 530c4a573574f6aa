"""What a report shows, read from a run folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mtl.records import LearnedRecord, RunRecord
from mtl.run.gallery import Gallery
from mtl.runs import Predictions
from stages import STAGES
from stages.classical_settings import DEEP
from stages.learners.network.weights import WeightRecord
from stages.metrics import Evaluation
from stages.settings import StageSettings
from stages.stacked_settings import STACKED

__all__ = [
    "Mistake",
    "RunContent",
    "StageContent",
    "commonest_mistake",
    "find_mistakes",
    "learner_name",
    "learning_title",
]


def learning_title(number: int) -> str:
    """Return what people call a stage that learns; stage 1 does so only where ImageNet training goes on."""
    return STAGES[number].title + (", continued" if number == 1 else "")


def learner_name(settings: StageSettings, backbone: str) -> str:
    """Return what people call who learned a stage: the backbone, or a classifier and its features.

    Args:
        settings: Of the stage.
        backbone: That the chain began with.
    """
    if settings.bagging is not None:
        whose = "the cells of a field" if settings.unit == "cells" else "a patient's images"
        return f"{settings.bags.aggregate} over {whose}, seen by {backbone} at rest"
    if settings.learner == "network":
        return backbone
    if settings.learner == STACKED:
        return f"layers of {backbone} at rest, and colour"
    features = [f"{backbone}'s" if name == DEEP else name for name in settings.classical.features]
    return f"{settings.learner} on {', '.join(features)}"


@dataclass(frozen=True)
class Mistake:
    """A test image of which the wrong thing was said, and how surely."""

    name: str
    label: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class StageContent:
    """One learning stage of one chain.

    Attributes:
        chain: The chain it belongs to, such as `"1,2,3"`.
        title: For people, such as `"single cell"`.
        record: `stage.json`.
        history: Scores by epoch; empty where the learner has none.
        predictions: What was said of the test images, if there are any.
        folder: Of the stage.
        gallery: Where its network looked, if that was drawn.
        external: What was said of the images of every external test, in the order of `record.tests`.
    """

    chain: str
    title: str
    record: LearnedRecord
    history: tuple[Mapping[str, float], ...]
    predictions: Predictions | None
    folder: Path | None = None
    gallery: Gallery | None = None
    external: tuple[Predictions, ...] = ()

    @property
    def number(self) -> int:
        """2 or 3, or 1 where ImageNet training goes on."""
        return self.record.number

    @property
    def evaluation(self) -> Evaluation | None:
        """Scores on the test part, if there is one."""
        return self.record.evaluation

    @property
    def rendered(self) -> bool:
        """Whether its images are rendered smears."""
        return self.record.data.rendered

    @property
    def augmented(self) -> bool:
        """Whether it learned from augmented images: features of a frozen backbone are computed once, of plain ones."""
        return self.record.settings.train.policy != "frozen"

    @property
    def images(self) -> int:
        """Images in all parts."""
        return sum(sum(counts.values()) for counts in self.record.data.counts.values())

    @property
    def mistakes(self) -> tuple[Mistake, ...]:
        """Test images of which the wrong thing was said, the surest first."""
        return find_mistakes(self.predictions) if self.predictions else ()


def find_mistakes(told: Predictions) -> tuple[Mistake, ...]:
    """Return the images of which the wrong thing was said, the surest first."""
    rows = zip(told.names, told.labels, told.predicted, told.probabilities.max(axis=1), strict=True)
    wrong = [Mistake(name, label, said, float(sure)) for name, label, said, sure in rows if label != said]
    return tuple(sorted(wrong, key=lambda one: -one.confidence))


def commonest_mistake(mistakes: Sequence[Mistake]) -> tuple[int, str, str] | None:
    """Return the most frequent mistake: how often, what it is, what was said; None where there is none."""
    wrong = Counter((one.label, one.predicted) for one in mistakes)
    if not wrong:
        return None
    (label, said), count = min(wrong.items(), key=lambda entry: (-entry[1], entry[0]))
    return count, label, said


@dataclass(frozen=True)
class RunContent:
    """Everything in a report.

    Attributes:
        record: `run.json`.
        chains: Learning stages by chain; a stage that two chains share stands in both.
        weights: The record of stage 1's weights.
        config: `config.yaml`.
        folder: The run folder.
    """

    record: RunRecord
    chains: Mapping[str, tuple[StageContent, ...]]
    weights: WeightRecord
    config: str
    folder: Path

    @property
    def stages(self) -> tuple[StageContent, ...]:
        """Every learning stage once."""
        seen: dict[str, StageContent] = {}
        for stages in self.chains.values():
            for stage in stages:
                seen.setdefault(stage.record.key, stage)
        return tuple(seen.values())
