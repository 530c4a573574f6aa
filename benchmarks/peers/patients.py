"""Cell types of DeepAPL, patients apart: what the default says, and what fastai's `fine_tune`, a plain timm loop and colour alone say.

    MTL_REALDATA=... beside/bin/python benchmarks/peers/patients.py SCORES.csv [--splits 5] [--who ours,fastai]

Every split has the same images, patients and size for all. Ours is the last stage of the configuration `pbc-deepapl` (chain 1,3); fastai and the plain
loop get the files as they are, as in the other scripts, and ImageNet's weights, as ours does. Classes are few in some patients, so macro F1 varies: splits
are tested by the corrected resampled t (Nadeau & Bengio 2003), p after Holm. A line a score is added to SCORES.csv, and what stands there is not done again.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path

import numpy as np
from fine_tune import fastai_votes
from plain_loop import plain_votes
from shared import Clock, deepapl, f1, our_votes, part, start_weights

from mtl.statistics import corrected_resampled_t, holm_defined
from stages.assemble import Assembled, make_task
from stages.learners.classical.colour import colour_baselines
from stages.learners.network.weights import WeightRecord
from stages.learners.stacked.model import StackedLearner
from stages.preprocess import Preprocess
from stages.settings import StageSettings
from stages.splits.split import Split

Weights = tuple[WeightRecord, Path]


def votes_of(
    who: str,
    data: Assembled,
    split: Split,
    settings: StageSettings,
    weights: Weights,
    seed: int,
    clock: Clock,
) -> np.ndarray:
    """Return votes on the test part of one of `WHO`."""
    if who == "ours":
        return our_votes(StackedLearner(settings, *weights, seed), data, split, settings, clock)
    if who == "fastai":
        return fastai_votes(data, split, settings.preprocess.image_size, weights, seed, clock)
    if who == "plain loop":
        return plain_votes(data, split, settings, weights, seed, clock)
    task = make_task(data, split, Preprocess(settings.preprocess))
    learned = np.sort(np.concatenate([task.rows["train"], task.rows["validation"]]))
    with clock.ran():
        found = colour_baselines(
            task.images[learned],
            task.labels[learned],
            task.images[task.rows["test"]],
            len(task.classes),
            seed,
        )
    labels = task.labels[task.rows["test"]]
    return max(found.values(), key=lambda votes: f1(labels, votes))


WHO = ("ours", "colour", "plain loop", "fastai")


def main() -> None:
    """Print a line a split and who, then ours beside each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scores", type=Path)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--who", default=",".join(WHO))
    given = parser.parse_args()
    given.scores.touch()
    known = {(one[0], int(one[1])): float(one[2]) for one in csv.reader(given.scores.open())}
    with tempfile.TemporaryDirectory() as scratch:
        weights = start_weights(Path(scratch))
        for seed in range(given.splits):
            settings, data, split = deepapl(seed)
            for who in given.who.split(","):
                if (who, seed) in known:
                    continue
                clock = Clock()
                votes = votes_of(who, data, split, settings, weights, seed, clock)
                known[who, seed] = f1(part(data, split, "test")[1], votes)
                with given.scores.open("a", newline="") as out:
                    csv.writer(out).writerow((who, seed, f"{known[who, seed]:.6f}", f"{clock.wall:.1f}"))
                print(f"split {seed} {who}: macro F1 {known[who, seed]:.3f}, {clock.wall:.0f} s", flush=True)
    scores = {
        who: [known[who, seed] for seed in range(given.splits)]
        for who in WHO
        if all((who, seed) in known for seed in range(given.splits))
    }
    for who, own in scores.items():
        print(f"{who}: mean {np.mean(own):.3f}, " + " ".join(f"{one:.3f}" for one in own))
    others = [who for who in scores if who != "ours"] if "ours" in scores else []
    tests = [
        corrected_resampled_t(scores["ours"], scores[who], test_fraction=settings.split.test)
        for who in others
    ]
    for who, test, p in zip(others, tests, holm_defined([one.p for one in tests]), strict=True):
        print(
            f"ours - {who}: {100 * test.difference:+.1f} points [{100 * test.low:.1f}, {100 * test.high:.1f}], p {test.p:.4f}, after Holm {p:.4f}"
        )


if __name__ == "__main__":
    main()
