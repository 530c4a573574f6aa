"""From settings to what a stage learns from: samples read, labelled, grouped, decoded and split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segmentation.cache import cache_folder
from stages.data.catalogue import DataSet, find_dataset, read_dataset
from stages.data.damaged import leave_out_damaged
from stages.data.images import content_key, load_rgb
from stages.data.rare import settle_rare
from stages.data.sample import Sample
from stages.errors import DataError
from stages.preprocess import Preprocess
from stages.settings import DataSettings, SplitSettings
from stages.splits import methods as splits
from stages.splits.chains import Learned, Place, split_chain, tie_stages
from stages.splits.duplicates import copies_between, group_copies
from stages.splits.origins import locate_crops, stated_origins, tie_crops
from stages.splits.split import Part, Split, check_split, load_split, save_split
from stages.task import Task

__all__ = ["Assembled", "assemble", "make_task", "split_stages"]

LEAKS = "This split leaks: patients, slides and copies of images stand on both sides. Its scores measure the leak and nothing else."
Told = Callable[[str, int, int], None]
"""Called with (what is being done, done, total)."""


@dataclass(frozen=True)
class Assembled:
    """The data of one stage before it is split.

    Attributes:
        dataset: Entry of the catalogue.
        samples: Labelled and grouped.
        classes: Names by index; the last is the positive one where there are two.
        fingerprint: Hash of names, labels, groups and file contents.
        unit: What the groups are, for the report.
        notes: Plain sentences about grouping, for the report.
        rendered: Whether the images are rendered and not of patients.
    """

    dataset: DataSet
    samples: tuple[Sample, ...]
    classes: tuple[str, ...]
    fingerprint: str
    unit: str
    notes: tuple[str, ...]
    rendered: bool

    def labels(self) -> npt.NDArray[np.int64]:
        """Return the class index of every sample, (N,)."""
        index = {name: position for position, name in enumerate(self.classes)}
        return np.array([index[sample.label] for sample in self.samples], dtype=np.int64)


def assemble(settings: DataSettings, near_duplicates: bool, tell: Told | None = None) -> Assembled:
    """Read a data set as a stage wants it.

    Args:
        settings: Which data set, where, and which labels.
        near_duplicates: Group near-duplicate images, so that no split parts them.
        tell: Told about progress.

    Raises:
        DataError: If the data cannot be read, has fewer than two classes, or an image is damaged.
    """
    dataset = find_dataset(settings.dataset)
    if settings.root is None:
        raise DataError(
            f"Expected `data.root` to name the folder of {settings.dataset}, but got none; do give it"
        )
    samples, notes = settle_rare(_relabel(read_dataset(settings.dataset, settings.root), settings), settings)
    fingerprint = content_key(samples)
    if settings.on_bad_file == "leave-out":
        told = _bind(tell, f"{dataset.name}: look for damaged images")
        samples, damaged = leave_out_damaged(samples, fingerprint, told)
        notes, fingerprint = notes + damaged, content_key(samples)
    classes = _classes(samples, dataset, settings)
    unit = dataset.split_unit
    if settings.groups == "ignore":
        samples, unit = [replace(sample, group=None) for sample in samples], f"image ({unit} ignored)"
        notes += (LEAKS,)
    elif near_duplicates:
        samples, report = group_copies(samples, fingerprint, _bind(tell, f"{dataset.name}: decode"))
        notes += report.sentences()
    rendered = (settings.root / "rendered.json").is_file() or (
        settings.root.parent / "rendered.json"
    ).is_file()
    return Assembled(dataset, tuple(samples), classes, fingerprint, unit, notes, rendered)


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
        check_split(split, tied[number].samples, whole_test=number == max(tied))
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
    name, settings = stage.dataset.name, preprocess.settings
    parts = split.part_of()
    where = np.array([parts.get(sample.name, "") for sample in stage.samples])
    rows = {part: np.flatnonzero(where == part) for part in ("train", "validation", "test")}
    trained = [stage.samples[row] for row in rows["train"]]
    preprocess = preprocess.fit(trained, stage.fingerprint, _bind(tell, f"{name}: measure the training part"))
    segment = "" if settings.segment.method == "none" else f", segment by {settings.segment.method}"
    told = _bind(tell, f"{name}: decode at {settings.image_size} px{segment}")
    images = preprocess.store(stage.samples, stage.fingerprint, told)
    return Task(images, stage.labels(), rows, stage.classes, preprocess)


def _file(number: int, stage: Assembled) -> str:
    return f"{number}-{stage.dataset.name}.json"


def _bind(tell: Told | None, what: str) -> Callable[[int, int], None] | None:
    return (lambda done, total: tell(what, done, total)) if tell else None


def _relabel(samples: Sequence[Sample], settings: DataSettings) -> list[Sample]:
    present = sorted({sample.label for sample in samples})
    for option, labels in (
        ("drop", settings.drop),
        ("positive", (settings.positive,) if settings.positive else ()),
    ):
        unknown = [label for label in labels if label not in present]
        if unknown:
            raise DataError(
                f"Expected `data.{option}` to be a label of {settings.dataset}, but got {unknown[0]!r}; do choose from {', '.join(present)}"
            )
    kept = [sample for sample in samples if sample.label not in settings.drop]
    if settings.positive:
        kept = [
            sample if sample.label == settings.positive else replace(sample, label="other") for sample in kept
        ]
    return _thin(kept, settings.limit) if settings.limit else kept


def _thin(samples: Sequence[Sample], limit: int) -> list[Sample]:
    kept: set[int] = set()
    for label in {sample.label for sample in samples}:
        rows = [row for row, sample in enumerate(samples) if sample.label == label]
        kept.update(
            rows[position]
            for position in np.linspace(0, len(rows) - 1, min(limit, len(rows))).round().astype(int)
        )
    return [sample for row, sample in enumerate(samples) if row in kept]


def _classes(samples: Sequence[Sample], dataset: DataSet, settings: DataSettings) -> tuple[str, ...]:
    counts = Counter(sample.label for sample in samples)
    if len(counts) < 2:
        found = f"only {next(iter(counts))!r}" if counts else "no image"
        raise DataError(
            f"Expected {settings.root} to hold two or more classes to learn from, but got {found}; do add the others"
        )
    if settings.positive:
        return ("other", settings.positive)
    known = [name for name in dataset.classes if name in counts]
    return (*known, *sorted(counts.keys() - set(known)))


def _tie(stages: Mapping[int, Assembled], tell: Told | None) -> dict[int, Assembled]:
    tied = dict(stages)
    crops = next((number for number, stage in stages.items() if stage.dataset.name == "all-idb2"), None)
    fields = next((number for number, stage in stages.items() if stage.dataset.name == "all-idb1"), None)
    if crops is None or fields is None:
        return tied
    origins, how = _origins(stages[crops], stages[fields], tell)
    regrouped = tie_crops(stages[crops].samples, stages[fields].samples, origins)
    note = (
        f"{len(origins)} of {len(stages[crops].samples)} crops are tied to the field that they were cut from ({how}); "
        "a crop and its field are never on two sides."
    )
    for number, samples in zip((crops, fields), regrouped, strict=True):
        tied[number] = replace(stages[number], samples=tuple(samples), notes=(*stages[number].notes, note))
    return tied


def _copies_between(stages: Mapping[int, Assembled]) -> list[tuple[Place, Place]]:
    """Return near-duplicates of which each stands in another stage, as (stage, row) twice."""
    pairs: list[tuple[Place, Place]] = []
    for a, b in combinations(sorted(stages), 2):
        first, second = stages[a], stages[b]
        if first.fingerprint == second.fingerprint:
            continue  # the same images by name
        found = copies_between(first.samples, first.fingerprint, second.samples, second.fingerprint)
        pairs += [((a, i), (b, j)) for i, j in found]
    return pairs


def _origins(crops: Assembled, fields: Assembled, tell: Told | None) -> tuple[dict[str, str], str]:
    stated = stated_origins(crops.samples[0].path.parent.parent)
    if stated is not None:
        by_file = {sample.path.name: sample.name for sample in fields.samples}
        pairs = {sample.name: by_file.get(stated.get(sample.path.name, "")) for sample in crops.samples}
        return {crop: field for crop, field in pairs.items() if field}, "stated by crops.csv"
    told = _bind(tell, "tie crops to their fields")
    origins = locate_crops(crops.samples, fields.samples, load_rgb, cache_folder() / "origins", told)
    return {crop: origin.field for crop, origin in origins.items()}, "found by template matching"
