"""Score every thresholding method on the real wbc smears and print a table.

    MTL_REALDATA=... python benchmarks/thresholding.py [--every 3] [--only NAME] [--bccd]

`even` is the mean over the second, fourth, sixth ... image of each set. Settings of white-cells were varied on the other half and
kept where both halves agreed, so neither is untouched; HSV bounds were fitted on every sixth image. One setting serves both sets.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from segmentation.masks import cell_of, nucleus_of, read_mask
from segmentation.scores import dice
from segmentation.threshold import METHODS, threshold

VARIANTS: tuple[tuple[str, dict[str, Any]], ...] = (
    *((name, {}) for name in METHODS),
    ("white-cells", {"drop_cut": True}),
    ("channel-mixer", {"keep_luminosity": True}),
    ("channel-mixer", {"otsu": True}),
)
Pair = tuple[np.ndarray, np.ndarray]


def wbc(folder: Path, every: int) -> list[Pair]:
    """Return images (H, W, 3) and labels (H, W) of one wbc set; its few stray values are rounded."""
    return [
        (np.asarray(Image.open(path).convert("RGB")), read_mask(path.with_suffix(".png"), encoding="zheng", snap=True))
        for path in sorted(folder.glob("*.bmp"))[::every]
    ]  # fmt: skip


def bccd(folder: Path, every: int) -> list[Pair]:
    """Return fields and labels of BCCD; its anti-aliased values are rounded."""
    masks = [
        path
        for path in sorted((folder / "SegmentationMasks").iterdir())
        if (folder / "JPEGImages" / f"{path.stem}.jpg").is_file()
    ]
    return [
        (np.asarray(Image.open(folder / "JPEGImages" / f"{path.stem}.jpg").convert("RGB")), read_mask(path, encoding="bccd", snap=True))
        for path in masks[::every]
    ]  # fmt: skip


def row(name: str, settings: dict[str, Any], pairs: list[Pair]) -> tuple[list[str], float]:
    """Return cells of the table (nucleus all/even, cell all/even) and seconds an image."""
    start = time.perf_counter()
    found = [threshold(image, name, **settings) for image, _ in pairs]
    seconds = (time.perf_counter() - start) / len(pairs)
    cells = []
    gives = METHODS[name].gives
    for known, part in (("nucleus" in gives, nucleus_of), (gives != "nucleus", cell_of)):
        if not known:
            cells += ["", ""]
            continue
        scores = [dice(part(labels), part(truth)) for labels, (_, truth) in zip(found, pairs, strict=True)]
        cells += [f"{np.mean(scores):.4f}", f"{np.mean(scores[1::2]):.4f}"]
    return cells, seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--every", type=int, default=1, help="take every n-th image only")
    parser.add_argument("--only", default="", help="score only methods whose name holds this")
    parser.add_argument("--bccd", action="store_true", help="score on BCCD's fields too (minutes)")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    root = Path(os.environ.get("MTL_REALDATA", ""))
    if not (root / "wbc").is_dir():
        sys.exit("MTL_REALDATA names no folder with wbc in it; see shared/data/README.md")
    sets = {f"Dataset {index}": wbc(root / "wbc" / f"Dataset {index}", given.every) for index in (1, 2)}
    if given.bccd:
        sets["BCCD"] = bccd(root / "bccd" / "BCCD", given.every)
    heads = [
        f"{name} {what}"
        for name in sets
        for what in (f"nucleus Dice (n = {len(sets[name])})", "even", "whole cell Dice", "even", "ms")
    ]
    print(f"| method | {' | '.join(heads)} |")
    print(f"|{'---|' * (len(heads) + 1)}")
    for name, settings in VARIANTS:
        if given.only not in name:
            continue
        line = []
        for pairs in sets.values():
            cells, seconds = row(name, settings, pairs)
            line += [*cells, f"{seconds * 1000:.0f}"]
        title = " ".join([name, *(f"{key}={value}" for key, value in settings.items())])
        print(f"| {title} | {' | '.join(line)} |", flush=True)


if __name__ == "__main__":
    main()
