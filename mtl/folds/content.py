"""Everything that is said of a k-fold: each score of the pooled predictions, and of every fold by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mtl.benchmark.cell import healthy_class
from mtl.folds.pool import Pooled, choose
from mtl.runs import Predictions
from stages.confusion import average_rates, class_rates, one_against_rest
from stages.metrics import Evaluation, Interval, auroc_intervals, evaluate

__all__ = ["FoldsContent", "Kind", "ModelFolds", "Score", "model_folds"]

Kind = Literal["all", "macro", "weighted", "micro", "class", "detection"]
"""Over what a score is: all images, an average over classes, one class against the rest, or the healthy class against all others."""

_Key = tuple[Kind, str, str]
_WITH_REACH: Mapping[tuple[str, str], str] = {
    ("macro", "f1"): "macro_f1",
    ("macro", "recall"): "balanced_accuracy",
    ("weighted", "f1"): "weighted_f1",
    ("weighted", "recall"): "accuracy",
}


@dataclass(frozen=True)
class Score:
    """One score, from 0 to 1.

    Attributes:
        kind: Over what.
        label: The class, where it is of one.
        metric: precision, recall, specificity, f1, accuracy or auroc.
        pooled: Over the predictions of all folds together, with a 95 % interval of a bootstrap over groups where one was drawn.
        folds: Of every fold by itself; NaN where it is not defined.
    """

    kind: Kind
    label: str
    metric: str
    pooled: Interval
    folds: tuple[float, ...]

    @property
    def defined(self) -> tuple[float, ...]:
        """Of the folds in which it is defined."""
        return tuple(filter(math.isfinite, self.folds))

    @property
    def mean(self) -> float:
        """Over the folds in which it is defined."""
        return float(np.mean(self.defined)) if self.defined else math.nan

    @property
    def sd(self) -> float:
        """Standard deviation over these folds (one less in the denominator): how folds differ, and no standard error."""
        return float(np.std(self.defined, ddof=1)) if len(self.defined) > 1 else math.nan


@dataclass(frozen=True)
class ModelFolds:
    """A k-fold of one backbone.

    Attributes:
        backbone: timm name.
        pooled: The predictions of all folds.
        evaluation: Of them.
        folds: Evaluation of every fold by itself; its intervals mean nothing.
        scores: In the order of tables.
        histories: Scores by epoch, of every fold's last stage; empty where the learner has no epochs.
        augmented: Whether the training accuracy is measured on augmented images.
    """

    backbone: str
    pooled: Pooled
    evaluation: Evaluation
    folds: tuple[Evaluation, ...]
    scores: tuple[Score, ...]
    histories: tuple[tuple[Mapping[str, float], ...], ...]
    augmented: bool

    def score(self, kind: Kind, metric: str, label: str = "") -> Score:
        """Return one score.

        Raises:
            KeyError: If there is none.
        """
        for one in self.scores:
            if (one.kind, one.label, one.metric) == (kind, label, metric):
                return one
        raise KeyError((kind, label, metric))

    @property
    def healthy(self) -> str | None:
        """The healthy class, if there is one."""
        return healthy_class(self.evaluation.classes)

    @property
    def absent(self) -> tuple[tuple[int, str], ...]:
        """Folds, from 1, and classes of which they test no image."""
        return tuple(
            (number, row.label)
            for number, one in enumerate(self.folds, 1)
            for row in one.per_class
            if not row.n
        )


@dataclass(frozen=True)
class FoldsContent:
    """Everything in a report.

    Attributes:
        chain: Such as `"1,2,3"`.
        count: Folds.
        dataset: Of the last stage.
        rendered: Whether its images are rendered smears.
        unit: What its groups are.
        models: One a backbone.
        notes: What the reader must know, in plain sentences.
        command: As typed.
        environment: Versions, processor, date.
    """

    chain: str
    count: int
    dataset: str
    rendered: bool
    unit: str
    models: tuple[ModelFolds, ...]
    notes: tuple[str, ...]
    command: str
    environment: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return plain values; what is not defined is NaN."""
        shown = ("chain", "count", "dataset", "rendered", "unit", "notes", "command", "environment")
        models = [
            {
                "backbone": model.backbone,
                "classes": model.evaluation.classes,
                "images": model.evaluation.n,
                "groups": model.evaluation.groups,
                "confusion": model.evaluation.confusion,
                "folds": [
                    {"images": one.n, "groups": one.groups, "confusion": one.confusion} for one in model.folds
                ],
                "scores": [
                    {
                        "over": one.kind, "class": one.label, "metric": one.metric, "pooled": one.pooled.value, "low": one.pooled.low,
                        "high": one.pooled.high, "mean": one.mean, "sd": one.sd, "folds": one.folds,
                    }
                    for one in model.scores
                ],
            }
            for model in self.models
        ]  # fmt: skip
        return {name: getattr(self, name) for name in shown} | {"models": models}


def model_folds(
    backbone: str,
    pooled: Pooled,
    histories: Sequence[tuple[Mapping[str, float], ...]],
    *,
    augmented: bool,
    resamples: int,
    seed: int,
) -> ModelFolds:
    """Score the folds of one backbone, together and one by one.

    Args:
        backbone: timm name.
        pooled: Their predictions.
        histories: Scores by epoch, of every fold's last stage.
        augmented: Whether the training accuracy is measured on augmented images.
        resamples: Of the bootstrap over groups.
        seed: Of the bootstrap.
    """
    evaluation, whole = _measured(pooled.predictions, resamples, seed)
    parts = [
        _measured(choose(pooled.predictions, np.flatnonzero(pooled.fold == fold)), 1, seed)
        for fold in range(int(pooled.fold.max()) + 1)
    ]
    scores = tuple(
        Score(*key, value, tuple(part[key].value for _, part in parts)) for key, value in whole.items()
    )
    return ModelFolds(
        backbone, pooled, evaluation, tuple(one for one, _ in parts), scores, tuple(histories), augmented
    )


def _measured(told: Predictions, resamples: int, seed: int) -> tuple[Evaluation, dict[_Key, Interval]]:
    labels, groups = told.truth(), told.groups
    evaluation = evaluate(labels, told.probabilities, groups, told.classes, resamples=resamples, seed=seed)
    areas = auroc_intervals(labels, told.probabilities, groups, resamples=resamples, seed=seed)
    confusion, headline = np.array(evaluation.confusion), evaluation.headline
    found: dict[_Key, Interval] = {("all", "", "accuracy"): headline["accuracy"]}
    kinds: tuple[Kind, Kind] = ("macro", "weighted")
    for kind in kinds:
        for metric, value in average_rates(confusion)[kind].items():
            drawn = headline.get(_WITH_REACH.get((kind, metric), ""))
            found[kind, "", metric] = drawn or Interval(value, math.nan, math.nan)
    found["macro", "", "auroc"] = headline["macro_auroc"]
    found["micro", "", "auroc"] = headline["micro_auroc"]
    rates = class_rates(confusion)
    for k, label in enumerate(told.classes):
        for metric, values in rates.items():
            found["class", label, metric] = Interval(float(values[k]), math.nan, math.nan)
        found["class", label, "auroc"] = areas[k]
    healthy = healthy_class(told.classes)
    if healthy is not None:
        # The disease is what is looked for: second row and column of the healthy class against the rest.
        two = one_against_rest(confusion, told.classes.index(healthy))
        for metric, values in class_rates(two).items():
            found["detection", "", metric] = Interval(float(values[1]), math.nan, math.nan)
    return evaluation, found
