"""Splits that do not leak: stratified by label, and no group on two sides.

Pure functions of samples and a seed; the order of the samples does not matter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from stages.data.sample import Sample
from stages.errors import DataError
from stages.splits.assignment import GroupTable
from stages.splits.split import PARTS, Part, Split, check_names, group_of

__all__ = ["block_holdout", "holdout", "kfold", "leave_one_source_out", "official"]

_NEEDS = (4, 1, 2)  # of a class with two groups one trains and one is tested


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

    Args:
        samples: What to split.
        test: Fraction of all samples.
        validation: Fraction of all samples; may be 0.
        seed: Of the search.
        unit: What the groups are.
        forced: Part of groups that another stage's split decided.

    Raises:
        DataError: If fractions are impossible or a class has too few groups.
    """
    _check_fractions(test, validation)
    table = GroupTable.of(samples)
    decided = _decided(table, forced)
    if not decided:  # else another stage has dealt, and what is left of a class is judged at the end
        _check_groups(samples, table)
    parts = table.assign((1 - test - validation, validation, test), seed, decided, _NEEDS)
    own = {sample.name: PARTS[parts[group_of(sample)]] for sample in samples}
    return _finish(samples, own, (), "grouped hold-out", unit, seed, (), bool(validation), bool(decided))


def block_holdout(
    samples: Sequence[Sample],
    *,
    test: float = 0.2,
    validation: float = 0.15,
    seed: int = 0,
    unit: str = "image",
    forced: Mapping[str, Part] | None = None,
    reverse: bool = False,
    offset: float = 0.0,
) -> Split:
    """Cut every class of every source along its numbering: the first images train, the next validate, the last test.

    The honest split where neighbouring numbers look alike and no patient is known. Of a group that lies across a border
    the members before it are left out, so training gives way to validation and validation to test.

    Args:
        samples: What to split.
        test: Fraction of every class.
        validation: Fraction of every class; may be 0.
        seed: Only recorded.
        unit: What the groups are.
        forced: Part of groups that another stage's split decided.
        reverse: Count from the last number down, so that the first ones are tested.
        offset: Begin so far along the numbers, from 0 to below 1, and go round: the tested block ends there.

    Raises:
        DataError: If fractions are impossible or a class has too few images.
    """
    _check_fractions(test, validation)
    check_names(samples)
    parts: dict[str, Part] = {}
    by_label: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    for sample in samples:
        by_label[sample.label, sample.source].append(sample)
    for (label, _), members in by_label.items():
        members.sort(key=lambda sample: (sample.order, sample.name), reverse=reverse)
        if len(members) < 2:
            raise _too_few(label, 1, 1)
        begin = _border(offset, len(members))
        members = members[begin:] + members[:begin]
        # However small the class, its first image trains and its last one is tested.
        second = min(max(_border(offset + 1 - test, len(members)) - begin, 1), len(members) - 1)
        first = min(max(round(len(members) * (1 - test - validation)), 1), second)
        for position, sample in enumerate(members):
            cut: Part = "train" if position < first else "validation" if position < second else "test"
            parts[sample.name] = (forced or {}).get(group_of(sample), cut)
    notes = tuple(
        f"Class {label} is not numbered by its source; its block was cut along the file names."
        for (label, _), members in sorted(by_label.items())
        if len({sample.order for sample in members}) == 1
    )
    method = "block hold-out by number" + (", the first numbers tested" if reverse else "")
    method += f", from {offset:.3g} of the way round" if offset else ""
    left, note = _give_way(samples, parts)
    decided = any(group_of(sample) in (forced or {}) for sample in samples)
    return _finish(samples, parts, left, method, unit, seed, notes + note, bool(validation), decided)


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

    What is impossible in one fold is refused in all, so that no series of runs breaks off half way.

    Args:
        samples: What to split.
        folds: How many, 2 or more.
        fold: Which one is tested, from 0.
        validation: Fraction of all samples, taken from the rest; may be 0.
        seed: Decides all folds together.
        unit: What the groups are.
        forced: Part of groups that another stage's split decided; these leave the folds.

    Examples:
        Four slides of two images each, in two folds: no slide is on two sides.

        >>> from pathlib import Path
        >>> images = [Sample(Path("-"), f"{n}", "ab"[n % 2], "x", f"slide {n // 2}") for n in range(8)]
        >>> split = kfold(images, folds=2, fold=0, validation=0.0)
        >>> sorted(len(part) for part in (split.train, split.test))
        [4, 4]

    Raises:
        DataError: If a class has fewer groups than folds, or `fold` is not one of them.
    """
    if folds < 2 or not 0 <= fold < folds:
        raise DataError(
            f"Expected `split.fold` to be from 0 to {folds - 1} of at least 2 folds, but got {fold} of {folds}; do count from 0"
        )
    _check_fractions(1 / folds, validation, "1 / `split.folds`")
    table = GroupTable.of(samples)
    decided = _decided(table, forced)
    free = table.without(decided)
    if not decided:
        _check_folds(samples, table, folds)
    dealt = free.assign([1 / folds] * folds, seed)
    parts = decided | {group: PARTS.index("test") for group, number in dealt.items() if number == fold}
    # The tested groups are fixed; a share of zero keeps everything else out of the test part.
    parts = table.assign((1 - validation - 1 / folds, validation, 0.0), seed + fold + 1, parts, _NEEDS)
    own = {sample.name: PARTS[parts[group_of(sample)]] for sample in samples}
    method = f"fold {fold + 1} of {folds}"
    return _finish(samples, own, (), method, unit, seed, (), bool(validation), bool(decided))


def leave_one_source_out(
    samples: Sequence[Sample],
    *,
    source: str | int,
    validation: float = 0.15,
    seed: int = 0,
    unit: str = "image",
    forced: Mapping[str, Part] | None = None,
) -> Split:
    """Test on one of several sources, whole, and train on the others.

    Images of the others that share a group with it (a copy, a patient) are left out.

    Args:
        samples: Of all sources.
        source: Its name, or its number from 0 in the order in which they are listed.
        validation: Fraction of the other sources' images, stratified by label, whole groups at a time; may be 0.
        seed: Of the validation part.
        unit: What the groups are.
        forced: Part of groups that another stage's split decided.

    Raises:
        DataError: If there is one source alone, none of that name, one that shares no class with the others, or whose images
            another stage or the weights to start from have learned.
    """
    check_names(samples)
    known = list(dict.fromkeys(sample.source for sample in samples))
    if len(known) < 2:
        raise DataError(
            "Expected several sources to leave one out, but got one; do list them in `data.sources`, or choose another `split.method`"
        )
    if isinstance(source, int) and source >= len(known):
        raise DataError(
            f"Expected `split.fold` to number one of {len(known)} sources from 0, but got {source}; do change it"
        )
    name = known[source] if isinstance(source, int) else source
    if name not in known:
        raise DataError(
            f"Expected `split.source` to be one of {', '.join(known)}, but got {name!r}; do choose one"
        )
    tested = [sample for sample in samples if sample.source == name]
    groups = {group_of(sample) for sample in tested}
    rest = [sample for sample in samples if sample.source != name and group_of(sample) not in groups]
    if not {sample.label for sample in tested} & {sample.label for sample in rest}:
        raise DataError(
            f"Expected source {name!r} to share a class with the others, but it shares none; do map its labels with `rename`"
        )
    decided = forced or {}
    learned = sum(decided.get(group_of(sample), "test") != "test" for sample in tested)
    if learned:
        raise DataError(
            f"Expected source {name!r} to be free to be tested on whole, but another stage or `--from` learns from {learned} of its "
            f"{len(tested)} images; do leave another source out"
        )
    kept = [sample for sample in rest if decided.get(group_of(sample)) != "test"]
    table = GroupTable.of(kept)
    parts = table.assign((1 - validation, validation, 0.0), seed, _decided(table, forced), _NEEDS)
    own: dict[str, Part] = {sample.name: PARTS[parts[group_of(sample)]] for sample in kept}
    own |= {sample.name: "test" for sample in tested}
    left = [sample.name for sample in samples if sample.name not in own]
    notes = (
        (f"{len(left)} images of the other sources were left out because their group is tested on.",)
        if left
        else ()
    )
    return _finish(
        samples, own, left, f"source {name} left out", unit, seed, notes, bool(validation), decided=True
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

    Sources do leak: of a group in two parts the members in the earlier one are left out, and a note says how many.

    Raises:
        DataError: If the source assigns no parts, or none of that name, or one is to be tested and validated on.
    """
    check_names(samples)
    known = {sample.part for sample in samples if sample.part}
    found = ", ".join(sorted(known)) or "none"
    wrong = next((part for part in (*test_parts, *validation_parts) if part not in known), None)
    if wrong is not None or not test_parts:
        raise DataError(
            f"Expected `split.test_parts` to name parts of the source ({found}), but got {wrong or 'nothing'!r}; do choose one"
        )
    both = sorted(set(test_parts) & set(validation_parts))
    if both:
        raise DataError(
            f"Expected `split.test_parts` and `split.validation_parts` to differ, but both name {both[0]!r}; do take it out of one"
        )
    parts: dict[str, Part] = {}
    for sample in samples:
        validates: Part = "validation" if sample.part in validation_parts else "train"
        own: Part = "test" if sample.part in test_parts else validates
        parts[sample.name] = (forced or {}).get(group_of(sample), own)
    left, notes = _give_way(samples, parts)
    unnamed = sum(sample.part is None for sample in samples)
    if unnamed:
        notes = (f"{unnamed} images are in no part of the source and train.", *notes)
    decided = any(group_of(sample) in (forced or {}) for sample in samples)
    return _finish(
        samples, parts, left, "the source's own parts", unit, seed, notes, bool(validation_parts), decided
    )


def _border(place: float, count: int) -> int:
    """Return the number of images before a place along `count` of them; blocks that meet at a place share the number."""
    rounds, rest = divmod(round(place, 12), 1)
    return int(rounds) * count + round(round(rest * count, 9))


def _decided(table: GroupTable, forced: Mapping[str, Part] | None) -> dict[str, int]:
    own = set(table.groups)
    return {group: PARTS.index(part) for group, part in (forced or {}).items() if group in own}


def _check_fractions(test: float, validation: float, name: str = "`split.test`") -> None:
    if not 0 < test < 1 or not 0 <= validation < 1 or test + validation >= 1 - 1e-9:
        raise DataError(
            f"Expected {name} above 0, and together with `split.validation` below 1, but got {test:g} and {validation:g}; "
            "do leave something to train on"
        )


def _too_few(label: str, groups: int, images: int) -> DataError:
    return DataError(
        f"Expected class {label!r} to have enough groups to train and to test on, but it has {groups} ({images} images); "
        "do add images, or set `data.rare` to drop or merge"
    )


def _check_groups(samples: Sequence[Sample], table: GroupTable) -> None:
    for label, groups in table.holding().items():
        if groups < 2:
            raise _too_few(label, groups, sum(sample.label == label for sample in samples))


def _check_folds(samples: Sequence[Sample], table: GroupTable, folds: int) -> None:
    for label, groups in table.holding().items():
        if groups < folds:
            images = sum(sample.label == label for sample in samples)
            way = f"ask for {groups} folds or fewer" if groups > 1 else "add images"
            raise DataError(
                f"Expected class {label!r} to have a group for each of `split.folds` = {folds}, but it has {groups} "
                f"({images} images); do {way}, or set `data.rare` to drop or merge and `data.least_groups` to {folds}"
            )


def _give_way(samples: Sequence[Sample], parts: dict[str, Part]) -> tuple[list[str], tuple[str, ...]]:
    """Take out of `parts` the members of a group that lie in an earlier part than its last; return them and a note."""
    latest: dict[str, int] = {}
    for sample in samples:
        group = group_of(sample)
        latest[group] = max(latest.get(group, 0), PARTS.index(parts[sample.name]))
    left = [sample.name for sample in samples if PARTS.index(parts[sample.name]) < latest[group_of(sample)]]
    for name in left:
        del parts[name]
    if not left:
        return left, ()
    return left, (
        f"{len(left)} images were left out because a near-duplicate or a member of their group lies in a later part.",
    )


def _finish(
    samples: Sequence[Sample],
    parts: Mapping[str, Part],
    left_out: Sequence[str],
    method: str,
    unit: str,
    seed: int,
    notes: tuple[str, ...],
    validates: bool,
    decided: bool,
) -> Split:
    """Return the split, unless a class is absent from a part that was asked for."""
    labels: dict[Part, set[str]] = {part: set() for part in PARTS}
    for sample in samples:
        if sample.name in parts:
            labels[parts[sample.name]].add(sample.label)
    for label in sorted({sample.label for sample in samples}):
        missing = [
            part for part in PARTS if label not in labels[part] and (validates or part != "validation")
        ]
        # What a later stage decides may leave a class of an earlier one untested, but never untrained.
        fatal = next((part for part in missing if part == "train" or (part == "test" and not decided)), None)
        if fatal:
            raise _absent(samples, label, fatal, len(left_out), decided)
        notes += tuple(f"Class {label} is absent from the {part} part." for part in missing)
    lists = {part: tuple(sorted(name for name, own in parts.items() if own == part)) for part in PARTS}
    return Split(**lists, left_out=tuple(sorted(left_out)), method=method, unit=unit, seed=seed, notes=notes)


def _absent(samples: Sequence[Sample], label: str, part: Part, left_out: int, decided: bool) -> DataError:
    members = [sample for sample in samples if sample.label == label]
    groups = len({group_of(sample) for sample in members})
    why = f", and {left_out} images gave way to members of their groups" if left_out else ""
    why += ", and another stage's split decided some of them" if decided else ""
    return DataError(
        f"Expected class {label!r} in the {part} part, but it is absent: it has {groups} groups ({len(members)} images){why}; "
        f"do add images, set `data.rare` to drop or merge and `data.least_groups` to {groups + 1}, or change the split"
    )
