from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.data.sample import Sample
from stages.errors import DataError
from stages.splits.methods import block_holdout, holdout, kfold, official
from stages.splits.origins import split_chain
from stages.splits.split import Split, check_split, group_of, load_split, save_split


def make(count: int, classes: int = 2, groups: int | None = None, dataset: str = "x") -> list[Sample]:
    samples = []
    for i in range(count):
        label = i % classes
        group = None if groups is None else f"g{label}-{(i // classes) % groups}"
        samples.append(Sample(Path(f"{i}.png"), f"{i:04}.png", "abcdefgh"[label], dataset, group, order=i))
    return samples


@st.composite
def sets(draw: st.DrawFn) -> list[Sample]:
    classes = draw(st.integers(2, 4))
    groups = draw(st.one_of(st.none(), st.integers(6, 15)))
    return make(draw(st.integers(classes * 15, 160)), classes, groups)


def everywhere(split: Split) -> list[str]:
    return [*split.train, *split.validation, *split.test, *split.left_out]


def torn(split: Split, samples: list[Sample]) -> bool:
    parts = split.part_of()
    places: dict[str, set[str]] = {}
    for sample in samples:
        if sample.name in parts:
            places.setdefault(group_of(sample), set()).add(parts[sample.name])
    return any(len(found) > 1 for found in places.values())


@settings(max_examples=40, deadline=None)
@given(sets(), st.integers(0, 99), st.floats(0.1, 0.4), st.floats(0, 0.3))
def test_holdout_parts_every_sample_once_and_no_group_twice(
    samples: list[Sample], seed: int, test: float, validation: float
) -> None:
    split = holdout(samples, test=test, validation=validation, seed=seed)
    assert sorted(everywhere(split)) == sorted(sample.name for sample in samples)
    assert not torn(split, samples)
    check_split(split, samples)
    again = holdout(list(reversed(samples)), test=test, validation=validation, seed=seed)
    assert again == split
    largest = max(Counter(map(group_of, samples)).values())
    assert abs(len(split.test) - test * len(samples)) <= 2 * largest + len(
        {sample.label for sample in samples}
    )


@settings(max_examples=20, deadline=None)
@given(sets(), st.integers(2, 5), st.integers(0, 9))
def test_every_sample_is_tested_in_exactly_one_fold(samples: list[Sample], folds: int, seed: int) -> None:
    splits = [kfold(samples, folds=folds, fold=fold, seed=seed) for fold in range(folds)]
    tested = Counter(name for split in splits for name in split.test)
    assert set(tested.values()) == {1}
    assert len(tested) == len(samples)
    assert not any(torn(split, samples) for split in splits)


def test_classes_keep_their_shares_to_within_one_image() -> None:
    samples = make(100, 4)
    split = holdout(samples, test=0.2, validation=0.16, seed=3)
    label = {sample.name: sample.label for sample in samples}
    for part, share in (("train", 16), ("validation", 4), ("test", 5)):
        counts = Counter(label[name] for name in getattr(split, part))
        assert all(abs(count - share) <= 1 for count in counts.values())


def test_another_seed_is_another_split() -> None:
    assert holdout(make(60), seed=0).test != holdout(make(60), seed=1).test


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 50), st.booleans())
def test_groups_that_another_stage_decided_stay_where_it_put_them(seed: int, folds: bool) -> None:
    samples = make(80, 2, 10)
    forced = {"g0-0": "test", "g1-3": "train", "g0-4": "validation", "elsewhere": "test"}
    split = (
        kfold(samples, folds=4, fold=1, seed=seed, forced=forced)
        if folds
        else holdout(samples, seed=seed, forced=forced)
    )
    parts = split.part_of()
    for sample in samples:
        if sample.group in forced:
            assert parts[sample.name] == forced[sample.group]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(6, 12))
def test_no_group_is_on_two_sides_across_stages(seed: int, groups: int) -> None:
    fields, crops = make(60, 2, groups, "fields"), make(90, 2, groups, "crops")
    splits = split_chain(
        {2: crops, 3: fields},
        3,
        lambda number, forced: holdout([crops, fields][number - 2], seed=seed, forced=forced),
    )
    places: dict[str, set[str]] = {}
    for number, samples in ((2, crops), (3, fields)):
        parts = splits[number].part_of()
        for sample in samples:
            places.setdefault(group_of(sample), set()).add(parts[sample.name])
    assert all(len(found) == 1 for found in places.values())


@settings(max_examples=30, deadline=None)
@given(st.integers(20, 90), st.integers(2, 3), st.booleans())
def test_blocks_follow_the_numbers(count: int, classes: int, reverse: bool) -> None:
    samples = make(count, classes)
    split = block_holdout(samples, test=0.25, validation=0.15, reverse=reverse)
    parts = split.part_of()
    for label in {sample.label for sample in samples}:
        row = [
            parts[s.name] for s in sorted(samples, key=lambda s: s.order, reverse=reverse) if s.label == label
        ]
        assert row == sorted(row, key=["train", "validation", "test"].index)
    check_split(split, samples)


@settings(max_examples=40, deadline=None)
@given(st.integers(12, 90), st.integers(2, 10), st.sampled_from([0, 0.1, 1 / 3, 0.5]))
def test_blocks_of_equal_length_round_the_numbers_test_every_image_once(
    count: int, folds: int, repeat: float
) -> None:
    samples = make(count, 1)
    tested = Counter(
        name
        for fold in range(folds)
        for name in block_holdout(
            samples, test=1 / folds, validation=0.1, offset=(fold + repeat) / folds
        ).test
    )
    assert tested == dict.fromkeys((sample.name for sample in samples), 1)


def test_members_of_a_group_before_a_border_are_left_out() -> None:
    samples = make(40)
    twins = {"0026.png": "twin", "0038.png": "twin"}
    samples = [replace(sample, group=twins.get(sample.name)) for sample in samples]
    split = block_holdout(samples, test=0.25, validation=0.25)
    assert split.left_out == ("0026.png",)
    assert "0038.png" in split.test
    assert "1 images were left out" in split.notes[0]
    check_split(split, samples)


def test_the_sources_own_parts_are_taken() -> None:
    samples = [replace(sample, part=["train", "fold_2"][i % 3 == 0]) for i, sample in enumerate(make(30))]
    split = official(samples, test_parts=["fold_2"])
    assert len(split.test) == 10
    with pytest.raises(DataError, match="fold_2"):
        official(samples, test_parts=["fold_9"])


def test_a_saved_split_comes_back(tmp_path: Path) -> None:
    split = holdout(make(40), seed=2, unit="patient")
    save_split(split, tmp_path / "s.json")
    assert load_split(tmp_path / "s.json") == split
    (tmp_path / "s.json").write_text("{}")
    with pytest.raises(DataError, match=r"s\.json"):
        load_split(tmp_path / "s.json")


def test_every_kind_of_leak_is_refused() -> None:
    samples = make(40, 2, 10)
    good = holdout(samples)
    check_split(good, samples)
    moved = good.train[0]
    cases = {
        "twice": replace(good, test=(*good.test, moved)),
        "lack": replace(good, train=(*good.train, "unknown.png")),
        "no '": replace(good, train=good.train[1:]),
        "leaks": replace(good, train=good.train[1:], test=(*good.test, moved)),
        "absent": replace(good, train=(*good.train, *good.test), test=()),
    }
    for said, bad in cases.items():
        with pytest.raises(DataError, match=said):
            check_split(bad, samples)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: holdout(make(40), test=0), "split.test"),
        (lambda: holdout(make(40), test=0.6, validation=0.4), "below 1"),
        (lambda: holdout(make(40, 2, 1)), "class 'a'"),
        (lambda: kfold(make(40, 2, 2), folds=5, fold=0), "folds"),
        (lambda: kfold(make(40), folds=5, fold=5), "fold"),
        (lambda: holdout([*make(10), *make(10)]), "names of their own"),
        (lambda: holdout([]), "no sample"),
    ],
)
def test_what_cannot_be_split_says_why(call: object, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        call()  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def test_the_largest_group_of_a_rare_class_still_leaves_one_to_test() -> None:
    samples = make(60) + [Sample(Path("r"), f"r{i}.png", "rare", "x", f"r{i // 5}") for i in range(10)]
    parts = holdout(samples, test=0.2, validation=0.1, seed=1).part_of()
    assert {parts[f"r{i}.png"] for i in range(10)} >= {"train", "test"}
