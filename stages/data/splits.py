"""Splits that do not leak: stratified by label, and no group on two sides.

Pure functions of samples and a seed; the order of the samples does not matter.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from stages.data.sample import Sample
from stages.errors import DataError

__all__ = [
    "Part",
    "Split",
    "block_holdout",
    "check_split",
    "group_of",
    "holdout",
    "kfold",
    "load_split",
    "official",
    "save_split",
]

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = get_args(Part)
_ATTEMPTS = 20


@dataclass(frozen=True)
class Split:
    """Which sample is in which part.

    Attributes:
        train: Names of samples, sorted.
        validation: The same; may be empty.
        test: The same.
        left_out: In no part; `notes` say why.
        method: How it was made.
        unit: What the groups are, such as `"patient"`.
        seed: Of the assignment.
        notes: Plain sentences for the report.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    left_out: tuple[str, ...]
    method: str
    unit: str
    seed: int
    notes: tuple[str, ...] = ()

    def part_of(self) -> dict[str, Part]:
        """Return the part of every sample that is in one."""
        return {name: part for part in PARTS for name in getattr(self, part)}

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json` can write."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Split:
        """Return the split that `to_json` wrote.

        Raises:
            KeyError: If a part is missing.
        """
        lists = {key: tuple(str(name) for name in value[key]) for key in (*PARTS, "left_out")}
        notes = tuple(value.get("notes", ()))
        return cls(
            **lists,
            method=str(value["method"]),
            unit=str(value["unit"]),
            seed=int(value["seed"]),
            notes=notes,
        )


def group_of(sample: Sample) -> str:
    """Return what a split keeps together: the group, or the sample itself where nothing is known."""
    return sample.group if sample.group is not None else f"{sample.dataset}:{sample.name}"


def holdout(
    samples: Sequence[Sample],
    *,
    test: float = 0.2,
    validation: float = 0.15,
    seed: int = 0,
    unit: str = "image",
    forced: Mapping[str, Part] | None = None,
) -> Split:
    """Split at random, stratified by label, whole groups at a time.

    Groups go, the largest first, to the part that is furthest below its share of their classes; of several random orders
    the best balanced is taken.

    Args:
        samples: What to split.
        test: Fraction of all samples.
        validation: Fraction of all samples.
        seed: Of the random orders.
        unit: What the groups are.
        forced: Part of groups that another stage's split decided.

    Raises:
        DataError: If fractions are impossible or a class has too few groups.
    """
    _check_fractions(test, validation)
    table = _Table.of(samples)
    shares = np.array([1 - test - validation, validation, test])
    fixed = {group: PARTS.index(part) for group, part in (forced or {}).items()}
    parts = table.repair(table.assign(shares, seed, fixed), fixed)
    return _finish(
        samples,
        {group: PARTS[part] for group, part in parts.items()},
        "grouped hold-out",
        unit,
        seed,
        bool(forced),
    )


def block_holdout(
    samples: Sequence[Sample],
    *,
    test: float = 0.2,
    validation: float = 0.15,
    seed: int = 0,
    unit: str = "image",
    forced: Mapping[str, Part] | None = None,
    reverse: bool = False,
) -> Split:
    """Cut every class along its numbering: the first images train, the next validate, the last test.

    The honest split where neighbouring numbers look alike and no patient is known. Of a group that lies across a border
    the members before it are left out, so training gives way to validation and validation to test.

    Args:
        samples: What to split.
        test: Fraction of every class.
        validation: Fraction of every class.
        seed: Only recorded.
        unit: What the groups are.
        forced: Part of groups that another stage's split decided.
        reverse: Count from the last number down, so that the first ones are tested.

    Raises:
        DataError: If fractions are impossible or a class has too few images.
    """
    _check_fractions(test, validation)
    parts: dict[str, Part] = {}
    by_label: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_label[sample.label].append(sample)
    for members in by_label.values():
        members.sort(key=lambda sample: (sample.order, sample.name), reverse=reverse)
        first = round(len(members) * (1 - test - validation))
        second = round(len(members) * (1 - test))
        for position, sample in enumerate(members):
            cut: Part = "train" if position < first else "validation" if position < second else "test"
            parts[sample.name] = (forced or {}).get(group_of(sample), cut)
    latest: dict[str, int] = {}
    for sample in samples:
        group = group_of(sample)
        latest[group] = max(latest.get(group, 0), PARTS.index(parts[sample.name]))
    left = [sample.name for sample in samples if PARTS.index(parts[sample.name]) < latest[group_of(sample)]]
    for name in left:
        del parts[name]
    method = "block hold-out by number" + (", the first numbers tested" if reverse else "")
    note = f"{len(left)} images were left out because a near-duplicate or a member of their group lies in a later part."
    return _from_parts(parts, left, method, unit, seed, (note,) if left else ())


def kfold(
    samples: Sequence[Sample],
    *,
    folds: int,
    fold: int,
    validation: float = 0.15,
    seed: int = 0,
    unit: str = "image",
    forced: Mapping[str, Part] | None = None,
) -> Split:
    """Return one fold of a stratified, grouped k-fold: every sample is tested in exactly one of them.

    Args:
        samples: What to split.
        folds: How many, 2 or more.
        fold: Which one is tested, from 0.
        validation: Fraction of all samples, taken from the rest.
        seed: Decides all folds together.
        unit: What the groups are.
        forced: Part of groups that another stage's split decided; these leave the folds.

    Raises:
        DataError: If there are fewer groups than folds, or `fold` is not one of them.
    """
    if folds < 2 or not 0 <= fold < folds:
        raise DataError(
            f"Expected `split.fold` to be from 0 to {folds - 1} of at least 2 folds, but got {fold}; do count from 0"
        )
    _check_fractions(1 / folds, validation)
    table = _Table.of(samples)
    if len(table.groups) < folds:
        raise DataError(
            f"Expected at least {folds} groups for `split.folds`, but there are {len(table.groups)} "
            f"({len(samples)} images); do choose --set split.folds={max(2, len(table.groups))} or fewer"
        )
    dealt = table.assign(np.full(folds, 1 / folds), seed, {})
    parts: dict[str, int] = {group: 2 for group, number in dealt.items() if number == fold}
    parts |= {group: PARTS.index(part) for group, part in (forced or {}).items() if group in dealt}
    shares = np.array([1 - validation - 1 / folds, validation, 0.0])
    # The tested groups are fixed; a share of zero keeps everything else out of the test part.
    rest = table.assign(shares, seed + fold + 1, parts, closed=2)
    return _finish(
        samples,
        {group: PARTS[part] for group, part in rest.items()},
        f"fold {fold + 1} of {folds}",
        unit,
        seed,
        bool(forced),
    )


def official(
    samples: Sequence[Sample],
    *,
    test_parts: Sequence[str],
    validation_parts: Sequence[str] = (),
    unit: str = "image",
    seed: int = 0,
    forced: Mapping[str, Part] | None = None,
) -> Split:
    """Split as the source itself does, by `Sample.part`; what is in no named part trains.

    Raises:
        DataError: If the source assigns no parts, or none of that name.
    """
    known = {sample.part for sample in samples if sample.part}
    for wanted in (*test_parts, *validation_parts):
        if wanted not in known:
            found = ", ".join(sorted(known)) or "none"
            raise DataError(
                f"Expected `split.test_parts` to name parts of the source ({found}), but got {wanted!r}; do choose one"
            )
    parts: dict[str, Part] = {}
    for sample in samples:
        own: Part = (
            "test"
            if sample.part in test_parts
            else "validation"
            if sample.part in validation_parts
            else "train"
        )
        parts[sample.name] = (forced or {}).get(group_of(sample), own)
    return _from_parts(parts, [], "the source's own parts", unit, seed, ())


def check_split(split: Split, samples: Sequence[Sample], whole_test: bool = True) -> None:
    """Refuse a split that leaks or does not fit its samples.

    Args:
        split: To be checked.
        samples: All that it should list.
        whole_test: Whether the test part must hold every class.

    Raises:
        DataError: On a name that is unknown, missing or in two parts, a group in two parts, a part that is empty, or a
            class that is absent from the training or test part.
    """
    known = {sample.name: sample for sample in samples}
    listed = Counter(name for key in (*PARTS, "left_out") for name in getattr(split, key))
    twice = next((name for name, count in listed.items() if count > 1), None)
    unknown = next((name for name in listed if name not in known), None)
    missing = next((name for name in known if name not in listed), None)
    if twice or unknown or missing:
        what = (
            f"{twice!r} twice"
            if twice
            else f"{unknown!r}, which the data lack"
            if unknown
            else f"no {missing!r}"
        )
        raise DataError(
            f"Expected the split to list every image once, but it lists {what}; do make it again from the same data"
        )
    places: dict[str, set[Part]] = defaultdict(set)
    for name, part in split.part_of().items():
        places[group_of(known[name])].add(part)
    torn = next((group for group, parts in places.items() if len(parts) > 1), None)
    if torn:
        parts = " and ".join(sorted(places[torn]))
        raise DataError(
            f"Expected every group in one part, but {torn!r} is in {parts}: the split leaks; do make it again"
        )
    labels = {sample.label for sample in samples}
    for part in ("train", "test") if whole_test else ("train",):
        absent = labels - {known[name].label for name in getattr(split, part)}
        if absent:
            count = sum(sample.label in absent for sample in samples)
            raise DataError(
                f"Expected every class in the {part} part, but {', '.join(sorted(absent))} ({count} images in all) is absent; "
                f"do add images or change `split.{part if part == 'test' else 'validation'}`"
            )


def save_split(split: Split, path: Path) -> None:
    """Write a split as JSON, whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_text(json.dumps(split.to_json(), indent=1, ensure_ascii=False) + "\n", "utf-8")
        temporary.replace(path)
    except OSError as error:
        raise DataError(
            f"Expected {path} to be writable, but got: {error.strerror}; do free space or choose another folder"
        ) from error


def load_split(path: Path) -> Split:
    """Read a split.

    Raises:
        DataError: If the file is missing or is no split.
    """
    try:
        return Split.from_json(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"Expected {path} to be a saved split, but it cannot be read; do give the `splits` folder of a run"
        ) from error


@dataclass(frozen=True)
class _Table:
    """Groups (G) with the number of samples of every class (G, K)."""

    groups: tuple[str, ...]
    labels: tuple[str, ...]
    counts: npt.NDArray[np.float64]

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> _Table:
        names = Counter(sample.name for sample in samples)
        twice = next((name for name, count in names.items() if count > 1), None)
        if twice or not samples:
            raise DataError(
                f"Expected samples with names of their own, but got {twice or 'no sample'!r}; do list every image once"
            )
        groups = tuple(sorted({group_of(sample) for sample in samples}))
        labels = tuple(sorted({sample.label for sample in samples}))
        row, column = (
            {group: i for i, group in enumerate(groups)},
            {label: i for i, label in enumerate(labels)},
        )
        counts = np.zeros((len(groups), len(labels)))
        for sample in samples:
            counts[row[group_of(sample)], column[sample.label]] += 1
        return cls(groups, labels, counts)

    def assign(
        self, shares: npt.NDArray[np.float64], seed: int, fixed: Mapping[str, int], closed: int | None = None
    ) -> dict[str, int]:
        """Return the part of every group; `closed` takes none but the fixed ones."""
        random = np.random.default_rng(seed)
        totals = self.counts.sum(axis=0)
        attempts = max(1, min(_ATTEMPTS, 40_000 // len(self.groups)))
        dealt = [self._deal(shares, random, fixed, closed) for _ in range(attempts)]
        wanted = np.flatnonzero(shares > 0)

        def badness(parts: npt.NDArray[np.int64]) -> float:
            have = np.array([self.counts[parts == part].sum(axis=0) for part in range(len(shares))])
            absent = np.count_nonzero(have[wanted] == 0)
            return float(absent * 1e6 + (((have - shares[:, None] * totals) / totals) ** 2).sum())

        best = min(dealt, key=badness)
        return dict(zip(self.groups, best.tolist(), strict=True))

    def repair(self, parts: dict[str, int], fixed: Mapping[str, int]) -> dict[str, int]:
        """Return the parts with a group moved to the test part for every class of two groups that it lacks."""
        parts = dict(parts)
        for column in range(len(self.labels)):
            own = [group for row, group in enumerate(self.groups) if self.counts[row, column]]
            if any(parts[group] == 2 for group in own):
                continue
            size = {group: float(self.counts[row].sum()) for row, group in enumerate(self.groups)}
            free = sorted(
                (group for group in own if group not in fixed), key=lambda group: (size[group], group)
            )
            trained = sum(parts[group] == 0 for group in own)
            movable = next((group for group in free if parts[group] == 1 or trained > 1), None)
            if movable is not None:
                parts[movable] = 2
        return parts

    def _deal(
        self,
        shares: npt.NDArray[np.float64],
        random: np.random.Generator,
        fixed: Mapping[str, int],
        closed: int | None,
    ) -> npt.NDArray[np.int64]:
        totals = self.counts.sum(axis=0)
        rates = self.counts / totals
        # Rare classes and large groups first: they have the fewest places to go.
        order = np.lexsort((random.random(len(self.groups)), -rates.max(axis=1).round(9)))
        lacking = np.repeat(shares[:, None], len(self.labels), axis=1)
        parts = np.full(len(self.groups), -1, dtype=np.int64)
        for row, group in enumerate(self.groups):
            if group in fixed:
                parts[row] = fixed[group]
                lacking[parts[row]] -= rates[row]
        for row in order:
            if parts[row] >= 0:
                continue
            # Change of the squared distance to the wanted shares when this group joins a part.
            cost = (rates[row] * (rates[row] - 2 * lacking)).sum(axis=1)
            if closed is not None:
                cost[closed] = np.inf
            cost[shares <= 0] = np.inf
            parts[row] = int(cost.argmin())
            lacking[parts[row]] -= rates[row]
        return parts


def _check_fractions(test: float, validation: float) -> None:
    if not 0 < test < 1 or not 0 <= validation < 1 or test + validation >= 1:
        raise DataError(
            f"Expected `split.test` above 0 and `split.test` + `split.validation` below 1, but got {test:g} and {validation:g}; "
            "do leave something to train on"
        )


def _finish(
    samples: Sequence[Sample], parts: Mapping[str, Part], method: str, unit: str, seed: int, forced: bool
) -> Split:
    own = {sample.name: parts[group_of(sample)] for sample in samples}
    for label in sorted({sample.label for sample in samples}):
        members = [sample for sample in samples if sample.label == label]
        found = {own[sample.name] for sample in members}
        # What a later stage decides may leave a class of an earlier one untested, but never untrained.
        if not ({"train"} if forced else {"train", "test"}) <= found:
            groups = len({group_of(sample) for sample in members})
            raise DataError(
                f"Expected class {label!r} to have enough groups to train and to test on, but it has {groups} "
                f"({len(members)} images); do add images or drop the class"
            )
    return _from_parts(own, [], method, unit, seed, ())


def _from_parts(
    parts: Mapping[str, Part],
    left_out: Sequence[str],
    method: str,
    unit: str,
    seed: int,
    notes: tuple[str, ...],
) -> Split:
    lists = {part: tuple(sorted(name for name, own in parts.items() if own == part)) for part in PARTS}
    return Split(**lists, left_out=tuple(sorted(left_out)), method=method, unit=unit, seed=seed, notes=notes)
