"""The predictions of all folds in one table, where every image stands once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mtl.errors import RunError
from mtl.runs import Predictions
from segmentation.files import write_table

__all__ = ["Pooled", "choose", "pool", "write_pooled"]

Rows = npt.NDArray[np.int64]
_COLUMNS = ("names", "labels", "groups", "predicted")


@dataclass(frozen=True)
class Pooled:
    """What the networks of K folds said of the images that they were tested on.

    Attributes:
        predictions: Of all folds, one after the other.
        fold: Of every image, from 0, (N,).
        again: How many images a later fold tested again; what the first one said counts.
    """

    predictions: Predictions
    fold: Rows
    again: int


def pool(parts: Sequence[Predictions]) -> Pooled:
    """Put the folds' predictions together.

    Args:
        parts: Of every fold, in their order.

    Raises:
        RunError: If the folds do not have the same classes.
    """
    classes = parts[0].classes
    if any(part.classes != classes for part in parts):
        raise RunError(
            "Expected all folds to have the same classes, but they do not; do delete the folder to have them made again"
        )
    first: dict[str, tuple[int, int]] = {}
    for number, part in enumerate(parts):
        for row, name in enumerate(part.names):
            first.setdefault(name, (number, row))
    kept = [
        choose(part, np.array([row for own, row in first.values() if own == number], np.int64))
        for number, part in enumerate(parts)
    ]
    names, labels, groups, predicted = (
        tuple(entry for part in kept for entry in getattr(part, column)) for column in _COLUMNS
    )
    votes = np.concatenate([part.probabilities for part in kept])
    whole = Predictions(classes, names, labels, groups, predicted, votes)
    fold = np.repeat(np.arange(len(kept)), [len(part.names) for part in kept])
    return Pooled(whole, fold, sum(len(part.names) for part in parts) - len(whole.names))


def choose(predictions: Predictions, rows: Rows) -> Predictions:
    """Return what was said of some of the images."""
    names, labels, groups, predicted = (
        tuple(getattr(predictions, column)[row] for row in rows) for column in _COLUMNS
    )
    return Predictions(predictions.classes, names, labels, groups, predicted, predictions.probabilities[rows])


def write_pooled(pooled: Pooled, path: Path) -> None:
    """Write a table that `mtl compare` reads: name, label, group, fold from 1, what was said, probabilities.

    Raises:
        WriteError: If it cannot be written.
    """
    told = pooled.predictions
    header = ["name", "label", "group", "fold", "predicted", *(f"p_{name}" for name in told.classes)]
    rows = zip(
        told.names, told.labels, told.groups, pooled.fold, told.predicted, told.probabilities, strict=True
    )
    write_table(
        path,
        header,
        (
            [name, label, group, fold + 1, said, *(f"{score:.9g}" for score in votes)]
            for name, label, group, fold, said, votes in rows
        ),
    )
