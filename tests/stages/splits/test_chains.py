"""Splits across stages: whatever stages call their groups, no file and no group stands in two parts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.data.sample import Sample
from stages.errors import DataError
from stages.splits.chains import Learned, split_chain, tie_stages
from stages.splits.methods import block_holdout, holdout
from stages.splits.split import Part, Split, group_of


def sample(name: str, group: str | None = None, label: str = "a", order: int = 0) -> Sample:
    return Sample(Path(name), name, label, "x", group, order)


@st.composite
def chains(draw: st.DrawFn) -> dict[int, list[Sample]]:
    """Stages that share some images, each of which calls its groups as it likes."""
    stages = {}
    for number in (1, 2, 3):
        names = draw(st.lists(st.integers(0, 79), min_size=50, max_size=70, unique=True))
        coarse = draw(st.sampled_from([1, 2, 3]))
        stages[number] = [
            sample(
                f"{i:02}",
                draw(st.sampled_from([None, f"stage {number} group {i // coarse}"])),
                label="ab"[i % 2],
                order=i,
            )
            for i in names
        ]
    return stages


@settings(max_examples=40, deadline=None)
@given(chains(), st.integers(0, 99), st.sampled_from([1, 2, 3]), st.sampled_from([holdout, block_holdout]))
def test_no_group_and_no_file_is_in_two_parts_across_stages(
    stages: dict[int, list[Sample]],
    seed: int,
    target: int,
    cut: object,
) -> None:
    tied = tie_stages(stages)

    def make(number: int, forced: Mapping[str, Part] | None) -> Split:
        return cut(tied[number], seed=seed, forced=forced)  # type: ignore[no-any-return, operator]

    splits = split_chain(tied, target, make)
    files: dict[Path, set[str]] = {}
    groups: dict[tuple[int, str], set[str]] = {}
    for number, split in splits.items():
        parts = split.part_of()
        for before, after in zip(stages[number], tied[number], strict=True):
            assert (before.name, before.path, before.label) == (after.name, after.path, after.label)
            if after.name in parts:
                files.setdefault(after.path, set()).add(parts[after.name])
                groups.setdefault((number, group_of(before)), set()).add(parts[after.name])
    assert all(len(found) == 1 for found in (*files.values(), *groups.values()))


def test_the_target_is_split_first_and_freely() -> None:
    asked: list[tuple[int, bool]] = []
    stages = {number: [sample(f"{i}", label="ab"[i % 2]) for i in range(30)] for number in (1, 2, 3)}

    def make(number: int, forced: Mapping[str, Part] | None) -> Split:
        asked.append((number, forced is None))
        return holdout(stages[number], seed=number, forced=forced)

    splits = split_chain(stages, 2, make)
    assert asked == [(2, True), (3, False), (1, False)]
    assert splits[1].test == splits[2].test == splits[3].test == holdout(stages[2], seed=2).test


@settings(max_examples=30, deadline=None)
@given(
    chains(), st.sets(st.integers(0, 79), min_size=1, max_size=20), st.sampled_from([holdout, block_holdout])
)
def test_what_the_weights_have_learned_is_never_tested_on(
    stages: dict[int, list[Sample]], known: set[int], cut: object
) -> None:
    tied = tie_stages(stages)
    learned = Learned({f"image x/{i:02}": "validation" if i % 3 else "train" for i in known})

    def make(number: int, forced: Mapping[str, Part] | None) -> Split:
        return cut(tied[number], seed=0, forced=forced)  # type: ignore[no-any-return, operator]

    for split in split_chain(tied, 3, make, learned).values():
        assert not {f"{i:02}" for i in known} & {*split.test}
        assert not {f"{i:02}" for i in known if i % 3 == 0} & {*split.validation}


def test_saved_lists_that_test_on_what_is_learned_are_refused() -> None:
    stages = {3: [sample(f"{i}", label="ab"[i % 2]) for i in range(30)]}
    split = holdout(stages[3], seed=1)
    learned = Learned().after(stages[3], split)
    assert split_chain(stages, 3, lambda *_: split, learned) == {3: split}
    other = holdout(stages[3], seed=2)
    with pytest.raises(DataError, match="--from"):
        split_chain(stages, 3, lambda *_: other, learned)
