"""Data sets from elsewhere: labels mapped to a stage's classes, and nothing in them that the stage has learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stages.assemble import Assembled, Told
from stages.bag_settings import FIELD, PATIENT, Unit
from stages.data.damaged import leave_out_damaged
from stages.data.images import content_key
from stages.data.patients import join_patients, single_images
from stages.data.sample import Sample
from stages.data.sources import OTHER, SourceSet, label_note, read_source, shorten
from stages.data.store import open_store
from stages.data_settings import ExternalSettings
from stages.errors import DataError
from stages.splits.chains import Learned
from stages.splits.duplicates import THUMBNAIL, copies_between, group_copies
from stages.splits.split import Split, group_of

__all__ = ["External", "Trained", "assemble_external"]


@dataclass(frozen=True)
class Trained:
    """What a chain has learned from, in all its stages.

    Attributes:
        stages: Their data, by number.
        splits: Of the stages.
        learned: What the weights to start from have learned.
    """

    stages: Mapping[int, Assembled]
    splits: Mapping[int, Split]
    learned: Learned

    def names(self, number: int) -> set[str]:
        """Return the samples of a stage that it trains or validates on."""
        split = self.splits[number]
        return {*split.train, *split.validation}

    def knows(self, samples: Sequence[Sample]) -> list[bool]:
        """Say of every sample whether it, or another image of its group, was learned from, by name."""
        learned = self.learned
        groups: set[str] = set()
        for number, stage in self.stages.items():
            learned = learned.after(stage.samples, self.splits[number])
            names = self.names(number)
            groups |= {group for name, group in stage.stated.items() if name in names}
        return [sample.group in groups or bool(learned.decide([sample])) for sample in samples]


@dataclass(frozen=True)
class External:
    """A data set that a stage is scored on.

    Attributes:
        source: The data set.
        samples: Labelled by the stage's classes, grouped.
        fingerprint: Hash of names, labels, groups and file contents.
        notes: Plain sentences for the report.
    """

    source: SourceSet
    samples: tuple[Sample, ...]
    fingerprint: str
    notes: tuple[str, ...]


def assemble_external(
    settings: ExternalSettings,
    name: str,
    number: int,
    classes: tuple[str, ...],
    trained: Trained,
    positive: str | None = None,
    tell: Told | None = None,
    key: str = "tests.0",
    unit: Unit = FIELD,
) -> External:
    """Read a data set from elsewhere as a stage's test.

    An image is known when the chain has trained or validated on it, on its group, or on an identical picture: such a data set
    is refused, or the images are left out, as its settings say. Near-duplicates of what was trained on are left out.

    Args:
        settings: Which data set, and how its labels are mapped.
        name: Its own among the tests.
        number: Of the stage.
        classes: Of the stage.
        trained: What the chains learn from.
        positive: The stage's class that all others stand against, if any.
        tell: Told about progress.
        key: Of the settings, for errors.
        unit: What the stage answers for.

    Raises:
        DataError: If it cannot be read, holds labels that are no class of the stage, or images that were trained on; see
            `join_patients` where patients are answered for.
    """
    source = SourceSet.of(settings, name)
    samples = read_source(settings, source, positive)
    _check_classes(samples, name, number, classes, positive, key)
    damaged: tuple[str, ...] = ()
    fingerprint = content_key(samples)
    if settings.on_bad_file == "leave-out":
        samples, damaged = leave_out_damaged(samples, fingerprint)
        fingerprint = content_key(samples)
    known = trained.knows(samples)
    told = (lambda done, total: tell(f"{name}: decode", done, total)) if tell else None
    grouped, report = group_copies(samples, fingerprint, told)
    same, near = _copies(samples, fingerprint, trained)
    seen = {row for row, is_known in enumerate(known) if is_known} | same
    if seen and settings.seen == "stop":
        raise DataError(
            f"Expected `--test` {name} to hold images that nothing was trained on, but {len(seen)} of {len(samples)} (or their patients) "
            f"were, such as {samples[min(seen)].name!r}; do give others, or leave them out with `--set {key}.seen=leave-out`"
        )
    near = _whole_groups(grouped, near | seen) - seen
    kept = tuple(sample for row, sample in enumerate(grouped) if row not in near | seen)
    absent = [one for one in classes if one not in {sample.label for sample in kept}]
    if len(absent) > len(classes) - 2:
        raise DataError(
            f"Expected `--test` {name} to hold two or more classes, but {len(kept)} of {len(samples)} images are left and lack "
            f"{shorten(absent)}; do give another data set, or map its labels with `{key}.rename`"
        )
    notes = [
        *label_note(settings, source, sorted({sample.label for sample in kept})),
        f"{len(near)} of {len(samples)} images were left out as near-duplicates of what was trained or validated on"
        + (f", and {len(seen)} as trained on themselves." if seen else "."),
        *damaged,
        *report.sentences()[1:],
    ]
    if absent:
        notes.append(f"No image is of class {shorten(absent)}: macro scores average over the others.")
    if unit == PATIENT:
        stated = {sample.name: sample.group for sample in samples if sample.group is not None}
        kept = tuple(join_patients(kept, stated))
    return External(source, kept, content_key(kept), tuple(notes))


def _check_classes(
    samples: Sequence[Sample],
    name: str,
    number: int,
    classes: Sequence[str],
    positive: str | None,
    key: str,
) -> None:
    unknown = sorted({sample.label for sample in samples} - {*classes, *((OTHER,) if positive else ())})
    if unknown:
        drop = ",".join(unknown) if len(",".join(unknown)) < 50 else "..."
        raise DataError(
            f"Expected `--test` {name} to hold classes of stage {number} ({shorten(classes)}), but it holds {shorten(unknown)}; do "
            f"leave them out (`--set '{key}.drop=[{drop}]'`) or map them (`{key}.rename={{{unknown[0]}: {classes[0]}}}`)"
        )


def _copies(samples: Sequence[Sample], fingerprint: str, trained: Trained) -> tuple[set[int], set[int]]:
    """Return rows of which an identical picture was learned from, and rows of other near-duplicates."""
    same: set[int] = set()
    near: set[int] = set()
    pictures = open_store(samples, fingerprint, THUMBNAIL)
    for number, stage in trained.stages.items():
        names = trained.names(number)
        images, rows, key = single_images(stage.samples, stage.fingerprint)
        pairs = copies_between(images, key, samples, fingerprint)
        own = open_store(images, key, THUMBNAIL)
        for i, j in pairs:
            if stage.samples[rows[i]].name in names:
                (same if np.array_equal(own[i], pictures[j]) else near).add(j)
    return same, near - same


def _whole_groups(samples: Sequence[Sample], rows: set[int]) -> set[int]:
    groups = {group_of(samples[row]) for row in rows}
    return {row for row, sample in enumerate(samples) if group_of(sample) in groups}
