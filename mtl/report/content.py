"""What a report shows, read from a run folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.metrics import Evaluation, Interval

__all__ = ["Prediction", "RunContent", "StageContent"]


@dataclass(frozen=True)
class Prediction:
    """One test image: what it is, what was said, and how surely."""

    name: str
    label: str
    predicted: str
    probabilities: tuple[float, ...]

    @property
    def confidence(self) -> float:
        """The probability of what was said."""
        return max(self.probabilities)


@dataclass(frozen=True)
class StageContent:
    """One learning stage of one chain.

    Attributes:
        chain: The chain it belongs to, such as `"1,2,3"`.
        number: 1, 2 or 3.
        title: For people, such as `"single cell"`.
        record: `stage.json`.
        history: Rows of `history.csv`.
        predictions: Rows of `predictions.csv`.
        evaluation: Scores on the test part, if there is one.
        baselines: The colour-only baselines on the same images.
    """

    chain: str
    number: int
    title: str
    record: Mapping[str, Any]
    history: tuple[Mapping[str, float], ...]
    predictions: tuple[Prediction, ...]
    evaluation: Evaluation | None
    baselines: Mapping[str, Evaluation]

    @property
    def rendered(self) -> bool:
        """Whether its images are rendered smears."""
        return bool(self.record["data"]["rendered"])

    @property
    def images(self) -> int:
        """Images in all parts."""
        return sum(sum(counts.values()) for counts in self.record["data"]["counts"].values())

    @property
    def best_baseline(self) -> tuple[str, Interval] | None:
        """The colour-only baseline with the highest macro F1, and that score."""
        scores = [(name, score.headline["macro_f1"]) for name, score in self.baselines.items()]
        return max(scores, key=lambda entry: entry[1].value, default=None)

    @property
    def beats_colour(self) -> bool | None:
        """Whether its macro F1 is above the best baseline's; None where there is none."""
        best = self.best_baseline
        return (
            None
            if best is None or self.evaluation is None
            else self.evaluation.headline["macro_f1"].value > best[1].value
        )


@dataclass(frozen=True)
class RunContent:
    """Everything in a report.

    Attributes:
        name: Of the run.
        command: As typed.
        chains: Learning stages by chain; a stage that two chains share stands in both.
        weights: The record of stage 1's weights.
        comparison: Difference of the two chains' last stages on the same images, as in `run.json`.
        environment: Versions, processor, date.
        config: `config.yaml`.
        folder: The run folder.
    """

    name: str
    command: str
    chains: Mapping[str, tuple[StageContent, ...]]
    weights: Mapping[str, Any]
    comparison: Mapping[str, Any] | None
    environment: Mapping[str, str]
    config: str
    folder: Path

    @property
    def stages(self) -> tuple[StageContent, ...]:
        """Every learning stage once."""
        seen: dict[str, StageContent] = {}
        for stages in self.chains.values():
            for stage in stages:
                seen.setdefault(stage.record["key"], stage)
        return tuple(seen.values())
