"""Splits across stages: what one stage tests on, no other stage has trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from stages.data.sample import Sample
from stages.errors import DataError
from stages.splits.duplicates import join, regroup
from stages.splits.split import Part, Split, group_of

__all__ = ["Learned", "Place", "check_chain", "split_chain", "tie_stages"]

Place = tuple[int, int]
"""Number of a stage, and row of a sample in it."""


@dataclass(frozen=True)
class Learned:
    """What a network has trained or validated on, in all its stages.

    Attributes:
        parts: `"train"` or `"validation"` by `image KEY` (of the sample) and by `group NAME`.
    """

    parts: Mapping[str, Part] = field(default_factory=dict)

    def after(self, samples: Sequence[Sample], split: Split) -> Learned:
        """Return this and what a further stage learned from."""
        parts = dict(self.parts)
        own = split.part_of()
        for sample in samples:
            part = own.get(sample.name, "test")
            for key in _keys(sample) if part != "test" else ():
                parts[key] = "train" if "train" in (part, parts.get(key)) else part
        return Learned(parts)

    def decide(self, samples: Iterable[Sample]) -> dict[str, Part]:
        """Return the part of every group of `samples` that is known by its name or by one of its images."""
        decided: dict[str, Part] = {}
        for sample in samples:
            found = {self.parts[key] for key in _keys(sample) if key in self.parts}
            if found:
                group = group_of(sample)
                decided[group] = "train" if "train" in {*found, decided.get(group)} else "validation"
        return decided


def _keys(sample: Sample) -> tuple[str, ...]:
    return (*(f"image {one.key}" for one in sample.images), f"group {group_of(sample)}")


def split_chain(
    stages: Mapping[int, Sequence[Sample]],
    target: int,
    make: Callable[[int, Mapping[str, Part] | None], Split],
    learned: Learned | None = None,
) -> dict[int, Split]:
    """Split all stages of a chain so that no group stands in two parts, across stages.

    What stages share is a group of the same name, an image of the same name in the same data set, or a file.

    Args:
        stages: Samples by stage number.
        target: The stage that is split first and decides for the others.
        make: Splits a stage, given the parts of its groups that are decided already.
        learned: What the weights to start from have learned; it stays in its part, and no stage tests on it.

    Raises:
        DataError: If `make` gives a split, such as a saved list, that parts what stages share or tests on what is learned.
    """
    if target not in stages:
        numbers = ", ".join(map(str, sorted(stages)))
        raise DataError(
            f"Expected `target` to be one of the stages {numbers}, but got {target}; do name one of them"
        )
    tied = tie_stages(stages)
    known = (learned or Learned()).decide(sample for samples in tied.values() for sample in samples)
    decided = dict(known)
    splits: dict[int, Split] = {}
    for number in sorted(stages, key=lambda number: (number != target, -number)):
        # A group may bear another name in each stage; the tied samples, in the same order, say which are one.
        pairs = list(zip(stages[number], tied[number], strict=True))
        forced = {group_of(own): decided[group_of(one)] for own, one in pairs if group_of(one) in decided}
        splits[number] = make(number, forced or None)
        parts = splits[number].part_of()
        for own, one in pairs:
            if own.name in parts:
                decided.setdefault(group_of(one), parts[own.name])
    check_chain(splits, tied)
    _check_learned(splits, tied, known)
    return splits


def tie_stages(
    stages: Mapping[int, Sequence[Sample]], same: Sequence[tuple[Place, Place]] = ()
) -> dict[int, list[Sample]]:
    """Return the samples of all stages with one group for what is the same across stages.

    Groups of one name are the same; so are images of one name in one data set (of which stages may see different parts,
    in different near-duplicate clusters) and samples of one file, such as a field and the cells cut out of it.

    Args:
        stages: Samples by stage number.
        same: Further pairs that show the same, such as copies in two data sets.
    """
    everything = [sample for number in sorted(stages) for sample in stages[number]]
    first: dict[object, int] = {}
    pairs: list[tuple[int, int]] = []
    for row, sample in enumerate(everything):
        for one in sample.images:
            for key in (one.key, (one.path, one.frame, "file")):
                pairs.append((first.setdefault(key, row), row))
    begin = {number: sum(len(stages[n]) for n in stages if n < number) for number in stages}
    pairs += [(begin[a] + i, begin[b] + j) for (a, i), (b, j) in same]
    tied = iter(regroup(everything, join(pairs, len(everything))))
    return {number: [next(tied) for _ in stages[number]] for number in sorted(stages)}


def check_chain(splits: Mapping[int, Split], stages: Mapping[int, Sequence[Sample]]) -> None:
    """Refuse splits that put a group in one part of a stage and in another part of another stage.

    Args:
        splits: By stage number.
        stages: Samples by stage number, as `tie_stages` returns them.

    Raises:
        DataError: On the first such group.
    """
    places: dict[str, dict[Part, tuple[int, str]]] = {}
    for number in sorted(splits):
        parts = splits[number].part_of()
        for sample in stages[number]:
            if sample.name in parts:
                places.setdefault(group_of(sample), {}).setdefault(parts[sample.name], (number, sample.name))
    for group, found in sorted(places.items()):
        if len(found) > 1:
            where = " but ".join(
                f"{name!r} of stage {stage} in {part}" for part, (stage, name) in found.items()
            )
            raise DataError(
                f"Expected group {group!r} in one part of all stages, but got {where}: the split leaks; "
                "do give all stages the split lists of one run, or let `mtl` split them all"
            )


def _check_learned(
    splits: Mapping[int, Split], stages: Mapping[int, Sequence[Sample]], known: Mapping[str, Part]
) -> None:
    for number, split in splits.items():
        tested = set(split.test)
        seen = [s.name for s in stages[number] if s.name in tested and group_of(s) in known]
        if seen:
            raise DataError(
                f"Expected stage {number} to test on images that the weights of `--from` have not learned, but got "
                f"{len(seen)} of {len(tested)}, such as {seen[0]!r}: the split leaks; do give back the split lists of that run "
                "(`split.method=files`), or let `mtl` split"
            )
