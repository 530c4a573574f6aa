"""Overhead of `mtl federate simulate` over the same local trainings and validations in a plain loop, in turn, in one process.

    python benchmarks/federated/overhead.py --repeats 5 [--engine ray]

Both train the same clients on the same images from the same weights; what the simulation does besides is messages, checks of every answer, and a
checkpoint of the shared weights a round. The bar is 1.10. With `--engine ray` clients train side by side, a core each, and the start of their processes counts;
sums of floats then go by other numbers of threads, so that weights are not compared.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from segmentation.files import make_folder
from stages.data.sample import Sample
from stages.data_settings import DataSettings
from stages.learners.federated.learner import FederatedLearner
from stages.learners.federated.settings import FederateSettings
from stages.learners.network.backbones import imagenet_backbone
from stages.learners.network.loading import State, load_state
from stages.learners.network.model import NetworkLearner
from stages.preprocess import Preprocess
from stages.settings import PreprocessSettings, StageSettings, TrainSettings
from stages.task import Task

CLASSES = ("dark", "bright")


def make(folder: Path, arguments: argparse.Namespace) -> tuple[FederatedLearner, Task]:
    count, size = arguments.images, arguments.image_size
    random = np.random.default_rng(0)
    labels = np.arange(count) % 2
    images = random.integers(60, 120, (count, size, size, 3)).astype(np.uint8)
    images[labels == 1, size // 4 : -size // 4, size // 4 : -size // 4] = 230
    rows = {"train": np.arange(0, count // 2), "validation": np.arange(count // 2, 3 * count // 4), "test": np.arange(3 * count // 4, count)}  # fmt: skip
    samples = [Sample(Path(f"{row}.png"), f"{row}.png", CLASSES[labels[row]], "x", group=f"g{row // 4}", order=row) for row in range(count)]  # fmt: skip
    preprocess = PreprocessSettings(image_size=size)
    record = imagenet_backbone(arguments.backbone, "none", folder / "start.safetensors", 0)
    stage = StageSettings(
        data=DataSettings(dataset="x"), preprocess=preprocess,
        train=TrainSettings.model_validate({"head_epochs": 0, "batch_size": 8, "policy": arguments.policy, "keep": "last"}),
    )  # fmt: skip
    told = FederateSettings(
        clients=arguments.clients, rounds=arguments.rounds, local_epochs=1, engine=arguments.engine
    )
    learner = FederatedLearner(
        NetworkLearner(stage, record, folder / "start.safetensors", seed=3), told, samples
    )
    return learner, Task(images, labels, rows, CLASSES, Preprocess(preprocess), np.arange(count) // 4)


def plain(learner: FederatedLearner, task: Task, folder: Path) -> State:
    """The same trainings, averages and validations without Flower."""
    clients = learner.clients(task, folder)
    shared: State = {name: clients[0].initial[name] for name in clients[0].shared}
    images = sum(client.images for client in clients)
    shares = [client.images / images for client in clients]
    for number in range(1, learner.settings.rounds + 1):
        told = [client.train(shared, number)[0] for client in clients]
        # In 32 bits and one after the other, as Flower adds: another rounding is made much of by Adam.
        shared = {
            name: torch.from_numpy(
                np.asarray(sum(one[name].numpy() * share for one, share in zip(told, shares, strict=True)))
            )
            for name in shared
        }
        for client in clients:
            client.validate(shared)
    return shared


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("repeats", 5), ("clients", 5), ("rounds", 3), ("images", 320), ("image-size", 96)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--engine", default="process", choices=("process", "ray"))
    parser.add_argument("--policy", default="full", choices=("full", "frozen"))
    arguments = parser.parse_args()
    wall: dict[str, list[float]] = {"plain": [], "simulation": []}
    clock: dict[str, list[float]] = {"plain": [], "simulation": []}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        learner, task = make(root, arguments)
        for repeat in range(arguments.repeats + 1):  # the first warms up
            for kind in sorted(wall, reverse=bool(repeat % 2)):
                folder = root / f"{kind}{repeat}"
                make_folder(folder)
                begin, processor = time.perf_counter(), time.process_time()
                if kind == "plain":
                    ends = plain(learner, task, folder)
                else:
                    learner.fit(task, folder)
                if repeat:
                    wall[kind].append(time.perf_counter() - begin)
                    clock[kind].append(time.process_time() - processor)
            if arguments.engine == "ray":
                continue
            found = load_state(root / f"simulation{repeat}" / "weights.safetensors")
            away = max(
                float((found[name] - value).abs().max())
                for name, value in ends.items()
                if value.is_floating_point()
            )
            assert away < 1e-6, f"the two did not train the same: {away}"  # noqa: S101
    for title, seconds in (("wall", wall), ("processor", clock)):
        ratios = [two / one for one, two in zip(seconds["plain"], seconds["simulation"], strict=True)]
        print(
            f"{title}: plain {statistics.median(seconds['plain']):.2f} s, simulation {statistics.median(seconds['simulation']):.2f} s, "
            f"ratio {statistics.median(ratios):.3f} (of {len(ratios)}: {min(ratios):.3f} to {max(ratios):.3f})"
        )


if __name__ == "__main__":
    main()
