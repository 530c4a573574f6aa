"""What the search behind hold-outs and folds promises, and what splits do at the edges of the possible."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.errors import WriteError
from stages.data.sample import Sample
from stages.errors import DataError
from stages.splits.assignment import GroupTable
from stages.splits.methods import block_holdout, holdout, kfold, official
from stages.splits.split import Split, check_split, group_of, load_split, save_split


def sample(
    name: str, label: str, group: str | None = None, order: int = 0, part: str | None = None
) -> Sample:
    return Sample(Path(name), name, label, "x", group, order=order, part=part)


def crowd(counts: dict[str, int], prefix: str = "") -> list[Sample]:
    return [
        sample(f"{prefix}{label}{i}", label, order=i) for label, count in counts.items() for i in range(count)
    ]


@st.composite
def mixed(draw: st.DrawFn) -> list[Sample]:
    """Groups of any size, some of two classes, at least six of every class; with lone samples between them."""
    labels = "abcd"[: draw(st.integers(2, 4))]
    found: list[Sample] = []
    for group in range(len(labels) * draw(st.integers(6, 9))):
        own = labels[group % len(labels)]
        other = draw(st.sampled_from(labels))
        for i in range(draw(st.integers(1, 6))):
            label = other if i == 5 else own
            found.append(sample(f"{group}-{i}", label, f"g{group}" if group % 5 else None))
    return found


def in_part(split: Split, samples: list[Sample], part: str) -> Counter[str]:
    label = {one.name: one.label for one in samples}
    return Counter(label[name] for name in getattr(split, part))


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcde"), st.integers(7, 90), min_size=2),
    st.sampled_from([(0.2, 0.15), (0.1, 0.1), (0.35, 0.0), (0.5, 0.25)]),
    st.integers(0, 9),
)
def test_without_groups_every_part_is_within_one_image_of_its_share(
    counts: dict[str, int], shares: tuple[float, float], seed: int
) -> None:
    samples = crowd(counts)
    test, validation = shares
    split = holdout(samples, test=test, validation=validation, seed=seed)
    for part, share in (("train", 1 - test - validation), ("validation", validation), ("test", test)):
        found = in_part(split, samples, part)
        assert all(abs(found[label] - share * count) <= 1 for label, count in counts.items())


@settings(max_examples=30, deadline=None)
@given(mixed(), st.integers(0, 9))
def test_with_groups_every_part_is_within_a_large_group_of_its_share(
    samples: list[Sample], seed: int
) -> None:
    split = holdout(samples, seed=seed)
    largest = max(Counter((group_of(one), one.label) for one in samples).values())
    totals = Counter(one.label for one in samples)
    for part, share in (("train", 0.65), ("validation", 0.15), ("test", 0.2)):
        found = in_part(split, samples, part)
        assert all(abs(found[label] - share * count) <= largest + 2 for label, count in totals.items())


@settings(max_examples=12, deadline=None)
@given(st.dictionaries(st.sampled_from("abcd"), st.integers(10, 60), min_size=2), st.integers(2, 10))
def test_folds_differ_by_one_image_of_a_class_at_most(counts: dict[str, int], folds: int) -> None:
    samples = crowd(counts)
    found = [in_part(kfold(samples, folds=folds, fold=fold), samples, "test") for fold in range(folds)]
    for label in counts:
        tested = [fold[label] for fold in found]
        assert max(tested) - min(tested) <= 1


def test_the_folds_are_as_even_as_those_of_scikit_learn() -> None:
    from sklearn.model_selection import StratifiedGroupKFold

    rng = np.random.default_rng(0)
    samples = [
        sample(f"{group}-{i}", "abc"[group % 3 if rng.random() < 0.8 else (group + 1) % 3], f"g{group}")
        for group in range(40)
        for i in range(int(rng.integers(1, 30)))
    ]
    totals = Counter(one.label for one in samples)

    def uneven(tests: list[Counter[str]]) -> float:
        return sum((fold[label] / totals[label] - 0.2) ** 2 for fold in tests for label in totals)

    ours = [in_part(kfold(samples, folds=5, fold=fold), samples, "test") for fold in range(5)]
    labels, groups = [one.label for one in samples], [one.group for one in samples]
    theirs = [
        Counter(labels[row] for row in rows)
        for _, rows in StratifiedGroupKFold(5, shuffle=True, random_state=0).split(labels, labels, groups)
    ]
    assert uneven(ours) <= uneven(theirs)


def test_a_few_groups_are_dealt_almost_as_well_as_can_be() -> None:
    rng = np.random.default_rng(1)
    shares = np.array([0.6, 0.2, 0.2])
    worse = 0
    for _ in range(25):
        counts = rng.integers(0, 9, (7, 2)).astype(float) + np.eye(7, 2)
        table = GroupTable(tuple("0123456"), ("a", "b"), counts)

        def badness(parts: tuple[int, ...], counts: np.ndarray = counts) -> float:
            have = np.array([counts[np.array(parts) == part].sum(axis=0) for part in range(3)])
            away = (((have / counts.sum(axis=0)) - shares[:, None]) ** 2).sum(axis=1) @ (1 / shares)
            return float(away + 1e6 * (have == 0).sum())

        dealt = table.assign(tuple(shares), seed=0)
        best = min(badness(parts) for parts in itertools.product(range(3), repeat=7))
        worse += badness(tuple(dealt[group] for group in "0123456")) > best + 1e-6
    assert worse <= 2


@settings(max_examples=25, deadline=None)
@given(mixed(), st.integers(0, 99), st.randoms(use_true_random=False))
def test_the_order_of_the_samples_has_no_say(
    samples: list[Sample], seed: int, shuffle: random.Random
) -> None:
    numbered = [replace(one, order=i % 7, part=["a", "b"][i % 2]) for i, one in enumerate(samples)]
    shuffled = list(numbered)
    shuffle.shuffle(shuffled)
    assert holdout(numbered, seed=seed) == holdout(shuffled, seed=seed)
    assert kfold(numbered, folds=3, fold=1, seed=seed) == kfold(shuffled, folds=3, fold=1, seed=seed)
    for cut in (lambda rows: block_holdout(rows, test=0.3), lambda rows: official(rows, test_parts=["b"])):
        results: list[object] = []
        for rows in (numbered, shuffled):
            try:
                results.append(cut(rows))
            except DataError as error:
                results.append(str(error))
        assert results[0] == results[1]


def test_a_huge_group_trains_and_the_rest_is_shared_out() -> None:
    samples = [sample(f"h{i}", "a", "huge") for i in range(500)] + crowd({"a": 12, "b": 60})
    split = holdout(samples, seed=4)
    parts = split.part_of()
    assert {parts[f"h{i}"] for i in range(500)} == {"train"}
    check_split(split, samples)
    assert all(in_part(split, samples, part)["a"] >= 4 for part in ("validation", "test"))


def test_a_class_of_two_groups_trains_and_is_tested_and_the_report_says_what_lacks() -> None:
    samples = crowd({"common": 60}) + [sample(f"r{i}", "rare", f"r{i % 2}") for i in range(9)]
    split = holdout(samples, seed=0)
    assert in_part(split, samples, "train")["rare"] > 0
    assert in_part(split, samples, "test")["rare"] > 0
    assert split.notes == ("Class rare is absent from the validation part.",)


@pytest.mark.parametrize("fold", range(6))
def test_a_class_too_small_for_the_folds_is_refused_in_every_fold(fold: int) -> None:
    samples = crowd({"common": 60, "rare": 5})
    with pytest.raises(DataError, match=r"'rare'.*folds` = 6.*it has 5 \(5 images\).*5 folds or fewer"):
        kfold(samples, folds=6, fold=fold)


@settings(max_examples=20, deadline=None)
@given(mixed(), st.integers(2, 4), st.integers(0, 9))
def test_what_another_stage_decided_leaves_the_folds(samples: list[Sample], folds: int, seed: int) -> None:
    groups = sorted({group_of(one) for one in samples})
    forced = {groups[0]: "test", groups[1]: "train", groups[2]: "validation"}
    splits = [
        kfold(samples, folds=folds, fold=fold, seed=seed, forced=forced)  # type: ignore[arg-type]
        for fold in range(folds)
    ]
    tested = Counter(name for split in splits for name in split.test)
    for one in samples:
        decided = forced.get(group_of(one))
        assert tested[one.name] == (1 if decided is None else folds * (decided == "test"))


def test_a_stage_whose_groups_are_all_decided_is_split_as_they_were() -> None:
    samples = [sample(f"{i}", "ab"[i % 2], f"g{i // 4}") for i in range(40)]
    forced = {f"g{i}": ("test" if i < 2 else "validation" if i < 4 else "train") for i in range(10)}
    for split in (
        holdout(samples, forced=forced),  # type: ignore[arg-type]
        kfold(samples, folds=10, fold=7, forced=forced),  # type: ignore[arg-type]
    ):
        assert split.part_of() == {one.name: forced[str(one.group)] for one in samples}


@pytest.mark.parametrize("method", ["block", "official"])
@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_blocks_and_official_parts_yield_to_what_another_stage_decided(method: str, part: str) -> None:
    rows = [
        replace(one, part="test" if i % 3 == 0 else "train")
        for i, one in enumerate(crowd({"a": 30, "b": 30}))
    ]
    forced = {group_of(rows[i]): part for i in (0, 29, 31, 59)}
    split = (
        block_holdout(rows, forced=forced)  # type: ignore[arg-type]
        if method == "block"
        else official(rows, test_parts=["test"], forced=forced)  # type: ignore[arg-type]
    )
    assert [split.part_of()[rows[i].name] for i in (0, 29, 31, 59)] == [part] * 4
    check_split(split, rows)


def test_no_validation_is_none() -> None:
    rows = [sample(f"{i}", "ab"[i % 2], f"g{i // 3}") for i in range(61)]
    assert holdout(rows, validation=0).validation == ()
    assert block_holdout(crowd({"a": 13, "b": 7}), validation=0).validation == ()
    assert kfold(rows, folds=3, fold=2, validation=0).validation == ()


@pytest.mark.parametrize("count", range(2, 9))
def test_a_block_of_a_small_class_still_trains_and_tests(count: int) -> None:
    samples = crowd({"a": 40, "b": count})
    split = block_holdout(samples, test=0.2, validation=0.15)
    check_split(split, samples)
    assert split.part_of()["b0"] == "train"
    assert split.part_of()[f"b{count - 1}"] == "test"


def test_a_block_without_numbers_says_so() -> None:
    rows = [replace(one, order=0) if one.label == "b" else one for one in crowd({"a": 10, "b": 10})]
    assert block_holdout(rows).notes == (
        "Class b is not numbered by its source; its block was cut along the file names.",
    )


def test_a_group_over_all_borders_that_empties_training_is_refused() -> None:
    samples = [replace(one, group="all") if one.label == "a" else one for one in crowd({"a": 10, "b": 10})]
    with pytest.raises(DataError, match=r"class 'a' in the train part.*8 images gave way"):
        block_holdout(samples)


def test_parts_of_a_source_that_leaks_give_way_to_the_test() -> None:
    rows = [
        replace(one, part="test" if i % 4 == 0 else "train")
        for i, one in enumerate(crowd({"a": 16, "b": 16}))
    ]
    rows = [replace(one, group="twins") if one.name in ("a1", "a4") else one for one in rows]
    split = official(rows, test_parts=["test"])
    assert split.left_out == ("a1",)
    assert "1 images were left out" in split.notes[0]
    check_split(split, rows)


def test_images_of_no_official_part_train_and_are_counted() -> None:
    rows = [
        replace(one, part=[None, "train", "test"][i % 3]) for i, one in enumerate(crowd({"a": 9, "b": 9}))
    ]
    assert official(rows, test_parts=["test"]).notes == ("6 images are in no part of the source and train.",)


@pytest.mark.parametrize(
    ("test", "validation", "said"), [([], [], "nothing"), (["t"], ["t"], "both name 't'"), (["T"], [], "'T'")]
)
def test_official_parts_must_make_sense(test: list[str], validation: list[str], said: str) -> None:
    rows = [replace(one, part="t") for one in crowd({"a": 9, "b": 9})]
    with pytest.raises(DataError, match=said):
        official(rows, test_parts=test, validation_parts=validation)


@pytest.mark.parametrize(
    ("test", "validation"),
    [(0, 0.1), (1, 0), (0.5, 0.5), (-0.1, 0), (0.2, -0.1), (0.2, 1), (float("nan"), 0)],
)
def test_impossible_fractions_are_refused(test: float, validation: float) -> None:
    for cut in (holdout, block_holdout):
        with pytest.raises(DataError, match=r"split\.test"):
            cut(crowd({"a": 20, "b": 20}), test=test, validation=validation)


@pytest.mark.parametrize(("folds", "fold"), [(1, 0), (0, 0), (5, -1), (5, 5)])
def test_a_fold_that_is_none_is_refused(folds: int, fold: int) -> None:
    with pytest.raises(DataError, match=r"split\.fold"):
        kfold(crowd({"a": 20, "b": 20}), folds=folds, fold=fold)


def test_two_images_of_one_name_are_refused_everywhere() -> None:
    rows = [replace(one, part="test") for one in crowd({"a": 20, "b": 20})]
    good = holdout(rows)
    twice = [*rows, replace(rows[0], group="elsewhere")]
    for call in (
        lambda: holdout(twice),
        lambda: block_holdout(twice),
        lambda: kfold(twice, folds=2, fold=0),
        lambda: official(twice, test_parts=["test"]),
        lambda: check_split(good, twice),
    ):
        with pytest.raises(DataError, match="a0"):
            call()


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", '"train"', '{"train": "abc"}', "[" * 100_000, "\x00"]
)
def test_a_file_that_is_no_split_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "3-x.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"3-x\.json") as caught:
        load_split(path)
    assert "\n" not in str(caught.value)


def test_a_text_in_place_of_a_list_is_not_taken_for_names(tmp_path: Path) -> None:
    value = holdout(crowd({"a": 20, "b": 20})).to_json()
    for bad in ({"test": "a0"}, {"test": [1, 2]}, {"notes": "all is well"}, {"seed": None}):
        (tmp_path / "s.json").write_text(json.dumps(value | bad))
        with pytest.raises(DataError, match=r"s\.json"):
            load_split(tmp_path / "s.json")


def test_saving_leaves_the_old_list_or_the_new_one_and_nothing_else(tmp_path: Path) -> None:
    first, second = (holdout(crowd({"ä": 20, "b": 20}), seed=seed) for seed in (0, 1))
    for split in (first, second):
        save_split(split, tmp_path / "s.json")
        assert load_split(tmp_path / "s.json") == split
    assert [path.name for path in tmp_path.iterdir()] == ["s.json"]
    with pytest.raises(WriteError, match="folder is not there"):
        save_split(first, tmp_path / "absent" / "s.json")
