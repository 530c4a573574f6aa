"""The same epochs of the same network, as a plain loop of timm and a DataLoader trains it and as we do.

    MTL_REALDATA=... python benchmarks/peers/plain_loop.py [--seeds 3] [--epochs 5] [--limit 100]

The plain loop: files opened in two workers, resized, flipped, turned, colours jittered, AdamW under a cosine, all layers from the first step; no
validation. Ours: reading the images into an empty store, one epoch of the head, the others of all layers, with validation.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from shared import (
    BACKBONE,
    HEADER,
    Clock,
    f1,
    our_votes,
    part,
    print_ratios,
    row_of,
    start_weights,
    taleqani,
)
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from stages.assemble import Assembled
from stages.learners.network.loading import load_state
from stages.learners.network.model import NetworkLearner
from stages.learners.network.weights import WeightRecord
from stages.settings import StageSettings
from stages.splits.split import Split

Weights = tuple[WeightRecord, Path]


class Files(Dataset[tuple[torch.Tensor, int]]):
    """Images of a list of files."""

    def __init__(self, paths: list[Path], labels: np.ndarray, change: v2.Transform) -> None:
        self.paths, self.labels, self.change = paths, labels, change

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        with Image.open(self.paths[row]) as image:
            return self.change(image.convert("RGB")), int(self.labels[row])


def plain_votes(
    data: Assembled, split: Split, settings: StageSettings, weights: Weights, seed: int, clock: Clock
) -> np.ndarray:
    """Train as tutorials do and return votes on the test part."""
    torch.manual_seed(seed)
    record, start = weights
    size, rules = settings.preprocess.image_size, settings.train
    ready = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(record.mean, record.std)]
    jitter = [
        v2.RandomHorizontalFlip(),
        v2.RandomVerticalFlip(),
        v2.RandomRotation(180),
        v2.ColorJitter(0.25, 0.25, 0.4, 0.08),
    ]
    with clock.ran():
        paths, labels = part(data, split, "train")
        sets = Files(paths, labels, v2.Compose([v2.Resize((size, size)), *jitter, *ready]))
        loader = DataLoader(
            sets, rules.batch_size, shuffle=True, num_workers=2, drop_last=True, persistent_workers=True
        )
        network = timm.create_model(BACKBONE, num_classes=len(data.classes))
        state = {name.removeprefix("backbone."): value for name, value in load_state(start).items()}
        network.load_state_dict(state, strict=False)
        optimizer = torch.optim.AdamW(
            network.parameters(), rules.learning_rate, weight_decay=rules.weight_decay
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, rules.epochs * len(loader))
        for _ in range(rules.epochs):
            for images, wanted in loader:
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(network(images), wanted).backward()
                optimizer.step()
                schedule.step()
        del loader  # its workers end, and their time counts
    network.eval()
    paths, labels = part(data, split, "test")
    tests = DataLoader(Files(paths, labels, v2.Compose([v2.Resize((size, size)), *ready])), 64)
    with torch.inference_mode():
        return torch.cat([network(images) for images, _ in tests]).numpy()


def main() -> None:
    """Print a row a seed and who, and the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--limit", type=int, help="images a class, evenly spread")
    given = parser.parse_args()
    limit = [f"multi_cell.data.limit={given.limit}"] if given.limit else []
    settings, data, split = taleqani(f"multi_cell.train.epochs={given.epochs}", *limit)
    labels = part(data, split, "test")[1]
    clocks: dict[str, list[Clock]] = {"ours": [], "plain loop": []}
    print(HEADER, flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        weights = start_weights(Path(scratch))
        for seed in range(given.seeds):
            for who, own in clocks.items():
                clock = Clock()
                if who == "ours":
                    learner = NetworkLearner(settings, *weights, seed)
                    votes = our_votes(learner, data, split, settings, clock)
                else:
                    votes = plain_votes(data, split, settings, weights, seed, clock)
                own.append(clock)
                print(row_of(seed, who, clock, f1(labels, votes)), flush=True)
    for what in ("wall", "processor"):
        ours, plain = ([getattr(clock, what) for clock in own] for own in clocks.values())
        print_ratios(what, ours, plain)


if __name__ == "__main__":
    main()
