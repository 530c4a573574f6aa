"""Scores of a classifier on a test part: pure functions on arrays.

Policies, each held by a test:

- A class without test images has n = 0, scores NaN, and is left out of macro averages.
- A class that is never predicted has precision 0 and F1 0, and stays in them.
- Ties between probabilities count half in AUROC; argmax takes the first class.
- With two classes nothing changes: macro scores average over both, and both have the same AUROC.
- AUPRC is average precision, without interpolation. The calibration error has 15 bins of equal width (Guo et al. 2017).
- Intervals are percentiles of a bootstrap over whole groups. They cover about 95 % from some 40 groups on, and are too
  narrow for fewer than about ten: say how many groups there are beside every interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.bootstrap import Interval, bootstrap, group_index, interval_of, resample_weights
from stages.confusion import RATES, class_rates
from stages.errors import DataError

__all__ = [
    "ClassScores",
    "Evaluation",
    "Interval",
    "auroc_intervals",
    "calibration_error",
    "evaluate",
    "paired_difference",
]

Labels = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_BINS = 15
_CHUNK = 100


@dataclass(frozen=True)
class ClassScores:
    """Scores of one class against the rest, each from 0 to 1; `recall` is also called sensitivity."""

    label: str
    n: int
    precision: float
    recall: float
    specificity: float
    f1: float
    accuracy: float
    auroc: float
    auprc: float


@dataclass(frozen=True)
class Evaluation:
    """Everything said about a model on a test part.

    Attributes:
        classes: Names by index.
        n: Images.
        groups: Patients, slides, fields: what the intervals are drawn over.
        headline: Scores over all classes with 95 % intervals.
        per_class: One against the rest.
        confusion: Counts (K, K), rows true, columns predicted.
    """

    classes: tuple[str, ...]
    n: int
    groups: int
    headline: dict[str, Interval]
    per_class: tuple[ClassScores, ...]
    confusion: tuple[tuple[int, ...], ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json` can write; a score that is not defined is None."""

        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: plain(entry) for key, entry in value.items()}
            if isinstance(value, (list, tuple)):
                return [plain(entry) for entry in value]
            return None if isinstance(value, float) and math.isnan(value) else value

        result: dict[str, Any] = plain(asdict(self))
        return result

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Evaluation:
        """Return what `to_json` wrote, null as NaN."""

        def number(entry: Any) -> Any:
            return math.nan if entry is None else entry

        headline = {
            name: Interval(**{key: number(entry) for key, entry in interval.items()})
            for name, interval in value["headline"].items()
        }
        rows = tuple(
            ClassScores(**{key: number(entry) for key, entry in row.items()}) for row in value["per_class"]
        )
        confusion = tuple(tuple(row) for row in value["confusion"])
        return cls(tuple(value["classes"]), value["n"], value["groups"], headline, rows, confusion)


def evaluate(
    labels: Labels,
    probabilities: Floats,
    groups: Sequence[str] | None,
    classes: Sequence[str],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Score predictions.

    Args:
        labels: True class index, (N,) int.
        probabilities: (N, K), rows summing to 1.
        groups: Group of every image, or None where each is its own.
        classes: K names.
        resamples: Of the bootstrap over groups.
        seed: Of the bootstrap.

    Examples:
        >>> votes = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
        >>> found = evaluate(np.array([0, 1, 1, 1]), votes, None, ["normal", "leukaemia"], resamples=100)
        >>> found.headline["accuracy"].value, found.confusion
        (0.75, ((1, 0), (1, 2)))

    Raises:
        DataError: If shapes do not fit or numbers are no probabilities.
    """
    labels, probabilities = _checked(labels, probabilities, groups, len(classes))
    index = group_index(groups, len(labels))
    predicted = probabilities.argmax(axis=1)
    count = len(classes)
    confusion = np.zeros((count, count), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    weights = resample_weights(index, resamples, seed)
    whole = np.ones((1, len(labels)))
    headline: dict[str, Interval] = {}
    for name, score in _scores(labels, probabilities).items():
        headline[name] = interval_of(float(score(whole)[0]), _chunked(score, weights))
    per_class = _class_scores(classes, confusion, labels, probabilities)
    table = tuple(tuple(int(cell) for cell in row) for row in confusion)
    return Evaluation(tuple(classes), len(labels), int(index.max()) + 1, headline, per_class, table)


def auroc_intervals(
    labels: Labels,
    probabilities: Floats,
    groups: Sequence[str] | None,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[Interval, ...]:
    """Return the area under the ROC curve of every class against the rest, with a bootstrap interval over groups.

    Args:
        labels: True class index, (N,).
        probabilities: (N, K).
        groups: Group of every image, or None.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        DataError: If shapes do not fit or numbers are no probabilities.
    """
    labels, probabilities = _checked(labels, probabilities, groups, np.shape(probabilities)[-1])
    index = group_index(groups, len(labels))

    def area(k: int, weights: Floats) -> Floats:
        return _auroc(labels == k, probabilities[:, k], weights)

    return tuple(
        bootstrap(partial(_chunked, partial(area, k)), index, resamples, seed)
        for k in range(probabilities.shape[1])
    )


def paired_difference(
    labels: Labels,
    first: Floats,
    second: Floats,
    groups: Sequence[str] | None,
    metric: str = "accuracy",
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Return `first` minus `second` on the same images, with a bootstrap interval over groups.

    Args:
        labels: True class index, (N,).
        first: Probabilities (N, K) of one model.
        second: Probabilities (N, K) of the other.
        groups: Group of every image, or None.
        metric: A name in `Evaluation.headline`.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        DataError: If shapes do not fit, numbers are no probabilities or the metric is unknown.
    """
    labels, first = _checked(labels, first, groups, np.shape(first)[-1])
    labels, second = _checked(labels, second, groups, first.shape[1])
    known = _scores(labels, first)
    if metric not in known:
        raise DataError(
            f"Expected `metric` to be one of {', '.join(known)}, but got {metric!r}; do choose one"
        )
    one, other = known[metric], _scores(labels, second)[metric]
    return bootstrap(
        lambda weights: _chunked(one, weights) - _chunked(other, weights),
        group_index(groups, len(labels)),
        resamples,
        seed,
    )


def calibration_error(labels: Labels, probabilities: Floats, weights: Floats | None = None) -> Floats:
    """Return the expected calibration error over 15 bins of equal width (Guo et al. 2017), (R,).

    Args:
        labels: True class index, (N,).
        probabilities: (N, K).
        weights: How often every image counts, (R, N); once if None.

    Examples:
        >>> calibration_error(np.array([0, 0]), np.array([[0.8, 0.2], [0.8, 0.2]])).round(3)
        array([0.2])
    """
    weights = np.ones((1, len(labels))) if weights is None else weights
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.clip(np.ceil(confidence * _BINS).astype(int) - 1, 0, _BINS - 1)
    gaps = [np.abs((weights * ((bins == b) * (right - confidence))).sum(axis=1)) for b in range(_BINS)]
    error: Floats = np.sum(gaps, axis=0) / weights.sum(axis=1)
    return error


Score = Callable[[Floats], Floats]


def _scores(labels: Labels, probabilities: Floats) -> dict[str, Score]:
    count = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    hot = labels[:, None] == np.arange(count)
    voted = predicted[:, None] == np.arange(count)

    def rates(weights: Floats) -> tuple[Floats, Floats, Floats]:
        return weights @ (hot & voted), weights @ hot, weights @ voted

    def accuracy(weights: Floats) -> Floats:
        return np.asarray(rates(weights)[0].sum(axis=1) / weights.sum(axis=1))

    def balanced(weights: Floats) -> Floats:
        hits, true, _ = rates(weights)
        return _mean(_divide(hits, true), true > 0)

    def f1(weights: Floats) -> tuple[Floats, Floats]:
        hits, true, said = rates(weights)
        return _divide(2 * hits, true + said), true

    def macro_f1(weights: Floats) -> Floats:
        scores, true = f1(weights)
        return _mean(scores, true > 0)

    def weighted_f1(weights: Floats) -> Floats:
        scores, true = f1(weights)
        return np.asarray((np.where(true > 0, scores, 0) * true).sum(axis=1) / true.sum(axis=1))

    def macro(curve: Callable[[npt.NDArray[np.bool_], Floats, Floats], Floats]) -> Score:
        def score(weights: Floats) -> Floats:
            columns = np.stack([curve(hot[:, k], probabilities[:, k], weights) for k in range(count)], axis=1)
            return _mean(columns, np.isfinite(columns))

        return score

    def micro_auroc(weights: Floats) -> Floats:
        return _auroc(hot.ravel(), probabilities.ravel(), np.repeat(weights, count, axis=1))

    return {
        "accuracy": accuracy,
        "balanced_accuracy": balanced,
        "macro_f1": macro_f1,
        "weighted_f1": weighted_f1,
        "macro_auroc": macro(_auroc),
        "micro_auroc": micro_auroc,
        "macro_auprc": macro(_auprc),
        "ece": lambda weights: calibration_error(labels, probabilities, weights),
    }


def _auroc(positive: npt.NDArray[np.bool_], scores: Floats, weights: Floats) -> Floats:
    """Return the weighted probability that a positive outranks a negative, ties half, (R,)."""
    place = _places(scores)
    steps = int(place.max()) + 1
    up = _collect(weights * positive, place, steps)
    down = _collect(weights * ~positive, place, steps)
    below = np.cumsum(down, axis=1) - down
    return _divide((up * (below + down / 2)).sum(axis=1), up.sum(axis=1) * down.sum(axis=1))


def _auprc(positive: npt.NDArray[np.bool_], scores: Floats, weights: Floats) -> Floats:
    """Return average precision, the step-wise area under the precision-recall curve, (R,)."""
    place = _places(-scores)
    steps = int(place.max()) + 1
    hits = _collect(weights * positive, place, steps)
    taken = np.cumsum(_collect(weights, place, steps), axis=1)
    precision = np.divide(np.cumsum(hits, axis=1), taken, out=np.zeros_like(taken), where=taken > 0)
    return _divide((precision * hits).sum(axis=1), hits.sum(axis=1))


def _places(scores: Floats) -> Labels:
    return np.unique(scores, return_inverse=True)[1].astype(np.int64).ravel()


def _collect(weights: Floats, place: npt.NDArray[np.int64], steps: int) -> Floats:
    # Sums the weights of equal scores; sorting once and cutting at the steps is much faster than add.at.
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(steps))
    return np.asarray(np.add.reduceat(weights[:, order], starts, axis=1))


def _class_scores(
    classes: Sequence[str], confusion: Labels, labels: Labels, probabilities: Floats
) -> tuple[ClassScores, ...]:
    rates, whole = class_rates(confusion), np.ones((1, len(labels)))
    rows = []
    for k, label in enumerate(classes):
        own = {name: float(rates[name][k]) for name in RATES}
        count = int(confusion[k].sum())
        curves = {
            name: float(curve(labels == k, probabilities[:, k], whole)[0]) if count else math.nan
            for name, curve in (("auroc", _auroc), ("auprc", _auprc))
        }
        rows.append(ClassScores(label, count, **own, **curves))
    return tuple(rows)


def _divide(numerator: Floats, denominator: Floats) -> Floats:
    quotient: Floats = np.divide(
        numerator, denominator, out=np.full(np.shape(numerator), np.nan), where=denominator > 0
    )
    return quotient


def _mean(scores: Floats, counted: npt.NDArray[np.bool_]) -> Floats:
    return _divide(np.where(counted, scores, 0).sum(axis=1), counted.sum(axis=1).astype(np.float64))


def _chunked(score: Score, weights: Floats) -> Floats:
    return np.concatenate(
        [score(weights[start : start + _CHUNK]) for start in range(0, len(weights), _CHUNK)]
    )


def _checked(
    labels: Labels, probabilities: Floats, groups: Sequence[str] | None, count: int
) -> tuple[Labels, Floats]:
    labels = np.asarray(labels, dtype=np.int64)
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if labels.ndim != 1 or not len(labels) or probabilities.shape != (len(labels), count):
        raise DataError(
            f"Expected `probabilities` to be ({len(labels)}, {count}) for as many labels, but got {probabilities.shape}; do give one row an image"
        )
    if groups is not None and len(groups) != len(labels):
        raise DataError(
            f"Expected `groups` to have {len(labels)} entries, but got {len(groups)}; do give one an image"
        )
    if labels.min() < 0 or labels.max() >= count:
        raise DataError(
            f"Expected `labels` to be from 0 to {count - 1}, but got {labels.min()} to {labels.max()}; do check the classes"
        )
    if (
        not np.isfinite(probabilities).all()
        or (probabilities < 0).any()
        or (abs(probabilities.sum(axis=1) - 1) > 1e-3).any()
    ):
        raise DataError(
            "Expected rows of `probabilities` to be finite, not negative and to sum to 1, but some are not; do normalise them"
        )
    return labels, probabilities
