"""The record of a data set: where it comes from, what its labels mean, how to read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from stages.data.problems import BadFileError, Problem, Scan, show
from stages.data.sample import Sample
from stages.errors import DataError

__all__ = ["DataSet", "Download"]


@dataclass(frozen=True, slots=True)
class Download:
    """A file that may be fetched without asking anybody.

    Attributes:
        variant: What tells it from its siblings, such as the image size.
        url: Where it lies.
        checksum: `sha256:...` or `md5:...`, never a guess: as published by the source.
        file: Name to store it under.
        checksum_source: Where the checksum was published.
        unpack: Whether it is a zip archive to unpack.
    """

    variant: str
    url: str
    checksum: str
    file: str
    checksum_source: str
    unpack: bool = False


@dataclass(frozen=True)
class DataSet:
    """A data set that `mtl` can read.

    Attributes:
        name: What the user types.
        title: What it is called in full.
        kind: Whether an image shows one cell or a field of many.
        classes: Class names in their fixed order; empty where they are found in the data.
        source: Official page.
        licence: Terms, in short.
        citation: What to cite.
        expected: Images a class in the full set; empty where unknown.
        label_rule: How an image gets its label.
        group_rule: How an image gets its group.
        split_unit: What a split may keep apart: `"patient"`, `"image (no patient ids)"`, ...
        obtain: How to get it by hand, one or two sentences.
        layout: The tree that the reader expects.
        reader: Finds samples and problems under a root; told which labels, where there are several kinds.
        labels: Kinds of labels to choose from, the one that needs no further file first; empty where there is one kind.
        downloads: Files that may be fetched; empty where the terms or a missing checksum forbid it.
    """

    name: str
    title: str
    kind: Literal["single-cell", "multi-cell"]
    classes: tuple[str, ...]
    source: str
    licence: str
    citation: str
    label_rule: str
    group_rule: str
    split_unit: str
    obtain: str
    layout: str
    reader: Callable[..., Scan] = field(repr=False)
    expected: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    downloads: tuple[Download, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def downloadable(self) -> tuple[Download, ...] | None:
        """The files that `mtl data get` fetches, or None."""
        return self.downloads or None

    def scan(self, root: Path, labels: str | None = None) -> Scan:
        """Return the samples under `root` and what is wrong with them, for `mtl data check`.

        Args:
            root: Its folder or file.
            labels: Which kind; the first if None.

        Raises:
            DataError: If the tree is not there or not of the layout, so that nothing can be said about its files; if there are
                no such labels.
        """
        if labels is not None and labels not in self.labels:
            known = f"one of {', '.join(self.labels)}" if self.labels else f"left out for {self.name}"
            raise DataError(f"Expected `labels` to be {known}, but got {labels!r}; do change it")
        try:
            return self.reader(root, labels or self.labels[0]) if self.labels else self.reader(root)
        except OSError as error:
            path = show(error.filename) if isinstance(error.filename, str) else show(root)
            got = show(error.strerror or "an error")
            raise BadFileError(
                Problem(path, "a path that can be read", got, "check its permissions")
            ) from error

    def read(self, root: Path, labels: str | None = None) -> list[Sample]:
        """Return the samples under `root`, sorted by name; see `scan`.

        Raises:
            DataError: If anything is wrong or nothing is found: the first problem, and how many more there are.
        """
        return samples_of(self.scan(root, labels), self.name, root)


def samples_of(scan: Scan, name: str, root: Path) -> list[Sample]:
    """Return the samples of a scan, sorted by name, or raise its first problem."""
    problems = list(scan.problems)
    seen: set[str] = set()
    for sample in scan.samples:
        if sample.name in seen:
            problems.append(
                Problem(show(sample.name), "listed once", "listed again", "remove one of the two")
            )
        seen.add(sample.name)
    if problems:
        more = len(problems) - 1
        also = f" ({more} more: `mtl data check {name} DIR` lists them.)" if more else ""
        raise DataError(problems[0].message + also)
    if not scan.samples:
        raise BadFileError(Problem(show(root), f"a `{name}` data set", "no images", "check the path"))
    return sorted(scan.samples, key=lambda sample: sample.name)
