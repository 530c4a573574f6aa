"""From settings to what a stage learns from: samples read, labelled, grouped, decoded and split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segmentation.cache import cache_folder
from stages.bag_settings import FIELD, PATIENT, Unit
from stages.data.damaged import leave_out_damaged
from stages.data.images import content_key, load_rgb
from stages.data.patients import join_patients, single_images
from stages.data.rare import settle_rare
from stages.data.sample import Sample
from stages.data.sources import SourceSet, class_names, label_note, read_sources
from stages.data_settings import DataSettings
from stages.preprocess import Preprocess
from stages.settings import SplitSettings
from stages.splits import methods as splits
from stages.splits.chains import Learned, Place, split_chain, tie_stages
from stages.splits.duplicates import copies_between, group_copies
from stages.splits.origins import locate_crops, stated_origins, tie_crops
from stages.splits.split import Part, Split, check_split, group_of, load_split, save_split
from stages.task import Task

__all__ = ["Assembled", "Told", "assemble", "make_task", "split_stages"]

LEAKS = "This split leaks: patients, slides and copies of images stand on both sides. Its scores measure the leak and nothing else."
Told = Callable[[str, int, int], None]
"""Called with (what is being done, done, total)."""


@dataclass(frozen=True)
class Assembled:
    """The data of one stage before it is split.

    Attributes:
        sources: Data sets that it is made of.
        samples: Labelled and grouped.
        classes: Names by index; the last is the positive one where there are two.
        fingerprint: Hash of names, labels, groups and file contents.
        unit: What the groups are, for the report.
        notes: Plain sentences about labels and grouping, for the report.
        stated: Group of a sample as its source names it, by the sample's name.
    """

    sources: tuple[SourceSet, ...]
    samples: tuple[Sample, ...]
    classes: tuple[str, ...]
    fingerprint: str
    unit: str
    notes: tuple[str, ...]
    stated: Mapping[str, str]

    @property
    def name(self) -> str:
        """Of its sources together."""
        return "+".join(source.name for source in self.sources)

    @property
    def rendered(self) -> bool:
        """Whether images are rendered and not of patients."""
        return any(source.rendered for source in self.sources)

    def labels(self) -> npt.NDArray[np.int64]:
        """Return the class index of every sample, (N,)."""
        index = {name: position for position, name in enumerate(self.classes)}
        return np.array([index[sample.label] for sample in self.samples], dtype=np.int64)


def assemble(
    settings: DataSettings, near_duplicates: bool, tell: Told | None = None, unit: Unit = FIELD
) -> Assembled:
    """Read the data of a stage.

    Args:
        settings: Which data sets, where, and which labels.
        near_duplicates: Group near-duplicate images, so that no split parts them.
        tell: Told about progress.
        unit: What is answered for: of patients there is one sample each.

    Raises:
        DataError: If the data cannot be read, has fewer than two classes, or an image is damaged; if patients are asked for and
            not every image has one, or one has images of several labels.
    """
    samples, sources = read_sources(settings)
    stated = {sample.name: sample.group for sample in samples if sample.group is not None}
    samples, notes = settle_rare(samples, settings)
    name = "+".join(source.name for source in sources)
    fingerprint = content_key(samples)
    if settings.on_bad_file == "leave-out":
        told = _bind(tell, f"{name}: look for damaged images")
        samples, damaged = leave_out_damaged(samples, fingerprint, told)
        notes, fingerprint = notes + damaged, content_key(samples)
    classes = class_names(samples, sources, settings.positive)
    for one, source in zip(settings.each(), sources, strict=True):
        notes += label_note(one, source, classes)
    if settings.groups == "ignore":
        samples = [replace(sample, group=None) for sample in samples]
        sources = tuple(replace(source, unit=f"image ({source.unit} ignored)") for source in sources)
        notes += (LEAKS,)
    elif near_duplicates:
        samples, report = group_copies(samples, fingerprint, _bind(tell, f"{name}: decode"))
        notes += (*report.sentences(), *_across(samples))
    if unit == PATIENT:
        samples = join_patients(samples, stated)
        stated = {sample.name: stated[sample.members[0].name] for sample in samples}
        fingerprint = content_key(samples)
    units = [f"{source.name}: {source.unit}" if len(sources) > 1 else source.unit for source in sources]
    return Assembled(sources, tuple(samples), classes, fingerprint, "; ".join(units), notes, stated)


def _across(samples: Sequence[Sample]) -> tuple[str, ...]:
    found: dict[str, set[str]] = {}
    for sample in samples:
        found.setdefault(group_of(sample), set()).add(sample.source)
    count = sum(len(sources) > 1 for sources in found.values())
    if not any(sample.source for sample in samples):
        return ()
    return (
        f"{count or 'No'} groups hold images of several sources: the same pictures, or groups of one name.",
    )


def split_stages(
    stages: Mapping[int, Assembled],
    settings: Mapping[int, SplitSettings],
    seed: int,
    folder: Path,
    tell: Told | None = None,
    learned: Learned | None = None,
) -> tuple[dict[int, Assembled], dict[int, Split]]:
    """Split all stages of a chain so that no group is trained on in one and tested on in another.

    The last stage is split first; what it tests on is kept out of the training parts of the earlier ones. Crops are tied
    to the fields that they were cut from.

    Args:
        stages: Assembled data by stage number.
        settings: How each is split.
        seed: Of the splits.
        folder: Where split lists are saved, `NUMBER-NAME.json`.
        tell: Told about progress.
        learned: What the weights to start from have learned; it is not tested on.

    Returns:
        The stages, crops tied to fields, and their splits.

    Raises:
        DataError: If a split is impossible or would leak.
    """
    tied = _tie(stages, tell)
    searched = {number: stage for number, stage in tied.items() if settings[number].near_duplicates}
    shared = tie_stages({number: stage.samples for number, stage in tied.items()}, _copies_between(searched))
    tied = {number: replace(stage, samples=tuple(shared[number])) for number, stage in tied.items()}

    def make(number: int, forced: Mapping[str, Part] | None) -> Split:
        stage = tied[number]
        return make_split(stage.samples, settings[number], seed, stage.unit, forced, _file(number, stage))

    chosen = split_chain({number: stage.samples for number, stage in tied.items()}, max(tied), make, learned)
    for number, split in chosen.items():
        whole = number == max(tied) and settings[number].method != "leave-one-source-out"
        check_split(split, tied[number].samples, whole_test=whole)
        save_split(split, folder / _file(number, tied[number]))
    return tied, chosen


def make_split(
    samples: Sequence[Sample],
    settings: SplitSettings,
    seed: int,
    unit: str,
    forced: Mapping[str, Part] | None,
    file: str,
) -> Split:
    """Split one stage as its settings say.

    Args:
        samples: Of the stage.
        settings: Method and fractions.
        seed: Of the split.
        unit: What the groups are.
        forced: Parts of groups that another stage decided.
        file: Name of the saved list that method `files` gives back.

    Raises:
        DataError: If the split is impossible.
    """
    if settings.method == "files":
        return load_split((settings.folder or Path()) / file)
    if settings.method == "official":
        return splits.official(
            samples,
            test_parts=settings.test_parts,
            validation_parts=settings.validation_parts,
            unit=unit,
            forced=forced,
        )
    if settings.method == "leave-one-source-out":
        return splits.leave_one_source_out(
            samples,
            source=settings.source or settings.fold,
            validation=settings.validation,
            seed=seed,
            unit=unit,
            forced=forced,
        )
    if settings.method == "kfold":
        return splits.kfold(
            samples,
            folds=settings.folds,
            fold=settings.fold,
            validation=settings.validation,
            seed=seed,
            unit=unit,
            forced=forced,
        )
    shares: dict[str, Any] = {
        "test": settings.test,
        "validation": settings.validation,
        "seed": seed,
        "unit": unit,
        "forced": forced,
    }
    if settings.method == "block":
        return splits.block_holdout(samples, reverse=settings.reverse, offset=settings.offset, **shares)
    return splits.holdout(samples, **shares)


def make_task(stage: Assembled, split: Split, preprocess: Preprocess, tell: Told | None = None) -> Task:
    """Fit the preprocessing on the training part, decode a stage's images into the store and hand out its parts.

    Args:
        stage: Assembled data.
        split: Which image is in which part.
        preprocess: What every image goes through.
        tell: Told about progress.

    Raises:
        DataError: If images cannot be read or segmented, or the store cannot be written.
    """
    name, settings = stage.name, preprocess.settings
    parts = split.part_of()
    where = np.array([parts.get(sample.name, "") for sample in stage.samples])
    rows = {part: np.flatnonzero(where == part) for part in ("train", "validation", "test")}
    trained = [stage.samples[row] for row in rows["train"]]
    preprocess = preprocess.fit(trained, stage.fingerprint, _bind(tell, f"{name}: measure the training part"))
    segment = "" if settings.segment.method == "none" else f", segment by {settings.segment.method}"
    told = _bind(tell, f"{name}: decode at {settings.image_size} px{segment}")
    images = preprocess.store(stage.samples, stage.fingerprint, told)
    _, groups = np.unique([group_of(sample) for sample in stage.samples], return_inverse=True)
    return Task(images, stage.labels(), rows, stage.classes, preprocess, groups.astype(np.int64))


def _file(number: int, stage: Assembled) -> str:
    return f"{number}-{stage.name}.json"


def _bind(tell: Told | None, what: str) -> Callable[[int, int], None] | None:
    return (lambda done, total: tell(what, done, total)) if tell else None


def _tie(stages: Mapping[int, Assembled], tell: Told | None) -> dict[int, Assembled]:
    places = {
        dataset: [
            (number, row, image)
            for number, stage in stages.items()
            for row, sample in enumerate(stage.samples)
            if sample.dataset == dataset
            for image in sample.images
        ]
        for dataset in ("all-idb2", "all-idb1")
    }
    crops, fields = ([image for *_, image in own] for own in places.values())
    if not crops or not fields:
        return dict(stages)
    origins, how = _origins(crops, fields, tell)
    note = (
        f"{len(origins)} of {len(crops)} crops are tied to the field that they were cut from ({how}); "
        "a crop and its field are never on two sides."
    )
    changed = {number: list(stage.samples) for number, stage in stages.items()}
    for own, samples in zip(places.values(), tie_crops(crops, fields, origins), strict=True):
        for (number, row, _), sample in zip(own, samples, strict=True):
            changed[number][row] = replace(changed[number][row], group=sample.group)
    told = {number for own in places.values() for number, *_ in own}
    return {
        number: replace(stage, samples=tuple(changed[number]), notes=(*stage.notes, note))
        if number in told
        else stage
        for number, stage in stages.items()
    }


def _copies_between(stages: Mapping[int, Assembled]) -> list[tuple[Place, Place]]:
    """Return near-duplicates of which each stands in another stage, as (stage, row) twice."""
    pairs: list[tuple[Place, Place]] = []
    for a, b in combinations(sorted(stages), 2):
        first, second = stages[a], stages[b]
        if first.fingerprint == second.fingerprint:
            continue  # the same images by name
        (images, rows, key), (others, places, other) = (
            single_images(stage.samples, stage.fingerprint) for stage in (first, second)
        )
        pairs += [((a, rows[i]), (b, places[j])) for i, j in copies_between(images, key, others, other)]
    return pairs


def _origins(
    crops: Sequence[Sample], fields: Sequence[Sample], tell: Told | None
) -> tuple[dict[str, str], str]:
    stated = stated_origins(crops[0].path.parent.parent)
    if stated is not None:
        by_file = {sample.path.name: sample.name for sample in fields}
        pairs = {sample.name: by_file.get(stated.get(sample.path.name, "")) for sample in crops}
        return {crop: field for crop, field in pairs.items() if field}, "stated by crops.csv"
    told = _bind(tell, "tie crops to their fields")
    origins = locate_crops(crops, fields, load_rgb, cache_folder() / "origins", told)
    return {crop: origin.field for crop, origin in origins.items()}, "found by template matching"
