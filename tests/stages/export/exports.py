"""Small networks to export."""

from __future__ import annotations

import numpy as np
import torch
from conftest import TINY_BACKBONE

from stages.calibrate import Accepted, Calibration, Certainty
from stages.learners.network.backbones import create_backbone
from stages.learners.network.model import NetworkModel
from stages.learners.network.network import Network
from stages.preprocess import Preprocess
from stages.settings import HeadSettings, PreprocessSettings

CLASSES = ("a", "b", "c")


def small_model(
    temperature: float | None = 0.4,
    *,
    flips: bool = False,
    activation: str = "softmax",
    name: str = TINY_BACKBONE,
    size: int = 32,
) -> NetworkModel:
    """A network of random weights that has seen no image, calibrated where a temperature is given."""
    torch.manual_seed(0)
    backbone, record = create_backbone(name, "none", "avg", size)
    head = HeadSettings.model_validate({"activation": activation})
    preprocess = Preprocess(PreprocessSettings(image_size=size))
    model = NetworkModel(Network(backbone, record, head, CLASSES), record, head, preprocess, flips)
    if temperature is not None:
        each = tuple(Accepted(least=0.1, groups=9, images=9, unit="groups") for _ in CLASSES)
        certainty = Certainty(
            temperature=temperature, accepted=each, unsure_below=0.5, farthest={}, images=9, groups=9
        )
        model.calibration = Calibration(certainty, {})
    return model


def pictures(count: int = 3) -> list[np.ndarray]:
    """Images of several sizes."""
    random = np.random.default_rng(1)
    return [random.integers(0, 256, (40 + 9 * (i % 5), 70 - 5 * (i % 5), 3), np.uint8) for i in range(count)]
