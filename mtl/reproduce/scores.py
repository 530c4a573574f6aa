"""The columns that papers print, of what was said, with intervals; and by how much a split over single images inflates them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mtl.benchmark.cell import healthy_class
from mtl.runs import Predictions
from stages.bootstrap import Interval, group_index, interval_of, resample_weights
from stages.confusion import class_rates

__all__ = ["Said", "column_scores", "inflation", "said_of"]

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Said:
    """What a system said of the test part of one split.

    Attributes:
        classes: K names.
        labels: Class index of every image, (N,).
        said: The same, -1 where no answer was given.
        groups: Of every image.
    """

    classes: tuple[str, ...]
    labels: Labels
    said: Labels
    groups: tuple[str, ...]


def said_of(told: Predictions, threshold: float = 0.0) -> Said:
    """Return what predictions say; nothing where the highest probability is below the threshold."""
    votes = told.probabilities
    said = np.where(votes.max(axis=1) >= threshold, votes.argmax(axis=1), -1)
    return Said(told.classes, told.truth(), said.astype(np.int64), told.groups)


def column_scores(
    splits: Sequence[Said], of: str, label: str = "", *, resamples: int, seed: int
) -> dict[str, Interval]:
    """Return accuracy, precision, recall, specificity and f1, means over the splits, with intervals of a bootstrap over groups.

    Args:
        splits: One a split.
        of: `macro`, `one-vs-rest`, `detection`, `positive`, as in `PaperTable`.
        label: The class, for one class against the rest.
        resamples: Of each split's bootstrap.
        seed: Of the first split's.
    """
    whole = [_scores(one, of, label, np.ones((1, len(one.labels)))) for one in splits]
    drawn = [_scores(one, of, label, _weights(one, resamples, seed + j)) for j, one in enumerate(splits)]
    return {
        name: interval_of(
            float(np.mean([one[name][0] for one in whole])), np.mean([one[name] for one in drawn], axis=0)
        )
        for name in whole[0]
    }


def inflation(
    honest: Sequence[Said], leaking: Sequence[Said], *, resamples: int, seed: int
) -> dict[str, Interval]:
    """Return macro F1 and accuracy of a split over images minus those of a split over groups.

    The test parts differ, so that the bootstraps are independent: groups are drawn in both.

    Args:
        honest: Of splits over groups.
        leaking: Of splits over images.
        resamples: Of each bootstrap.
        seed: Of the first.
    """
    found = {}
    sides = []
    for place, splits in enumerate((honest, leaking)):
        begin = seed + 1000 * place
        whole = [_scores(one, "macro", "", np.ones((1, len(one.labels)))) for one in splits]
        drawn = [
            _scores(one, "macro", "", _weights(one, resamples, begin + j)) for j, one in enumerate(splits)
        ]
        sides.append((whole, drawn))
    for name in ("f1", "accuracy"):
        values = [float(np.mean([one[name][0] for one in whole])) for whole, _ in sides]
        draws = [np.mean([one[name] for one in drawn], axis=0) for _, drawn in sides]
        found["macro F1" if name == "f1" else name] = interval_of(values[1] - values[0], draws[1] - draws[0])
    return found


def _weights(one: Said, resamples: int, seed: int) -> Floats:
    return resample_weights(group_index(one.groups, len(one.labels)), resamples, seed)


def _scores(one: Said, of: str, label: str, weights: Floats) -> Mapping[str, Floats]:
    labels, said, count = one.labels, one.said, len(one.classes)
    if of == "detection":
        healthy = healthy_class(one.classes)
        if healthy is None:
            return {}
        k = one.classes.index(healthy)
        labels, said, count = (labels != k).astype(np.int64), np.where(said < 0, -1, said != k), 2
    confusions = _confusions(labels, said, count, weights)
    rates = class_rates(confusions)
    right = np.trace(confusions, axis1=-2, axis2=-1) / confusions.sum(axis=(-2, -1))
    if label:
        return {name: values[:, one.classes.index(label)] for name, values in rates.items()}
    if of in ("detection", "positive"):
        return {name: values[:, -1] for name, values in rates.items()} | {"accuracy": right}
    means = {name: _mean(values) for name, values in rates.items()}
    return means if of == "one-vs-rest" else means | {"accuracy": right}


def _confusions(labels: Labels, said: Labels, count: int, weights: Floats) -> Floats:
    """Return the weighted confusion matrix of every resample, (R, K, K + 1); the last column holds images without an answer."""
    cells = labels * (count + 1) + np.where(said < 0, count, said)
    drawn = weights @ (cells[:, None] == np.arange(count * (count + 1)))
    return np.asarray(drawn.reshape(len(weights), count, count + 1))


def _mean(values: Floats) -> Floats:
    known = np.isfinite(values)
    return np.asarray(np.where(known, values, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1))
