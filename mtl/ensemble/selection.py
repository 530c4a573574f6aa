"""What choosing weights and threshold on the test part, as paper D (Patel et al. 2025) did, would have claimed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mtl.statistics import TestResult, bootstrap_difference
from stages.learners.ensemble.choose import Chosen, grid_weights, on_grid, right_of_all
from stages.learners.ensemble.combine import Vote

__all__ = ["GridRow", "Selection", "select"]

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class GridRow:
    """One cell of the grid; an image without an answer counts as not right.

    Attributes:
        weights: Of the members.
        threshold: Below it no answer is given.
        validation: Share of right answers on the validation part.
        test: On the test part.
        one_vs_rest: Mean over classes of the accuracy of one class against the rest on the test part, which is what the paper prints.
    """

    weights: tuple[float, ...]
    threshold: float
    validation: float
    test: float
    one_vs_rest: float


@dataclass(frozen=True)
class Selection:
    """The grid, and two ways to choose from it.

    Attributes:
        rows: All cells.
        honest: The one that the validation part chooses.
        claimed: The one that the test part would have chosen.
        gap: Right answers on the test part, claimed minus honest.
    """

    rows: tuple[GridRow, ...]
    honest: GridRow
    claimed: GridRow
    gap: TestResult

    @property
    def sentence(self) -> str:
        """Return both figures in a sentence."""
        reach = (
            f" [{100 * self.gap.low:+.1f}, {100 * self.gap.high:+.1f}]" if np.isfinite(self.gap.low) else ""
        )
        return (
            f"Weights and threshold selected on test: {self.claimed.test:.4f}; honest, chosen on validation: {self.honest.test:.4f} "
            f"({100 * self.gap.difference:+.2f} points{reach} of right answers on the same test images)."
        )


def select(
    watched: Floats,
    watch_labels: Labels,
    tested: Floats,
    test_labels: Labels,
    groups: Sequence[str],
    thresholds: Sequence[float],
    *,
    resamples: int,
    seed: int,
) -> Selection:
    """Score the whole grid on both parts and choose from it twice.

    Args:
        watched: Votes (M, V, K) of the validation part.
        watch_labels: (V,).
        tested: Votes (M, N, K) of the test part.
        test_labels: (N,).
        groups: Of the test images.
        thresholds: Of the grid.
        resamples: Of the bootstrap over groups.
        seed: Of the bootstrap.
    """
    rows = tuple(
        _row(vote, bound, (watched, watch_labels), (tested, test_labels))
        for vote in grid_weights(len(tested))
        for bound in thresholds
    )
    honest, claimed = (
        _find(rows, on_grid(votes, labels, thresholds))
        for votes, labels in ((watched, watch_labels), (tested, test_labels))
    )
    theirs, ours = (_right(one, tested, test_labels) for one in (claimed, honest))
    gap = bootstrap_difference(theirs, ours, groups, resamples=resamples, seed=seed)
    return Selection(rows, honest, claimed, gap)


def _row(vote: Vote, bound: float, watch: tuple[Floats, Labels], test: tuple[Floats, Labels]) -> GridRow:
    said, labels = vote(test[0]), test[1]
    told = np.where(said.max(axis=1) >= bound, said.argmax(axis=1), -1)
    rest = [float(((told == k) == (labels == k)).mean()) for k in range(said.shape[1])]
    watched, tested = (right_of_all(vote(votes), own, bound) for votes, own in (watch, test))
    return GridRow(vote.weights, bound, watched, tested, float(np.mean(rest)))


def _find(rows: Sequence[GridRow], chosen: Chosen) -> GridRow:
    weights = chosen.combination.weights if isinstance(chosen.combination, Vote) else ()
    return next(row for row in rows if (row.weights, row.threshold) == (weights, chosen.threshold))


def _right(row: GridRow, votes: Floats, labels: Labels) -> Floats:
    said = Vote(weights=row.weights)(votes)
    right = (said.argmax(axis=1) == labels) & (said.max(axis=1) >= row.threshold)
    return np.asarray(right, np.float64)
