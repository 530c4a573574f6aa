"""One of several sources is the test part, whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.data.sample import Sample
from stages.errors import DataError
from stages.splits.methods import leave_one_source_out
from stages.splits.split import check_split


def images(source: str, labels: str = "ab", each: int = 12) -> list[Sample]:
    return [
        Sample(Path("-"), f"{source}/{label}{i}", label, "x", f"{source} {label}{i // 2}", source=source)
        for label in labels
        for i in range(each)
    ]


@pytest.mark.parametrize("source", ["two", 1])
def test_the_source_is_tested_whole_and_nothing_else(source: str | int) -> None:
    samples = images("one") + images("two") + images("three")
    split = leave_one_source_out(samples, source=source, validation=0.25)
    assert set(split.test) == {sample.name for sample in samples if sample.source == "two"}
    assert {name.partition("/")[0] for name in split.train} == {"one", "three"}
    assert len(split.validation) == pytest.approx(12, abs=2)
    assert split.method == "source two left out"
    check_split(split, samples)


def test_every_source_is_left_out_once_by_number() -> None:
    samples = images("one") + images("two")
    tests = [set(leave_one_source_out(samples, source=fold).test) for fold in range(2)]
    assert tests[0] | tests[1] == {sample.name for sample in samples}
    assert not tests[0] & tests[1]


def test_what_shares_a_group_with_the_source_is_left_out() -> None:
    samples = images("one") + images("two")
    patient = [
        Sample(Path("-"), f"{source}/p{i}", "a", "x", "patient", source=source)
        for source in ("one", "two")
        for i in range(3)
    ]
    split = leave_one_source_out([*samples, *patient], source="two")
    assert set(split.left_out) == {"one/p0", "one/p1", "one/p2"}
    assert "3 images of the other sources were left out" in split.notes[0]
    check_split(split, [*samples, *patient])


def test_a_class_that_the_source_lacks_is_told() -> None:
    split = leave_one_source_out(images("one", "abc") + images("two", "ab"), source="two")
    assert "Class c is absent from the test part." in split.notes


@pytest.mark.parametrize(
    ("samples", "source", "said"),
    [
        (images("one"), 0, "several sources .* got one"),
        (images("one") + images("two"), "zwei", "one of one, two, but got 'zwei'"),
        (images("one") + images("two"), 2, "number one of 2 sources"),
        (images("one") + images("two", "cd"), "two", "share a class"),
        (images("one", "a") + images("two", "ab"), "two", "'b' in the train part"),
    ],
)
def test_what_cannot_be_left_out_is_one_line(samples: list[Sample], source: str | int, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        leave_one_source_out(samples, source=source)
    assert len(str(caught.value)) < 300


def test_a_source_that_another_stage_learns_from_is_refused() -> None:
    samples = images("one") + images("two")
    with pytest.raises(DataError, match="learns from 2 of its 24 images"):
        leave_one_source_out(samples, source="two", forced={"two a0": "train"})
    split = leave_one_source_out(samples, source="two", forced={"one a0": "test"})
    assert set(split.left_out) == {"one/a0", "one/a1"}
