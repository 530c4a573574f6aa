"""Measure `stacked`, its parts and colour alone on Taleqani's blocks and on the two splits where the stain changes.

    MTL_REALDATA=... python benchmarks/recipe_taleqani.py [--preset best] [--only 0.4]

One process: features once, then a head and a forest for every split. Seeds are those of the forest; heads have none.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score

from mtl.config import load_config
from mtl.presets import PRESETS
from segmentation.settings import Settings
from stages.assemble import Assembled, assemble, make_split, make_task
from stages.learners.classical.colour import colour_baselines
from stages.learners.network.backbones import imagenet_backbone
from stages.learners.stacked.model import StackedLearner
from stages.preprocess import Preprocess
from stages.settings import SplitSettings, StageSettings
from stages.splits.split import Split, group_of

SPLITS = {
    f"block {offset:.1f}": SplitSettings(method="block", test=0.25, validation=0.1, offset=offset)
    for offset in np.arange(10) / 10
} | {"second half -> first": SplitSettings(method="block", test=0.5, validation=0.0, reverse=True)}


def quarter(data: Assembled) -> Split:
    """Return the split that trains on the first quarter of every class by number and tests on the second."""
    members = defaultdict(list)
    for sample in sorted(data.samples, key=lambda sample: (sample.label, sample.order, sample.name)):
        members[sample.label].append(sample)
    cuts = [(own, round(len(own) * 0.25), round(len(own) * 0.5)) for own in members.values()]
    test = {sample.name for own, first, second in cuts for sample in own[first:second]}
    tested = {group_of(sample) for sample in data.samples if sample.name in test}
    train = {
        sample.name for own, first, _ in cuts for sample in own[:first] if group_of(sample) not in tested
    }
    rest = tuple(sorted({sample.name for sample in data.samples} - test - train))
    return Split(tuple(sorted(train)), (), tuple(sorted(test)), rest, "first quarter -> second", data.unit, 0)


def stage(preset: str) -> StageSettings:
    """Return the settings of the last stage under a preset."""
    keys = {f"multi_cell.{key}": value for key, value in PRESETS[preset].items()}
    settings: Settings = load_config("pbc-taleqani", keys).multi_cell
    assert isinstance(settings, StageSettings)  # noqa: S101 - tells the type checker
    return settings


def main() -> None:
    """Print a row a split."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="best", choices=[name for name in PRESETS if name != "default"])
    parser.add_argument(
        "--backbone", default="tf_efficientnet_lite2", help="that of the configuration if not given"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="only splits whose name holds this")
    given = parser.parse_args()
    settings = stage(given.preset)
    data = assemble(settings.data, near_duplicates=True)
    chosen = {name: make_split(data.samples, split, 0, data.unit, None, "") for name, split in SPLITS.items()}
    chosen["first quarter -> second"] = quarter(data)
    print(
        "| split | seed | test images | stacked | colour alone | weight of colour | s |\n|---|---|---|---|---|---|---|"
    )
    scores: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        weights = Path(scratch) / "weights.safetensors"
        record = imagenet_backbone(given.backbone, "auto", weights, 0)
        for name, split in chosen.items():
            if given.only not in name:
                continue
            task = make_task(data, replace(split), Preprocess(settings.preprocess))
            for seed in range(given.seeds):
                started = time.perf_counter()
                model, _ = StackedLearner(settings, record, weights, seed).fit(task, Path(scratch))
                seconds = time.perf_counter() - started
                learned = np.sort(np.concatenate([task.rows["train"], task.rows["validation"]]))
                test, labels = task.images[task.rows["test"]], task.labels[task.rows["test"]]
                votes = colour_baselines(
                    task.images[learned], task.labels[learned], test, len(task.classes), seed
                )
                colour = max(_f1(labels, vote) for vote in votes.values())
                score = _f1(labels, model.prepared_probabilities(test))
                scores[name].append((score, colour))
                print(
                    f"| {name} | {seed} | {len(labels)} | {score:.3f} | {colour:.3f} | {model.weights[1]:.2f} | {seconds:.0f} |",
                    flush=True,
                )
    blocks = np.array([np.mean(own, axis=0) for name, own in scores.items() if name.startswith("block")])
    if len(blocks):
        lead = blocks[:, 0] - blocks[:, 1]
        print(
            f"\n{len(blocks)} blocks: stacked {blocks[:, 0].mean():.4f}, colour {blocks[:, 1].mean():.4f}, least lead {100 * lead.min():+.1f} points"
        )
    print(f"{os.cpu_count()} cores, {settings.preprocess.image_size} px, {given.seeds} seeds of the forest")


def _f1(labels: np.ndarray, votes: np.ndarray) -> float:
    return float(f1_score(labels, votes.argmax(axis=1), average="macro"))


if __name__ == "__main__":
    main()
