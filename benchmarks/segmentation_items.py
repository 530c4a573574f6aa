"""Real images that the segmentation benchmarks train and test on: read, freed of near-duplicates, dealt into folds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from segmentation.cells import find_cells
from segmentation.crops import read_image
from segmentation.masks import Labels, read_mask
from stages.data.sets.wbc import scan
from stages.splits.duplicates import find_copies, group_duplicates, near_duplicates
from stages.splits.split import group_of

CELL = 72.0  # cells of Dataset 1 are this wide in pixels (median); BCCD's fields are shrunk to it
THUMBNAIL = 64


@dataclass(frozen=True)
class Item:
    """One image with its mask.

    Attributes:
        name: What it is called in the results.
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8: 0 background, 1 cytoplasm, 2 nucleus.
        group: Near-duplicates share one.
        kind: Class of the cell, where it is known; training repeats rare ones.
    """

    name: str
    image: np.ndarray
    labels: Labels
    group: str = ""
    kind: str = ""


def zheng(root: Path, which: int) -> list[Item]:
    """Return the cells of `Dataset <which>`; near-duplicates share a group."""
    samples = scan(root / "wbc", which).samples
    items = []
    for sample in samples:
        image = read_image(sample.path)
        labels = read_mask(
            sample.path.with_suffix(".png"), encoding="zheng", snap=True, shape=image.shape[:2]
        )
        items.append(Item(f"wbc-{which}/{sample.name}", image, labels, kind=sample.label))
    grouped, report = group_duplicates(samples, find_copies(thumbnails(items)))
    print(f"Dataset {which}: {len(items)} images. {report.sentences()[0]}", flush=True)
    return [replace(item, group=group_of(sample)) for item, sample in zip(items, grouped, strict=True)]


def bccd(root: Path, cell: float) -> list[Item]:
    """Return BCCD's fields that have a mask, each shrunk so that its cells are about `cell` pixels across."""
    folder = root / "bccd" / "BCCD"
    items = []
    for path in sorted((folder / "SegmentationMasks").glob("*.png")):
        file = folder / "JPEGImages" / f"{path.stem}.jpg"
        if not file.is_file():
            continue
        image = read_image(file)
        labels = read_mask(path, encoding="bccd", snap=True, shape=image.shape[:2])
        # A field without cytoplasm or nucleus has half a mask: every white cell here has both.
        if (labels == 1).any() and (labels == 2).any():
            items.append(Item(f"bccd/{path.stem}", *shrunk(image, labels, cell)))
    print(f"BCCD: {len(items)} fields with masks", flush=True)
    return items


def shrunk(image: np.ndarray, labels: Labels, cell: float) -> tuple[np.ndarray, Labels]:
    """Return image and labels at the magnification at which their largest cell is `cell` pixels across."""
    sizes = [found.area for found in find_cells(labels).cells] or [int((labels > 0).sum())]
    scale = float(np.clip(cell / (2 * np.sqrt(max(sizes) / np.pi)), 0.25, 1.0))
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    parts = [
        cv2.resize((labels == label).astype(np.float32), size, interpolation=cv2.INTER_AREA)
        for label in range(3)
    ]
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), np.asarray(np.argmax(parts, axis=0), np.uint8)


def thumbnails(items: Sequence[Item]) -> np.ndarray:
    """Return (N, 64, 64, 3) uint8."""
    size = (THUMBNAIL, THUMBNAIL)
    return np.stack([cv2.resize(item.image, size, interpolation=cv2.INTER_AREA) for item in items])


def foreign(train: Sequence[Item], test: Sequence[Item]) -> list[Item]:
    """Return the training images that show no test image."""
    pairs = near_duplicates(thumbnails([*train, *test]))
    seen = {first for first, second in pairs if first < len(train) <= second}
    if seen:
        print(f"{len(seen)} training images show a test image and are left out", flush=True)
    return [item for row, item in enumerate(train) if row not in seen]


def deal(items: Sequence[Item], folds: int, seed: int) -> list[int]:
    """Return the fold of each image; groups stay together, large ones are dealt first, folds are of a size."""
    members: dict[str, list[int]] = {}
    for row, item in enumerate(items):
        members.setdefault(item.group, []).append(row)
    names = sorted(members)
    order = np.random.default_rng([seed, folds]).permutation(len(names))
    sizes, fold_of = [0] * folds, [0] * len(items)
    for name in sorted((names[index] for index in order), key=lambda name: -len(members[name])):
        fold = sizes.index(min(sizes))
        sizes[fold] += len(members[name])
        for row in members[name]:
            fold_of[row] = fold
    return fold_of


def training_pairs(items: Sequence[Item]) -> list[tuple[np.ndarray, Labels]]:
    """Return every image in its four quarter turns, rare kinds of cells more than once.

    Crops mirror the turns, so that all eight views are seen and no reflected border is. A kind is repeated by the square
    root of how much rarer it is than the most common one, up to three times.
    """
    counts = Counter(f"{item.name.split('/')[0]} {item.kind}" for item in items)
    most: dict[str, int] = {}
    for name, count in counts.items():
        source = name.split()[0]
        most[source] = max(most.get(source, 0), count)
    pairs = []
    for item in items:
        source = item.name.split("/")[0]
        often = min(round((most[source] / counts[f"{source} {item.kind}"]) ** 0.5), 3)
        for turn in range(4):
            image, labels = (np.ascontiguousarray(np.rot90(a, turn)) for a in (item.image, item.labels))
            pairs += [(image, labels)] * often
    return pairs
