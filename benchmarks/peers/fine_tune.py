"""Time until our learner says what fastai's `fine_tune` says in the end: the same files, split, backbone, weights and size.

    MTL_REALDATA=... beside/bin/python benchmarks/peers/fine_tune.py [--seeds 3] [--preset fast]

Of fastai: `vision_learner`, squished to 128 px, its default augmentation with flips both ways, `fine_tune(3)`: one epoch of the head, three of
all. Of ours: reading the images into an empty store, features, head. Both get the training and the validation part; the test part is
scored outside of the clock. How to make `beside/` stands in benchmarks/peers/shared.py.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from fastai.vision.all import (
    Datasets,
    IntToFloatTensor,
    Normalize,
    PILImage,
    Resize,
    ResizeMethod,
    ToTensor,
    aug_transforms,
    set_seed,
    vision_learner,
)
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

from mtl.presets import PRESETS
from stages.assemble import Assembled
from stages.learners.network.loading import load_state
from stages.learners.network.weights import WeightRecord
from stages.learners.stacked.model import StackedLearner
from stages.splits.split import Split


def fastai_votes(
    data: Assembled, split: Split, size: int, weights: tuple[WeightRecord, Path], seed: int, clock: Clock
) -> np.ndarray:
    """Train as fastai does by default and return its votes on the test part."""
    set_seed(seed, reproducible=True)
    record, start = weights
    with clock.ran():
        files = {name: part(data, split, name) for name in ("train", "validation", "test")}
        label = {
            path: int(one)
            for paths, labels in files.values()
            for path, one in zip(paths, labels, strict=True)
        }
        known = [*files["train"][0], *files["validation"][0]]
        count = len(files["train"][0])
        sets = Datasets(
            known,
            [[PILImage.create], [lambda path: label[path]]],
            splits=[range(count), range(count, len(known))],
        )
        loaders = sets.dataloaders(
            bs=64,
            after_item=[Resize(size, method=ResizeMethod.Squish), ToTensor()],
            after_batch=[
                IntToFloatTensor(),
                *aug_transforms(flip_vert=True),
                Normalize.from_stats(record.mean, record.std),
            ],
        )
        learner = vision_learner(
            loaders,
            BACKBONE,
            pretrained=False,
            n_out=len(data.classes),
            loss_func=torch.nn.CrossEntropyLoss(),
        )
        body = learner.model[0].model
        state = {name.removeprefix("backbone."): value for name, value in load_state(start).items()}
        missing = body.load_state_dict(state, strict=False).missing_keys
        assert not missing, missing  # noqa: S101
        with learner.no_bar(), learner.no_logging():
            learner.fine_tune(3)
    votes, _ = learner.get_preds(dl=loaders.test_dl(files["test"][0]), act=torch.nn.Softmax(dim=1))
    return np.asarray(votes)


def main() -> None:
    """Print a row a seed, and the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--preset", default="fast", choices=[name for name in PRESETS if name != "default"])
    given = parser.parse_args()
    settings, data, split = taleqani(
        *(f"multi_cell.{key}={value}" for key, value in _keys(given.preset).items())
    )
    labels = part(data, split, "test")[1]
    rows: list[tuple[Clock, Clock]] = []
    print(HEADER, flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        weights = start_weights(Path(scratch))
        for seed in range(given.seeds):
            clocks, scores = (Clock(), Clock()), []
            for who, clock in zip(("ours", "fastai"), clocks, strict=True):
                if who == "ours":
                    learner = StackedLearner(settings, *weights, seed)
                    votes = our_votes(learner, data, split, settings, clock)
                else:
                    votes = fastai_votes(data, split, 128, weights, seed, clock)
                scores.append(f1(labels, votes))
                print(row_of(seed, who, clock, scores[-1]), flush=True)
            if scores[0] >= scores[1]:
                rows.append(clocks)
    print(f"{len(rows)} of {given.seeds} seeds reach fastai's macro F1")
    for what in ("wall", "processor"):
        print_ratios(
            what, [getattr(one, what) for one, _ in rows], [getattr(other, what) for _, other in rows]
        )


def _keys(preset: str) -> dict[str, object]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in PRESETS[preset].items()}


if __name__ == "__main__":
    main()
