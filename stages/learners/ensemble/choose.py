"""How a combination is chosen: on the validation part, by folds of whole groups; the test part has no say.

A rule is fitted on all validation images in the end. What it is worth is told beside it by cross-fitting: every image is
scored by the rule that was fitted on the other folds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from stages.errors import DataError
from stages.learners.ensemble.combine import LEAST, Floats, Stack, Vote, log_probabilities

__all__ = [
    "SHARES",
    "Chosen",
    "Fit",
    "cross_fitted",
    "deal_folds",
    "grid_weights",
    "likeliest_weights",
    "log_loss",
    "on_grid",
    "right_of_all",
    "stacked",
    "steadiest_weights",
]

Labels = npt.NDArray[np.int64]

SHARES = (0.5, 0.6, 0.4, 0.3, 0.7)
"""Of one of two members, in the order of paper D (Patel et al. 2025, section 3.6)."""

_PENALTIES = (0.01, 0.1, 1.0, 10.0)
_NEVER = -1e3  # intercept of a class without images: probability 0
_STEPS = 2000
_DIGITS = 12  # scores that differ by less are ties, on any machine


@dataclass(frozen=True)
class Chosen:
    """A combination, and the probability below which no answer is given.

    Attributes:
        combination: Of the members' probabilities.
        threshold: From 0, which always answers.
    """

    combination: Vote | Stack
    threshold: float = 0.0


Fit = Callable[[Floats, Labels, Labels], Chosen]
"""From votes (M, N, K), labels (N,) and groups (N,) to what is chosen on them."""


def grid_weights(members: int) -> list[Vote]:
    """Return paper D's five weightings of two members.

    Of more, its shares go to every member in turn and the others share the rest; equal weights come first.

    Examples:
        >>> [vote.weights for vote in grid_weights(2)]
        [(0.5, 0.5), (0.6, 0.4), (0.4, 0.6), (0.3, 0.7), (0.7, 0.3)]
        >>> len(grid_weights(3))
        16
    """
    found = {(round(1 / members, _DIGITS),) * members: Vote(weights=(1 / members,) * members)}
    for share in SHARES:
        for member in range(members if members > 2 else 1):
            rest = (1 - share) / (members - 1)
            weights = tuple(share if place == member else round(rest, _DIGITS) for place in range(members))
            found.setdefault(weights, Vote(weights=weights))
    return list(found.values())


def on_grid(votes: Floats, labels: Labels, thresholds: Sequence[float]) -> Chosen:
    """Return the weights of the grid and the threshold that give most right answers; an image without an answer counts as not right.

    Of equals the one with the smallest log-loss, and of these the first.
    """

    def rank(one: Chosen) -> tuple[float, float]:
        said = one.combination(votes)
        return (
            -round(right_of_all(said, labels, one.threshold), _DIGITS),
            round(log_loss(said, labels), _DIGITS),
        )

    grid = [Chosen(vote, bound) for vote in grid_weights(len(votes)) for bound in thresholds]
    return min(grid, key=rank)


def likeliest_weights(votes: Floats, labels: Labels) -> Vote:
    """Return the weights on the simplex with the smallest log-loss, by expectation maximisation of a mixture.

    Source: Dempster, Laird & Rubin 1977; the log-loss is convex in the weights, so that it ends in the best ones.
    """
    own = np.clip(votes[:, np.arange(len(labels)), labels], LEAST, 1)  # (M, N)
    weights = np.full(len(votes), 1 / len(votes))
    for _ in range(_STEPS):
        parts = weights[:, None] * own
        new = (parts / parts.sum(axis=0)).mean(axis=1)
        moved, weights = float(abs(new - weights).max()), new
        if moved < 1e-9:
            break
    return Vote(weights=tuple(float(weight) for weight in weights.round(6)))


def steadiest_weights(votes: Floats, labels: Labels) -> Vote:
    """Return the weights of a lattice on the simplex with the highest macro F1, of equals those with the smallest log-loss."""
    steps = 20 if len(votes) <= 3 else 10

    def rank(weights: tuple[float, ...]) -> tuple[float, float]:
        said = np.tensordot(weights, votes, axes=1)
        return -round(_macro_f1(said, labels), _DIGITS), round(log_loss(said, labels), _DIGITS)

    return Vote(weights=min(_lattice(len(votes), steps), key=rank))


def stacked(votes: Floats, labels: Labels, groups: Labels, seed: int, folds: int) -> Stack:
    """Return a ridge logistic regression on the members' log-probabilities, its penalty chosen by folds of groups."""
    parts = deal_folds(labels, groups, folds, seed)

    def loss(penalty: float) -> float:
        said = np.empty(votes.shape[1:])
        for part in np.unique(parts):
            held = parts == part
            said[held] = _logistic(votes[:, ~held], labels[~held], penalty)(votes[:, held])
        return round(log_loss(said, labels), _DIGITS)

    return _logistic(votes, labels, min(_PENALTIES, key=loss))


def cross_fitted(
    fit: Fit, votes: Floats, labels: Labels, groups: Labels, folds: int, seed: int
) -> tuple[Floats, Floats]:
    """Return what a rule says of every validation image when it is fitted on the other folds.

    Args:
        fit: The rule.
        votes: (M, N, K).
        labels: (N,).
        groups: (N,), whole numbers.
        folds: At most so many.
        seed: Of the folds.

    Returns:
        Probabilities (N, K), and the threshold that holds for each image (N,).

    Raises:
        DataError: If there is one group alone.
    """
    parts = deal_folds(labels, groups, folds, seed)
    said, bounds = np.empty(votes.shape[1:]), np.empty(len(labels))
    for part in np.unique(parts):
        held = parts == part
        chosen = fit(votes[:, ~held], labels[~held], groups[~held])
        said[held], bounds[held] = chosen.combination(votes[:, held]), chosen.threshold
    return said, bounds


def deal_folds(labels: Labels, groups: Labels, folds: int, seed: int) -> Labels:
    """Return the fold of every image (N,): whole groups, classes alike in all.

    Raises:
        DataError: If there is one group alone.
    """
    found, index = np.unique(groups, return_inverse=True)
    if len(found) < 2:
        raise DataError(
            f"Expected the validation part to hold two groups or more, but got {len(found)}; do validate on more patients, slides or images"
        )
    counts = np.zeros((len(found), int(labels.max()) + 1))
    np.add.at(counts, (index.ravel(), labels), 1)
    # In random order within what they mostly hold, dealt like cards: quick, as this is asked for many times.
    order = np.random.default_rng(seed).permutation(len(found))
    order = order[np.argsort(counts[order].argmax(axis=1), kind="stable")]
    fold = np.empty(len(found), np.int64)
    fold[order] = np.arange(len(found)) % min(folds, len(found))
    return np.asarray(fold[index.ravel()])


def right_of_all(said: Floats, labels: Labels, threshold: float | Floats = 0.0) -> float:
    """Return the share of images with a right answer; one whose probability is below the threshold has none."""
    return float(((said.argmax(axis=1) == labels) & (said.max(axis=1) >= threshold)).mean())


def log_loss(said: Floats, labels: Labels) -> float:
    """Return the mean of -log p of what is true."""
    return float(-np.log(np.clip(said[np.arange(len(labels)), labels], LEAST, 1)).mean())


def _macro_f1(said: Floats, labels: Labels) -> float:
    told = said.argmax(axis=1)
    scores = []
    for k in np.unique(labels):
        hits = int(((told == k) & (labels == k)).sum())
        scores.append(2 * hits / int((told == k).sum() + (labels == k).sum()))
    return float(np.mean(scores))


def _lattice(members: int, steps: int) -> list[tuple[float, ...]]:
    """Return all weights of whole `steps`-ths that sum to 1, the most equal first."""
    found = []
    for bars in combinations(range(steps + members - 1), members - 1):
        ends = (-1, *bars, steps + members - 1)
        found.append(tuple((ends[i + 1] - ends[i] - 1) / steps for i in range(members)))
    return sorted(found, key=lambda weights: (round(sum(w * w for w in weights), _DIGITS), weights))


def _logistic(votes: Floats, labels: Labels, penalty: float) -> Stack:
    from sklearn.linear_model import LogisticRegression

    classes, width = votes.shape[2], votes.shape[0] * votes.shape[2]
    coefficients, intercept = np.zeros((classes, width)), np.full(classes, _NEVER)
    known = np.unique(labels)
    if len(known) < 2:
        intercept[known] = 0.0
    else:
        fitted = LogisticRegression(C=penalty, max_iter=5000, tol=1e-6).fit(log_probabilities(votes), labels)
        if len(known) == 2:  # one row: of the second against the first
            coefficients[known[1]], intercept[known] = fitted.coef_[0], (0.0, float(fitted.intercept_[0]))
        else:
            coefficients[known], intercept[known] = fitted.coef_, fitted.intercept_
    rows = tuple(tuple(map(float, row)) for row in coefficients.round(9))
    return Stack(coefficients=rows, intercept=tuple(map(float, intercept.round(9))))
