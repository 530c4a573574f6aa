"""Tiny federations: two kinds of squares, a tiny backbone without weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from conftest import TINY_BACKBONE

from stages.data.sample import Sample
from stages.data_settings import DataSettings
from stages.learners.federated.learner import FederatedLearner
from stages.learners.federated.settings import FederateSettings
from stages.learners.network.backbones import imagenet_backbone
from stages.learners.network.model import NetworkLearner
from stages.preprocess import Preprocess
from stages.settings import HeadSettings, PreprocessSettings, StageSettings, TrainSettings
from stages.task import Task

SIZE = 32
CLASSES = ("dark", "bright")


def make_task(count: int = 64) -> tuple[Task, list[Sample]]:
    """A task and its samples: four images a group, both classes in every group."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % 2
    images = random.integers(60, 120, (count, SIZE, SIZE, 3)).astype(np.uint8)
    images[labels == 1, 8:24, 8:24] = 230
    third = count // 4
    rows = {
        "train": np.arange(0, 2 * third),
        "validation": np.arange(2 * third, 3 * third),
        "test": np.arange(3 * third, count),
    }
    samples = [
        Sample(Path(f"{row}.png"), f"{row}.png", CLASSES[labels[row]], "x", group=f"g{row // 4}", order=row)
        for row in range(count)
    ]
    preprocess = Preprocess(PreprocessSettings(image_size=SIZE))
    return Task(images, labels, rows, CLASSES, preprocess, np.arange(count) // 4), samples


def make_learner(
    folder: Path, samples: list[Sample], train: dict[str, object] | None = None, **settings: object
) -> FederatedLearner:
    start = folder / "start.safetensors"
    record = imagenet_backbone(TINY_BACKBONE, "none", start, 0)
    values = {
        "epochs": 9,
        "head_epochs": 0,
        "batch_size": 8,
        "learning_rate": 3e-3,
        "keep": "last",
        **(train or {}),
    }
    stage = StageSettings(
        data=DataSettings(dataset="x"),
        preprocess=PreprocessSettings(image_size=SIZE),
        head=HeadSettings(hidden=(8,), dropout=0.2),
        train=TrainSettings.model_validate(values),
    )
    base = NetworkLearner(stage, record, start, seed=3)
    told = {"clients": 2, "rounds": 2, "local_epochs": 1, **settings}
    return FederatedLearner(base, FederateSettings.model_validate(told), samples)
