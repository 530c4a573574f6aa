"""Peak memory of a training on many images, over what their pixels would take as floats, epoch by epoch.

    python benchmarks/peers/memory.py [--images 15000] [--epochs 3] [--size 160] [--folder scratch]

Images are rendered: crops of rendered smears, turned, tinted and cut anew, of 450 x 450 px as those of C-NMC 2019. What is counted is the memory
of the process that the system cannot take back (anonymous), and its whole resident memory, into which pages of the mapped store count as long as
nobody else needs the room.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
import psutil
from shared import start_weights

from stages.assemble import assemble, make_split, make_task
from stages.data.smears import render_trees
from stages.data_settings import DataSettings
from stages.learners.network.model import NetworkLearner
from stages.preprocess import Preprocess
from stages.settings import SplitSettings, StageSettings

SIDE = 450


class Memory:
    """Progress that keeps the largest memory of every epoch."""

    def __init__(self, epochs: int) -> None:
        self.process, self.epochs = psutil.Process(), epochs
        self.peaks = np.zeros((epochs, 2))

    def __call__(self, done: int, total: int, text: str) -> None:
        """Look at the memory now."""
        seen = self.process.memory_info()
        epoch = min(done * self.epochs // max(total, 1), self.epochs - 1)
        self.peaks[epoch] = np.maximum(self.peaks[epoch], (seen.rss - seen.shared, seen.rss))


def render(folder: Path, count: int) -> None:
    """Write so many images into two class folders, each cut anew from a rendered crop."""
    random = np.random.default_rng(0)
    trees = render_trees(folder / "smears", fields=40, crops=64, slides=8, seed=0, workers=1)
    crops = [cv2.imread(str(path)) for path in sorted((trees.all_idb2 / "img").iterdir())]
    for number in range(count):
        crop, label = crops[number % len(crops)], number % 2
        turn = cv2.getRotationMatrix2D(
            (crop.shape[1] / 2, crop.shape[0] / 2), random.uniform(0, 360), random.uniform(0.7, 1.2)
        )
        turned = cv2.warpAffine(crop, turn, crop.shape[1::-1], borderMode=cv2.BORDER_REFLECT)
        pixels = cv2.resize(turned, (SIDE, SIDE)) * random.uniform(0.7, 1.1, 3) + random.normal(
            0, 4, (SIDE, SIDE, 1)
        )
        path = folder / "images" / ("all", "hem")[label] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), pixels.clip(0, 255).astype(np.uint8))


def main() -> None:
    """Print a row an epoch."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=15_000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument(
        "--folder", type=Path, help="where images lie or are rendered to; a temporary one if not given"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        if not (folder / "images").is_dir():
            render(folder, given.images)
        settings = StageSettings(
            data=DataSettings(dataset="folder", root=folder / "images"),
            split=SplitSettings(test=0.2, validation=0.1),
            preprocess={"image_size": given.size},
            train={"epochs": given.epochs, "head_epochs": 0, "batch_size": 32},
        )
        data = assemble(settings.data, near_duplicates=True)
        split = make_split(data.samples, settings.split, 0, data.unit, None, "")
        task = make_task(data, split, Preprocess(settings.preprocess))
        memory = Memory(given.epochs)
        weights = start_weights(Path(scratch))
        NetworkLearner(settings, *weights, 0, progress=memory).fit(task, Path(scratch))
    floats = len(data.samples) * SIDE * SIDE * 3 * 4
    print(
        f"{len(data.samples)} images of {SIDE} px (rendered): {floats / 1e9:.1f} GB as floats; trained at {given.size} px"
    )
    print(
        "| epoch | anonymous GB | resident GB | anonymous over floats | resident over floats |\n|---|---|---|---|---|"
    )
    for epoch, (own, all_) in enumerate(memory.peaks):
        print(f"| {epoch} | {own / 1e9:.2f} | {all_ / 1e9:.2f} | {own / floats:.3f} | {all_ / floats:.3f} |")


if __name__ == "__main__":
    main()
