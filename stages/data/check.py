"""Look at every file of a data set and say all that is wrong with it at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stages.data.catalogue import find_dataset
from stages.data.problems import BadFileError, Problem, Scan, show
from stages.data.sample import Sample

__all__ = ["CheckReport", "Problem", "Sizes", "check_dataset", "show"]

_WORKERS = 4
_FAR = 2.0  # a side so many times larger or smaller than the median is worth a note


@dataclass(frozen=True, slots=True)
class Sizes:
    """Widths and heights of the images in px, as (smallest, median, largest)."""

    width: tuple[int, int, int]
    height: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `check_dataset` found.

    Attributes:
        dataset: Name in the catalogue.
        root: The folder or file that was looked at.
        counts: Samples a class, in the order of the catalogue.
        expected: Samples a class in the full set; empty where unknown.
        parts: Samples of each part that the source itself assigns.
        groups: How many groups there are, or None where the data names none.
        split_unit: What a split may keep apart.
        masks: Samples with a mask.
        sizes: Summary of the sizes of readable images, or None without one.
        problems: What must be mended before use.
        notes: What is odd and does not hinder: boxes the reader put right, odd sizes, missing classes.
    """

    dataset: str
    root: Path
    counts: Mapping[str, int]
    expected: Mapping[str, int]
    parts: Mapping[str, int]
    groups: int | None
    split_unit: str
    masks: int
    sizes: Sizes | None
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing must be mended."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values for JSON."""
        plain = {name: getattr(self, name) for name in ("dataset", "groups", "split_unit", "masks", "ok")}
        plain |= {name: dict(getattr(self, name)) for name in ("counts", "expected", "parts")}
        plain |= {name: [asdict(item) for item in getattr(self, name)] for name in ("problems", "notes")}
        return plain | {"root": show(self.root), "sizes": asdict(self.sizes) if self.sizes else None}


def check_dataset(
    name: str, root: Path, progress: Callable[[int, int], None] | None = None, labels: str | None = None
) -> CheckReport:
    """Read the tree, decode every image and mask, and report.

    Args:
        name: Name in the catalogue.
        root: Its folder (or file).
        progress: Called with (files done, files in all).
        labels: Which kind, where the data set has several; the first if None.

    Returns:
        The report.

    Raises:
        DataError: If the name is unknown, or `root` is not there or not of the layout: there is nothing to list.
    """
    dataset = find_dataset(name)
    try:
        scan = dataset.scan(root, labels)
    except BadFileError as error:
        if error.problem.path == show(root):
            raise
        scan = Scan(problems=[error.problem])
    samples, problems, notes = scan.samples, list(scan.problems), list(scan.notes)
    counts = _counts(samples, dataset.classes)
    problems += _repeats(samples)
    if not samples and not problems:
        problems.append(Problem(show(root), f"a `{name}` data set", "no images", "check the path"))
    if len(counts) == 1 and len(dataset.classes) != 1:
        got = f"`{show(next(iter(counts)))}` alone"
        notes.append(
            Problem(show(root), "a set of two or more classes", got, "add the others before training")
        )
    sizes: dict[Path, tuple[int, int]] = {}
    for path, seen in _inspect_all(samples, progress):
        problems += seen.problems
        notes += seen.notes
        if seen.size is not None:
            sizes[path] = seen.size
    summary = _summary(list(sizes.values()))
    if summary is not None:
        notes += _odd_sizes(sizes, summary)
    return CheckReport(
        dataset=name,
        root=root,
        counts=counts,
        expected=dataset.expected if scan.expected is None else scan.expected,
        parts=dict(sorted(Counter(sample.part for sample in samples if sample.part).items())),
        groups=len({sample.group for sample in samples if sample.group}) or None,
        split_unit=dataset.split_unit,
        masks=sum(sample.mask is not None for sample in samples),
        sizes=summary,
        problems=tuple(problems),
        notes=tuple(notes),
    )


def _counts(samples: Sequence[Sample], classes: tuple[str, ...]) -> dict[str, int]:
    counts = Counter(sample.label for sample in samples)
    known = [label for label in classes if label in counts]
    return {label: counts[label] for label in (*known, *sorted(counts.keys() - set(known)))}


def _repeats(samples: Sequence[Sample]) -> list[Problem]:
    counts = Counter(sample.name for sample in samples)
    return [
        Problem(show(name), "listed once", f"{count} times", "remove the others")
        for name, count in counts.items()
        if count > 1
    ]


@dataclass(slots=True)
class _Seen:
    """Size (width, height) of a file, if it can be read, and what is wrong or odd about it and what belongs to it."""

    size: tuple[int, int] | None = None
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)


def _inspect_all(
    samples: Sequence[Sample], progress: Callable[[int, int], None] | None
) -> Iterator[tuple[Path, _Seen]]:
    """Yield (file, what was seen in it) for every image; a file of many samples is read once."""
    files = {sample.path: sample for sample in samples}
    with ThreadPoolExecutor(_WORKERS) as pool:
        for done, found in enumerate(zip(files, pool.map(_inspect, files.values()), strict=True), 1):
            yield found
            if progress is not None:
                progress(done, len(files))


def _inspect(sample: Sample) -> _Seen:
    from stages.data.centroids import check_centroids
    from stages.data.images import decode_rgb, load_mask
    from stages.data.npz import read_frame

    seen = _Seen()
    try:
        pixels = decode_rgb(sample.path) if sample.frame is None else read_frame(sample.path, sample.frame)
        seen.size = (pixels.shape[1], pixels.shape[0])
        if sample.mask is not None:
            load_mask(sample.mask, (pixels.shape[0], pixels.shape[1]))
        note = check_centroids(sample.path, pixels) if sample.dataset == "all-idb1" else None
        seen.notes += [note] if note else []
    except BadFileError as error:
        seen.problems.append(error.problem)
    return seen


def _summary(sizes: Sequence[tuple[int, int]]) -> Sizes | None:
    if not sizes:
        return None
    widths, heights = (sorted(values) for values in zip(*sizes, strict=True))
    middle = len(sizes) // 2
    return Sizes((widths[0], widths[middle], widths[-1]), (heights[0], heights[middle], heights[-1]))


def _odd_sizes(sizes: Mapping[Path, tuple[int, int]], summary: Sizes) -> list[Problem]:
    """Return a note for every image whose side is far from the median."""
    usual = (summary.width[1], summary.height[1])
    notes = []
    for path, size in sizes.items():
        ratios = [max(side / common, common / side) for side, common in zip(size, usual, strict=True)]
        if max(ratios) > _FAR:
            expected, got = f"about {usual[0]}x{usual[1]} px as most are", f"{size[0]}x{size[1]} px"
            notes.append(Problem(show(path), expected, got, "look at it"))
    return notes
