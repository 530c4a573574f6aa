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
