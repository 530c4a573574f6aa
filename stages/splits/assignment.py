"""Deal groups to parts so that every class comes near its share of every part.

A greedy deal in several random orders, each bettered by single moves and swaps until none helps; the best one wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.data.sample import Sample
from stages.splits.split import check_names, group_of

__all__ = ["GroupTable"]

Floats = npt.NDArray[np.float64]
Parts = npt.NDArray[np.int64]

_ATTEMPTS = 20
_PATIENCE = 6
_WORK = 40_000
_STEPS = 500
_SWAPPED = 300
_MIXED = 0.8
_DIGITS = 9  # sums that differ by less are ties, on any machine
_ABSENT = 1e6


@dataclass(frozen=True)
class GroupTable:
    """Groups (G) with the number of samples of every class (G, K).

    Attributes:
        groups: Names, sorted, so that the order of the samples has no say.
        labels: Class names, sorted.
        counts: (G, K) float64, whole numbers.
    """

    groups: tuple[str, ...]
    labels: tuple[str, ...]
    counts: Floats

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> GroupTable:
        """Count samples.

        Raises:
            DataError: If there are none, or two of one name.
        """
        check_names(samples)
        groups = tuple(sorted({group_of(sample) for sample in samples}))
        labels = tuple(sorted({sample.label for sample in samples}))
        row = {group: number for number, group in enumerate(groups)}
        column = {label: number for number, label in enumerate(labels)}
        counts = np.zeros((len(groups), len(labels)))
        for sample in samples:
            counts[row[group_of(sample)], column[sample.label]] += 1
        return cls(groups, labels, counts)

    def without(self, groups: Mapping[str, object]) -> GroupTable:
        """Return the table without some groups; classes stay."""
        kept = np.array([group not in groups for group in self.groups], dtype=np.bool_)
        names = tuple(group for group in self.groups if group not in groups)
        return GroupTable(names, self.labels, self.counts[kept])

    def holding(self) -> dict[str, int]:
        """Return the number of groups that hold each class."""
        return dict(zip(self.labels, (self.counts > 0).sum(axis=0).tolist(), strict=True))

    def assign(
        self,
        shares: Sequence[float],
        seed: int,
        fixed: Mapping[str, int] | None = None,
        needs: Sequence[int] | None = None,
    ) -> dict[str, int]:
        """Return the part of every group.

        Args:
            shares: (P,) fraction of every class that each part wants; a part that wants 0 takes none but the fixed.
            seed: Of the random orders.
            fixed: Part of groups that are decided.
            needs: (P,) how much each part needs every class where there are too few groups for all; alike if None.
        """
        bound = np.array([(fixed or {}).get(group, -1) for group in self.groups], dtype=np.int64)
        search = _Search(
            self.counts,
            np.asarray(shares, dtype=np.float64),
            bound,
            np.asarray(needs or [1] * len(shares), dtype=np.float64) * (np.asarray(shares) > 0),
        )
        random = np.random.default_rng(seed)
        attempts = max(1, min(_ATTEMPTS, _WORK // max(1, len(self.groups))))
        best, badness, since = bound, np.inf, 0
        for number in range(attempts):
            parts = search.better(search.deal(random, _MIXED if number else 0.0))
            found = search.badness(parts)
            best, badness, since = (parts, found, 0) if found < badness else (best, badness, since + 1)
            if since == _PATIENCE:
                break
        return dict(zip(self.groups, best.tolist(), strict=True))


class _Search:
    """What one assignment knows: rates of every class (G, K), shares, decided groups, needs."""

    def __init__(self, counts: Floats, shares: Floats, bound: Parts, needs: Floats) -> None:
        self.totals: Floats = np.maximum(counts.sum(axis=0), 1)  # decided groups may hold a class altogether
        self.counts = counts
        self.rates: Floats = counts / self.totals
        self.sizes: Floats = counts.sum(axis=1) / max(1.0, float(counts.sum()))
        self.shares = shares
        self.bound = bound
        self.needs = needs
        # A group too many weighs more in a small part: squares are over shares, as in a chi-squared statistic.
        self.weights: Floats = 1 / np.maximum(shares, 0.01)

    def badness(self, parts: Parts) -> float:
        """Return the weighted squared distance to the shares; a class that a part lacks outweighs it."""
        have = self._have(parts)
        lacks = (self.needs[:, None] * (have == 0)).sum()
        away = ((have / self.totals - self.shares[:, None]) ** 2).sum(axis=1) @ self.weights
        return round(float(_ABSENT * lacks + away), _DIGITS)

    def deal(self, random: np.random.Generator, mixed: float) -> Parts:
        """Give every free group to the part that lacks most of its classes, the largest first but for `mixed` of chance."""
        parts = self.bound.copy()
        lacking = np.repeat(self.shares[:, None], self.rates.shape[1], axis=1)
        room = self.shares.copy()
        for row in np.flatnonzero(parts >= 0):
            lacking[parts[row]] -= self.rates[row]
            room[parts[row]] -= self.sizes[row]
        largest = self.rates.max(axis=1, initial=0).round(_DIGITS)
        size = (largest * (1 - mixed * random.random(len(parts)))).round(_DIGITS)
        for row in np.lexsort((random.random(len(parts)), -size)):
            if self.bound[row] >= 0:
                continue
            # Change of the distance when this group joins a part; the emptier part wins a tie.
            cost = (self.weights * (self.rates[row] * (self.rates[row] - 2 * lacking)).sum(axis=1)).round(
                _DIGITS
            )
            cost[self.shares <= 0] = np.inf
            part = int(np.lexsort((-room.round(_DIGITS), cost))[0])
            parts[row] = part
            lacking[part] -= self.rates[row]
            room[part] -= self.sizes[row]
        return parts

    def better(self, parts: Parts) -> Parts:
        """Move single groups, and swap two where there are few, as long as that helps."""
        badness = self.badness(parts)
        for _ in range(_STEPS):
            for find in (self._move, self._swap):
                change = find(parts)
                tried = parts.copy()
                for row, part in change.items():
                    tried[row] = part
                found = self.badness(tried)
                if found < badness:
                    parts, badness = tried, found
                    break
            else:
                break
        return parts

    def _have(self, parts: Parts) -> Floats:
        return np.array([self.counts[parts == part].sum(axis=0) for part in range(len(self.shares))])

    def _gains(self, parts: Parts) -> Floats:
        """Return the change of the distance for every group and part that it could move to, (G, P)."""
        over = self._have(parts) / self.totals - self.shares[:, None]
        square = (self.rates**2).sum(axis=1, keepdims=True)
        joins = self.weights * (2 * self.rates @ over.T + square)
        leaves = self.weights[parts] * (square[:, 0] - 2 * (self.rates * over[parts]).sum(axis=1))
        gains: Floats = joins + leaves[:, None]
        return gains

    def _move(self, parts: Parts) -> dict[int, int]:
        have, holds = self._have(parts), self.counts > 0
        fills = holds.astype(np.float64) @ ((have == 0) * self.needs[:, None]).T
        bares = (holds & (have[parts] == self.counts)).sum(axis=1) * self.needs[parts]
        cost = (self._gains(parts) - _ABSENT * (fills - bares[:, None])).round(_DIGITS)
        cost[self.bound >= 0] = np.inf
        cost[:, self.shares <= 0] = np.inf
        cost[np.arange(len(parts)), parts] = np.inf
        if not cost.size or not cost.min() < 0:
            return {}
        row, part = divmod(int(cost.argmin()), cost.shape[1])
        return {row: part}

    def _swap(self, parts: Parts) -> dict[int, int]:
        free = np.flatnonzero(self.bound < 0)
        if not 2 <= len(free) <= _SWAPPED:
            return {}
        there = self._gains(parts)[free][:, parts[free]]  # the row's group to the part of the column's
        rates, weights = self.rates[free], self.weights[parts[free]]
        both = (weights[:, None] + weights) * (rates @ rates.T)
        cost = (there + there.T - 2 * both).round(_DIGITS)
        cost[parts[free][:, None] == parts[free][None]] = np.inf
        if not cost.min() < 0:
            return {}
        one, two = (int(free[place]) for place in divmod(int(cost.argmin()), cost.shape[1]))
        return {one: int(parts[two]), two: int(parts[one])}
