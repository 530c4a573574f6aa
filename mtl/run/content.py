"""What a report shows, read from a run folder."""

from __future__ import annotations

import math
from collections import Counter
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
    def over_colour(self) -> tuple[str, Interval] | None:
        """The better colour-only baseline, and the model's macro F1 minus its own on the same images."""
        told = self.record.get("over_colour")
        if not told:
            return None
        lead = {key: math.nan if value is None else value for key, value in told["macro_f1"].items()}
        return told["baseline"], Interval(**lead)

    @property
    def confusion(self) -> tuple[int, str, str] | None:
        """The most frequent mistake: how often, what it is, what was said; None where there is none."""
        wrong = Counter((row.label, row.predicted) for row in self.predictions if row.label != row.predicted)
        if not wrong:
            return None
        (label, said), count = wrong.most_common(1)[0]
        return count, label, said


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
