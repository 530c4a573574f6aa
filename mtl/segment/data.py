"""Images with masks from the data sets of `stages.data.catalogue`, joined, grouped and split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from mtl.errors import ConfigError
from segmentation.cells import CellSettings, find_cells, typical_area
from segmentation.masks import Labels
from stages.data.catalogue import Source, find_dataset, read_dataset
from stages.data.images import content_key, load_mask, load_rgb
from stages.data.sample import Sample
from stages.errors import DataError
from stages.splits import methods as splits
from stages.splits.duplicates import group_copies
from stages.splits.split import Split, group_of

__all__ = ["CELL_SIZE", "Masked", "cell_sizes", "load_pair", "make_split", "read_sources", "scaled"]

CELL_SIZE = 60.0
"""Diameter in px that a typical white cell is brought to before training: what `PredictSettings` expects later."""

_MEASURED = 40
Image = npt.NDArray[np.uint8]
Told = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Masked:
    """All images with masks.

    Attributes:
        train: Samples to be split; `label` is the data set, so that splits are stratified by it.
        test: Samples that are only tested on.
        fingerprint: Hash of names, groups and file contents.
        unit: What groups are.
        notes: Plain sentences for the report.
    """

    train: tuple[Sample, ...]
    test: tuple[Sample, ...]
    fingerprint: str
    unit: str
    notes: tuple[str, ...]


def read_sources(data: Sequence[Source], test: Sequence[Source], limit: int | None, tell: Told) -> Masked:
    """Read all samples with masks; near-duplicates are grouped, and none of a tested image is trained on.

    Args:
        data: Trained on, by split.
        test: Tested on alone.
        limit: Images of a data set at most, evenly spread; None takes all.
        tell: Told about progress.

    Raises:
        ConfigError: If a data set is named twice.
        DataError: If data cannot be read or hold no masks.
    """
    names = [source.dataset for source in (*data, *test)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ConfigError(
            f"Expected every data set once in `--data` and `--test`, but got {twice} twice; do remove one of them"
        )
    notes: list[str] = []
    taken = [_masked(source, limit, notes) for source in (*data, *test)]
    samples = [sample for part in taken for sample in part]
    fingerprint = content_key(samples)
    samples, report = group_copies(samples, fingerprint, lambda done, total: tell("decode", done, total))
    notes += report.sentences()
    tested = {source.dataset for source in test}
    held = {group_of(sample) for sample in samples if sample.label in tested}
    train = tuple(one for one in samples if one.label not in tested and group_of(one) not in held)
    only = tuple(one for one in samples if one.label in tested)
    lost = len(samples) - len(train) - len(only)
    if lost:
        notes.append(f"{lost} images are left out of training: near-duplicates of images in --test.")
    units = {find_dataset(source.dataset).split_unit for source in data}
    return Masked(train, only, fingerprint, " or ".join(sorted(units)), tuple(notes))


def make_split(samples: Sequence[Sample], folds: int, fold: int, seed: int, unit: str) -> Split:
    """Return a fold, or a hold-out of a fifth where `folds` is 1; whole groups at a time."""
    if folds == 1:
        return splits.holdout(samples, test=0.2, validation=0.1, seed=seed, unit=unit)
    share = min(0.1, 0.5 * (1 - 1 / folds))
    return splits.kfold(samples, folds=folds, fold=fold, validation=share, seed=seed, unit=unit)


def load_pair(sample: Sample) -> tuple[Image, Labels]:
    """Return image (H, W, 3) uint8 RGB and labels (H, W) uint8 of a sample."""
    image = load_rgb(sample)
    if sample.mask is None:
        raise DataError(f"Expected {sample.name} to have a mask, but got none; do leave it out")
    return image, load_mask(sample.mask, (image.shape[0], image.shape[1]))


def cell_sizes(samples: Sequence[Sample]) -> dict[str, float]:
    """Return the typical diameter in px of the white cells of each data set, measured on its masks."""
    sizes: dict[str, float] = {}
    for dataset in sorted({sample.label for sample in samples}):
        own = [sample for sample in samples if sample.label == dataset]
        areas: list[int] = []
        for row in np.linspace(0, len(own) - 1, min(len(own), _MEASURED)).round().astype(int):
            found = find_cells(load_pair(own[row])[1], settings=CellSettings(min_nucleus=0.0)).cells
            areas += [cell.area for cell in found if not cell.touches_border] or [cell.area for cell in found]
        sizes[dataset] = float(2 * np.sqrt(typical_area(areas) / np.pi)) if areas else CELL_SIZE
    return sizes


def scaled(image: Image, labels: Labels, diameter: float) -> tuple[Image, Labels]:
    """Return image and labels resized so that cells of this diameter measure `CELL_SIZE`."""
    factor = float(np.clip(CELL_SIZE / diameter, 0.1, 4.0))
    if 0.9 < factor < 1.1:
        return image, labels
    size = max(round(image.shape[1] * factor), 8), max(round(image.shape[0] * factor), 8)
    smooth = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return (
        np.asarray(cv2.resize(image, size, interpolation=smooth), np.uint8),
        np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST), np.uint8),
    )


def _masked(source: Source, limit: int | None, notes: list[str]) -> list[Sample]:
    every = read_dataset(source.dataset, source.folder)
    kept = [sample for sample in every if sample.mask is not None]
    if not kept:
        raise DataError(
            f"Expected {source.folder} to hold masks of {source.dataset}, but none of its {len(every)} images has one; "
            "do give a data set with masks, such as wbc-1, wbc-2 or bccd"
        )
    if len(kept) < len(every):
        notes.append(
            f"{source.dataset}: {len(kept)} of {len(every)} images have a mask; the others are left out."
        )
    if limit is not None and limit < len(kept):
        kept = [kept[row] for row in np.linspace(0, len(kept) - 1, limit).round().astype(int)]
    return [
        replace(
            sample,
            name=f"{source.dataset}/{sample.name}",
            label=source.dataset,
            group=f"{source.dataset}/{sample.group}" if sample.group is not None else None,
        )
        for sample in kept
    ]
