"""Our engine over what the processor can do at best: an epoch over bare steps, and prediction over the fastest of three bare passes.

    python benchmarks/peers/limits.py [--rounds 5] [--images 256] [--skip-compile]

Images are rendered noise of 128 px, so no data are needed. The bare step is forward, cross entropy and backward of one batch that lies in memory as
floats, in the memory format of ours; there is no optimiser, loader, augmentation or validation in it. All take turns, round by round.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from shared import Clock, print_ratios, start_weights

from segmentation.probe import probe_images
from stages.learners.network.model import NetworkLearner, NetworkModel
from stages.preprocess import Preprocess
from stages.settings import StageSettings
from stages.task import Task

SIZE, BATCH, CLASSES = 128, 32, 4


class Epoch:
    """Progress that clocks the steps of one epoch, without what comes before and after them."""

    def __init__(self) -> None:
        self.clock = Clock()
        self._running = self.clock.ran()

    def __call__(self, done: int, total: int, text: str) -> None:
        """Begin at the start, end behind the last step."""
        if done == 0:
            self._running.__enter__()
        elif done == total:
            self._running.__exit__(None, None, None)


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--skip-compile", action="store_true")
    given = parser.parse_args()
    count = given.images // BATCH * BATCH
    images = (probe_images(count, SIZE) * 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
    labels = np.arange(count) % CLASSES
    settings = StageSettings.model_validate(
        {
            "data": {"dataset": "pbc"},
            "preprocess": {"image_size": SIZE},
            "train": {"epochs": 1, "head_epochs": 0, "batch_size": BATCH},
        }
    )
    rows = {"train": np.arange(count), "validation": np.arange(0), "test": np.arange(0)}
    task = Task(images, labels, rows, tuple("abcd"), Preprocess(settings.preprocess), np.arange(count))
    with tempfile.TemporaryDirectory() as scratch:
        weights = start_weights(Path(scratch))
        learner = NetworkLearner(settings, *weights, 0)
        training(learner, task, Path(scratch), given.rounds)
        model = NetworkModel(learner.network(task), weights[0], settings.head, task.preprocess)
        prediction(model, images, given.rounds, compiled=not given.skip_compile)


def training(learner: NetworkLearner, task: Task, scratch: Path, rounds: int) -> None:
    """Compare an epoch with bare steps."""
    network = learner.network(task).train()
    batch = torch.from_numpy(task.images[:BATCH]).permute(0, 3, 1, 2).float() / 255
    wanted = torch.from_numpy(task.labels[:BATCH])
    steps = len(task.images) // BATCH

    def bare() -> None:
        for _ in range(steps):
            network.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(network(batch), wanted).backward()

    bare()
    ours, theirs = [], []
    for number in range(rounds):
        folder = scratch / str(number)
        folder.mkdir()
        epoch = Epoch()
        NetworkLearner(learner.settings, learner.weights, learner.start, number, progress=epoch).fit(
            task, folder
        )
        ours.append(epoch.clock)
        theirs.append(timed(bare))
    told("epoch over forward and backward", ours, theirs)


def prediction(model: NetworkModel, images: np.ndarray, rounds: int, compiled: bool) -> None:
    """Compare prediction with bare passes over the same batches."""
    network, size = model.network.eval(), 16
    model.quicken()
    floats = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255

    def passes(ask: Callable[[torch.Tensor], torch.Tensor], bf16: bool = False) -> Callable[[], None]:
        def run() -> None:
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                for start in range(0, len(floats), size):
                    ask(floats[start : start + size])

        return run

    ways = {"eager": passes(network), "bf16": passes(network, bf16=True)}
    if compiled:
        ways["compiled"] = passes(torch.compile(network))
    for way in (lambda: model.prepared_probabilities(images[:size]), *ways.values()):
        way()
    clocks: dict[str, list[Clock]] = {name: [] for name in ("ours", *ways)}
    for _ in range(rounds):
        clocks["ours"].append(timed(lambda: model.prepared_probabilities(images)))
        for name, way in ways.items():
            clocks[name].append(timed(way))
    for name in ways:
        told(f"images/s of ours over {name}", clocks[name], clocks["ours"])
    print(f"ours predicts in {model.inference.precision}")


def timed(run: Callable[[], object]) -> Clock:
    """Run and clock."""
    clock = Clock()
    with clock.ran():
        run()
    return clock


def told(what: str, ours: list[Clock], theirs: list[Clock]) -> None:
    """Print both ratios."""
    for kind in ("wall", "processor"):
        print_ratios(
            f"{what}, {kind}", [getattr(one, kind) for one in ours], [getattr(one, kind) for one in theirs]
        )


if __name__ == "__main__":
    main()
