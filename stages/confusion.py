"""What a confusion matrix says, one class against the rest and on average: pure functions of counts.

Policies, each held by a test: a class without images has NaN and is left out of averages; a class that is never predicted has
precision 0 and F1 0, and stays in them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["RATES", "average_rates", "class_rates", "one_against_rest"]

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

RATES = ("precision", "recall", "specificity", "f1", "accuracy")
"""Of one class against the rest: paper A, eq. 3 to 6; `recall` is also called sensitivity."""


def class_rates(confusion: Counts | Floats) -> dict[str, Floats]:
    """Return every rate of every class against the rest, each (..., K).

    Args:
        confusion: Counts or sums of weights (..., K, K), rows true, columns predicted; a column more holds images without an answer.

    Examples:
        >>> class_rates(np.array([[3, 1], [0, 4]]))["recall"]
        array([0.75, 1.  ])
    """
    counts = np.asarray(confusion, np.float64)
    hits, true = np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1)
    said = counts.sum(axis=-2)[..., : counts.shape[-2]]
    total = true.sum(axis=-1, keepdims=True)
    rest = total - true
    here = true > 0
    rates = {
        "precision": _divide(hits, said, 0.0),
        "recall": _divide(hits, true),
        "specificity": _divide(rest - (said - hits), rest),
        "f1": _divide(2 * hits, true + said),
        "accuracy": _divide(total - (true - hits) - (said - hits), np.broadcast_to(total, true.shape)),
    }
    return {name: np.where(here, values, np.nan) for name, values in rates.items()}


def average_rates(confusion: Counts) -> dict[str, dict[str, float]]:
    """Return the rates averaged over the classes that have images.

    Args:
        confusion: Counts (K, K), rows true, columns predicted.

    Returns:
        `macro`, where every class counts alike, and `weighted` by its images.
    """
    true = confusion.sum(axis=1).astype(np.float64)
    here = true > 0
    rates = {name: values[here] for name, values in class_rates(confusion).items()}
    weights = true[here]
    return {
        "macro": {name: float(values.mean()) for name, values in rates.items()},
        "weighted": {name: float(values @ weights / weights.sum()) for name, values in rates.items()},
    }


def one_against_rest(confusion: Counts, k: int) -> Counts:
    """Return the confusion matrix (2, 2) of class `k`, first, against all others taken together."""
    hits, true, said = confusion[k, k], confusion[k].sum(), confusion[:, k].sum()
    return np.array([[hits, true - hits], [said - hits, confusion.sum() - true - said + hits]])


def _divide(
    numerator: Counts | Floats, denominator: Counts | Floats, otherwise: float = float("nan")
) -> Floats:
    quotient: Floats = np.divide(
        numerator, denominator, out=np.full(numerator.shape, otherwise), where=denominator > 0
    )
    return quotient
