from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.data.sample import Sample
from stages.errors import DataError
from stages.learners.federated.partition import client_rows, deal
from stages.splits.split import group_of


def make(labels: list[int], groups: list[int], sources: int = 1) -> list[Sample]:
    return [
        Sample(
            Path("x"),
            f"{row}",
            f"c{label}",
            "x",
            group=f"g{group}",
            source=f"s{group % sources}" if sources > 1 else "",
        )
        for row, (label, group) in enumerate(zip(labels, groups, strict=True))
    ]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=8, max_size=60),
    st.integers(1, 4),
    st.sampled_from(["iid", "dirichlet:0.1", "dirichlet:0.3", "by-group", "by-source"]),
    st.integers(0, 99),
)
def test_no_group_is_parted_and_no_client_is_empty(
    pairs: list[tuple[int, int]], clients: int, how: str, seed: int
) -> None:
    samples = make([label for label, _ in pairs], [group for _, group in pairs], sources=2)
    groups = {group_of(sample) for sample in samples}
    if len(groups) < clients:
        with pytest.raises(DataError, match="--clients"):
            deal(samples, clients, how, seed)
        return
    owner = deal(samples, clients, how, seed)
    assert set(owner) == groups
    assert owner == deal(list(reversed(samples)), clients, how, seed)
    if how != "by-source":
        assert set(owner.values()) == set(range(clients))


def test_a_small_alpha_parts_classes_and_iid_does_not() -> None:
    random = np.random.default_rng(0)
    samples = make(random.integers(0, 4, 400).tolist(), list(range(400)))

    def spread(how: str) -> float:
        owner = deal(samples, 4, how, 1)
        table = np.zeros((4, 4))
        for sample in samples:
            table[owner[group_of(sample)], int(sample.label[1])] += 1
        return float((table / table.sum(axis=0)).std())

    assert spread("iid") < 0.02
    assert spread("dirichlet:0.1") > 0.2
    assert spread("iid") < spread("dirichlet:100") < spread("dirichlet:0.1")


def test_a_client_with_one_class_is_refused() -> None:
    samples = make([0] * 6 + [1] * 6, list(range(12)), sources=2)
    samples = [sample for sample in samples if not (sample.source == "s0" and sample.label == "c1")]
    labels = np.array([int(sample.label[1]) for sample in samples])
    with pytest.raises(DataError, match="one class"):
        client_rows(samples, {"train": np.arange(len(samples))}, labels, 2, "by-source", 0)


def test_by_source_has_a_client_for_every_source() -> None:
    samples = make([0, 1] * 8, [0, 0, 1, 1] * 4, sources=2)
    labels = np.array([int(sample.label[1]) for sample in samples])
    found = client_rows(samples, {"train": np.arange(16)}, labels, 7, "by-source", 0)
    assert [name for name, _ in found] == ["s0", "s1"]
    for name, rows in found:
        assert {samples[row].source for row in rows["train"]} == {name}


def test_a_source_keeps_its_client_where_another_is_missing() -> None:
    # s0 has no validation images: those of s1 and s2 must not move up.
    samples = make([0, 1] * 12, [row // 2 for row in range(24)], sources=3)
    labels = np.array([int(sample.label[1]) for sample in samples])
    sources = [sample.source for sample in samples]
    validation = np.array([row for row in range(12, 24) if sources[row] != "s0"])
    rows = {"train": np.arange(12), "validation": validation}
    found = client_rows(samples, rows, labels, 3, "by-source", 0)
    for name, own in found:
        assert {sources[row] for part in own.values() for row in part} == {name}
    assert [len(own["validation"]) for _, own in found] == [0, 4, 4]


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["iid", "dirichlet:0.3", "dirichlet:1e-5", "by-group"]),
    st.integers(1, 3),
    st.integers(0, 999),
)
def test_clients_together_hold_every_part_once_and_no_group_twice(how: str, clients: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    groups = random.integers(0, 20, 120)
    samples = make(random.integers(0, 2, 120).tolist(), groups.tolist())
    labels = np.array([int(sample.label[1]) for sample in samples])
    rows = {
        "train": np.flatnonzero(groups < 14),
        "validation": np.flatnonzero((groups >= 14) & (groups < 17)),
        "test": np.flatnonzero(groups >= 17),
    }
    try:
        found = client_rows(samples, rows, labels, clients, how, seed)
    except DataError:  # a client with one class
        train = deal([samples[row] for row in rows["train"]], clients, how, seed)
        mixes = [
            {samples[row].label for row in rows["train"] if train[group_of(samples[row])] == client}
            for client in range(clients)
        ]
        assert min(map(len, mixes)) < 2
        return
    assert [name for name, _ in found] == [f"client {number + 1}" for number in range(clients)]
    for part, whole in rows.items():
        shared = [own[part] for _, own in found]
        np.testing.assert_array_equal(np.sort(np.concatenate(shared)), whole)
        held = [set(groups[own].tolist()) for own in shared]
        assert sum(map(len, held)) == len(set().union(*held))
    if clients == 1:
        for part, whole in rows.items():
            np.testing.assert_array_equal(found[0][1][part], whole)


def test_by_group_deals_as_many_groups_to_each() -> None:
    samples = make([0, 1] * 22, [row // 2 for row in range(44)])
    held = np.bincount(list(deal(samples, 4, "by-group", 3).values()))
    assert sorted(held) == [5, 5, 6, 6]
    assert deal(samples, 4, "by-group", 3) != deal(samples, 4, "by-group", 4)
