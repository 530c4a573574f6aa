"""The images of a stage: one data set or several, with their labels mapped to the classes that are learned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stages.data.catalogue import DataSet, find_dataset
from stages.data.sample import Sample
from stages.data_settings import DataSettings, SourceSettings
from stages.errors import DataError

__all__ = [
    "OTHER",
    "SourceSet",
    "class_names",
    "label_note",
    "read_source",
    "read_sources",
    "shorten",
    "source_names",
]

OTHER = "other"
"""The class of everything but `data.positive`."""
_SHOWN = 50


@dataclass(frozen=True)
class SourceSet:
    """One data set of a stage.

    Attributes:
        name: Its own among the sources of the stage.
        dataset: Entry of the catalogue.
        root: Its folder or file.
        rendered: Whether its images are rendered and not of patients.
        unit: What its groups are.
    """

    name: str
    dataset: DataSet
    root: Path
    rendered: bool
    unit: str

    @classmethod
    def of(cls, settings: SourceSettings, name: str) -> SourceSet:
        """Return the source that settings name.

        Raises:
            DataError: If the data set is unknown or its folder is not given.
        """
        dataset = find_dataset(settings.dataset)
        root = settings.root
        if root is None:
            raise DataError(
                f"Expected `data.root` to name the folder of {settings.dataset}, but got none; do give it"
            )
        rendered = any((folder / "rendered.json").is_file() for folder in (root, root.parent))
        return cls(name, dataset, root, rendered, dataset.split_unit)


def source_names(datasets: Sequence[str]) -> tuple[str, ...]:
    """Return a name for every source: its data set, numbered where that comes again.

    Examples:
        >>> source_names(["pbc", "folder", "folder"])
        ('pbc', 'folder', 'folder-2')
    """
    count: Counter[str] = Counter()
    names = []
    for dataset in datasets:
        count[dataset] += 1
        names.append(f"{dataset}-{count[dataset]}" if count[dataset] > 1 else dataset)
    return tuple(names)


def read_sources(settings: DataSettings) -> tuple[list[Sample], tuple[SourceSet, ...]]:
    """Return the labelled samples of all sources, and the sources.

    Of several sources the name of every sample begins with its source; groups of one name are one group, as across stages.

    Raises:
        DataError: If a source cannot be read, or a class is not in every source though it must be.
    """
    each = settings.each()
    names = source_names([one.dataset for one in each])
    sources = tuple(SourceSet.of(one, name) for one, name in zip(each, names, strict=True))
    found = [read_source(one, source, settings.positive) for one, source in zip(each, sources, strict=True)]
    if len(sources) == 1:
        return found[0], sources
    kept = _settle_classes(found, sources, settings.classes)
    return [
        replace(sample, name=f"{source.name}/{sample.name}", source=source.name)
        for source, samples in zip(sources, kept, strict=True)
        for sample in samples
    ], sources


def read_source(settings: SourceSettings, source: SourceSet, positive: str | None = None) -> list[Sample]:
    """Return the samples of one source, renamed, dropped and thinned as its settings say, sorted by name.

    Args:
        settings: Of the source.
        source: The same, found.
        positive: The class that all others stand against, if any.

    Raises:
        DataError: If it cannot be read, or its settings name a label that it lacks.
    """
    samples = source.dataset.read(source.root, settings.labels)
    present = sorted({sample.label for sample in samples})
    _check_labels("drop", settings.drop, present, source)
    _check_labels("rename", tuple(settings.rename), present, source)
    kept = [
        replace(sample, label=settings.rename.get(sample.label, sample.label))
        for sample in samples
        if sample.label not in settings.drop
    ]
    if positive:
        _check_labels("positive", (positive,), sorted({sample.label for sample in kept}), source)
        kept = [sample if sample.label == positive else replace(sample, label=OTHER) for sample in kept]
    return _thin(kept, settings.share, settings.limit)


def class_names(
    samples: Sequence[Sample], sources: Sequence[SourceSet], positive: str | None
) -> tuple[str, ...]:
    """Return the classes in their order: that of the catalogue, others behind by name; the positive one last.

    Raises:
        DataError: If there are fewer than two.
    """
    counts = Counter(sample.label for sample in samples)
    if len(counts) < 2:
        found = f"only {next(iter(counts))!r}" if counts else "no image"
        where = " and ".join(str(source.root) for source in sources)
        raise DataError(
            f"Expected {where} to hold two or more classes to learn from, but got {found}; do add the others"
        )
    if positive:
        return (OTHER, positive)
    order = dict.fromkeys(name for source in sources for name in source.dataset.classes)
    known = [name for name in order if name in counts]
    return (*known, *sorted(counts.keys() - set(known)))


def label_note(settings: SourceSettings, source: SourceSet, classes: Sequence[str]) -> tuple[str, ...]:
    """Return a sentence on what the labels are, where there are several kinds."""
    if not source.dataset.labels:
        return ()
    listed = ", ".join(classes)
    if settings.labels != "fab":
        return (f"Labels of {source.name}: detection, by file name ({listed}); these are no FAB classes.",)
    if len(classes) < 3:
        return (
            f"Labels of {source.name}: {listed}, from fab.csv; two classes are no classification by FAB.",
        )
    return (f"Labels of {source.name}: FAB classes from fab.csv ({listed}).",)


def _check_labels(option: str, labels: Sequence[str], present: Sequence[str], source: SourceSet) -> None:
    unknown = [label for label in labels if label not in present]
    if unknown:
        raise DataError(
            f"Expected `data.{option}` to be a label of {source.name}, but got {unknown[0]!r}; do choose from {', '.join(present)}"
        )


def _settle_classes(
    found: Sequence[list[Sample]], sources: Sequence[SourceSet], classes: str
) -> Sequence[list[Sample]]:
    own = [{sample.label for sample in samples} for samples in found]
    shared, every = set.intersection(*own), set.union(*own)
    if classes == "all" or shared == every:
        return found
    if classes == "shared":
        return [[sample for sample in samples if sample.label in shared] for samples in found]
    lacking = "; ".join(
        f"{source.name} lacks {shorten(sorted(every - labels))}"
        for source, labels in zip(sources, own, strict=True)
        if every - labels
    )
    raise DataError(
        f"Expected every source to hold every class, but {lacking}; do map labels by `rename` or leave them out by `drop` at their "
        "source, or set `data.classes` to shared or all"
    )


def shorten(names: Sequence[str]) -> str:
    """Return names as a list of about 50 characters at most.

    Examples:
        >>> shorten(["a", "b"])
        'a, b'
        >>> shorten(["neutrophil"] * 9)
        'neutrophil, neutrophil, neutrophil, neutrophil and 5 more'
    """
    shown = list(names[:1])
    for name in names[1:]:
        if len(", ".join([*shown, name])) > _SHOWN:
            return f"{', '.join(shown)} and {len(names) - len(shown)} more"
        shown.append(name)
    return ", ".join(shown)


def _thin(samples: list[Sample], share: float, limit: int | None) -> list[Sample]:
    if share == 1 and limit is None:
        return samples
    import numpy as np

    kept: set[int] = set()
    for label in {sample.label for sample in samples}:
        rows = [row for row, sample in enumerate(samples) if sample.label == label]
        count = min(limit or len(rows), max(1, round(share * len(rows))))
        kept.update(rows[place] for place in np.linspace(0, len(rows) - 1, count).round().astype(int))
    return [sample for row, sample in enumerate(samples) if row in kept]
