"""Deal the groups of a split to clients: no group is parted, and every part of the split stays what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from stages.data.sample import Sample
from stages.errors import DataError
from stages.learners.federated.settings import concentration
from stages.splits.assignment import GroupTable
from stages.splits.split import group_of

__all__ = ["Rows", "client_rows", "deal"]

Rows = Mapping[str, npt.NDArray[np.int64]]
"""Rows of `train`, `validation` and `test`."""


def client_rows(
    samples: Sequence[Sample], rows: Rows, labels: npt.NDArray[np.int64], clients: int, how: str, seed: int
) -> tuple[tuple[str, dict[str, npt.NDArray[np.int64]]], ...]:
    """Return name and rows of every client.

    Each part of the split is dealt by itself, so the clients' training parts together are the training part, and their test
    parts together are the test part that is held out globally. One client has the split as it is.

    Args:
        samples: All of the stage.
        rows: Of the split's parts.
        labels: Class index of every sample, (N,).
        clients: How many; `by-source` has as many as there are sources.
        how: `iid`, `dirichlet:ALPHA`, `by-group` or `by-source`.
        seed: Of the deal.

    Raises:
        DataError: If there are fewer groups than clients, or a client has no or one class to learn.
    """
    sources = sorted({_source(sample) for sample in samples})
    names = sources if how == "by-source" else [f"client {number + 1}" for number in range(clients)]
    owners: dict[str, int] = {}
    for number, part in enumerate(("train", "validation", "test")):
        members = [samples[row] for row in rows.get(part, ())]
        if members:
            owners |= deal(members, len(names), how, seed, number, sources)
    owner = np.array([owners.get(group_of(sample), -1) for sample in samples])
    shared = []
    for number, name in enumerate(names):
        own = {part: np.asarray(all_rows)[owner[all_rows] == number] for part, all_rows in rows.items()}
        found = len(np.unique(labels[own["train"]]))
        if found < 2:
            what = "one class" if found else "no image"
            raise DataError(
                f"Expected every client to learn two classes or more, but {name} has {what} in its training part; "
                "do lower --clients, change --partition, or choose another --seed"
            )
        shared.append((name, own))
    return tuple(shared)


def deal(
    samples: Sequence[Sample],
    clients: int,
    how: str,
    seed: int,
    part: int = 0,
    sources: Sequence[str] | None = None,
) -> dict[str, int]:
    """Return the client of every group.

    `iid` gives every client its share of every class, as near as whole groups allow; `by-group` deals shuffled groups in turn;
    `dirichlet:ALPHA` draws every class's shares of the clients from a symmetric Dirichlet distribution (Hsu et al. 2019), and a
    group goes to a client as likely as the shares of its images say; `by-source` gives a group to the source of most of its images.

    Args:
        samples: Of one part.
        clients: How many.
        how: See above.
        seed: Of the deal; the shares of the classes are the same in every part.
        part: Number of the part.
        sources: Names of all clients of `by-source`, of which a part may lack some; those of `samples` if None.

    Raises:
        DataError: If a part that is learned from has fewer groups than clients.
    """
    table = GroupTable.of(samples)
    if len(table.groups) < clients and part == 0:
        raise DataError(
            f"Expected as many groups as clients or more, but got {len(table.groups)} in the training part for {clients}; do lower --clients"
        )
    if how == "by-source":
        return _by_source(samples, sources or sorted({_source(sample) for sample in samples}))
    if clients == 1:
        return dict.fromkeys(table.groups, 0)
    random = np.random.default_rng([seed, part])
    if how == "iid":
        return table.assign([1 / clients] * clients, seed)
    order = random.permutation(len(table.groups))
    if how == "by-group":
        return {table.groups[place]: number % clients for number, place in enumerate(order)}
    alpha = concentration(how)
    by_label = {}
    for label in sorted({sample.label for sample in samples}):
        drawn = np.random.default_rng([seed, *label.encode()])
        by_label[label] = drawn.dirichlet(np.full(clients, alpha))
    shares = np.stack([by_label[label] for label in table.labels])
    likely = table.counts @ shares + 1e-12
    likely /= likely.sum(axis=1, keepdims=True)
    chosen = {
        group: int(random.choice(clients, p=odds)) for group, odds in zip(table.groups, likely, strict=True)
    }
    return chosen if part else _none_empty(chosen, table, clients)


def _source(sample: Sample) -> str:
    return sample.source or sample.dataset


def _by_source(samples: Sequence[Sample], names: Sequence[str]) -> dict[str, int]:
    counts: dict[str, npt.NDArray[np.int64]] = {}
    for sample in samples:
        row = counts.setdefault(group_of(sample), np.zeros(len(names), np.int64))
        row[names.index(_source(sample))] += 1
    return {group: int(row.argmax()) for group, row in counts.items()}


def _none_empty(chosen: dict[str, int], table: GroupTable, clients: int) -> dict[str, int]:
    # A client without images is none: it is given the smallest group of the one that has most groups.
    size = dict(zip(table.groups, table.counts.sum(axis=1), strict=True))
    for client in range(clients):
        if client not in chosen.values():
            held = np.bincount(list(chosen.values()), minlength=clients)
            rich = [group for group, owner in chosen.items() if owner == int(held.argmax())]
            chosen[min(rich, key=lambda group: (size[group], group))] = client
    return chosen
