"""How long a stage will take: a few images timed on this machine, and how often the learner looks at each."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from segmentation.engine import pick_device
from segmentation.probe import probe_images
from segmentation.settings import Hardware
from stages.learners.network.backbones import rebuild_backbone
from stages.learners.network.finetune import first_kept_epoch
from stages.learners.network.module import stage_loss
from stages.learners.network.network import Network
from stages.learners.network.weights import WeightRecord
from stages.learners.stacked.closed_form import LeastSquares
from stages.learners.stacked.depths import DepthFeatures, layers_between
from stages.settings import HeadSettings, StageSettings
from stages.stacked_settings import STACKED

__all__ = ["Expected", "Pace", "expect", "measure_pace"]

_IMAGES = 8
_ROWS = 256
_FLIPS = 4


@dataclass(frozen=True)
class Pace:
    """Seconds on this machine; weights do not matter to them.

    Attributes:
        look: A pass forward through what the learner asks, an image.
        step: A pass forward and back, an image; 0 for a learner at rest.
        features: That a learner at rest fits its head on; 0 for a network.
        head: That head on 256 images, by the width of the features.
    """

    look: float
    step: float = 0.0
    features: int = 0
    head: float = 0.0


@dataclass(frozen=True)
class Expected:
    """What a stage will take.

    Attributes:
        seconds: In all.
        epoch: One epoch of all layers that learn; None without epochs.
    """

    seconds: float
    epoch: float | None = None


def measure_pace(settings: StageSettings, record: WeightRecord, hardware: Hardware) -> Pace:
    """Time a few images of a stage's size, with random weights.

    Args:
        settings: Of the stage; its learner is a network or `stacked`.
        record: Names backbone and normalisation.
        hardware: What shall be trained on.

    Raises:
        ModelError: If the backbone cannot be built at this size, or the hardware is not there.
    """
    size, device = settings.preprocess.image_size, pick_device(hardware)
    head = settings.head if settings.learner == "network" else HeadSettings()
    backbone = rebuild_backbone(record, settings.pool, size)
    network = Network(backbone, record, head, ("first", "second")).to(device)
    images = probe_images(_IMAGES, size).to(device)
    if settings.learner == STACKED:
        layers = layers_between(backbone, *settings.stacked.depths)
        describe = DepthFeatures(network, layers, settings.stacked.views)
        pixels = (images * 255).byte().permute(0, 2, 3, 1).cpu().numpy()
        width = describe(pixels).shape[1]
        rows = np.random.default_rng(0).normal(size=(_ROWS, width))
        fit = _seconds(lambda: LeastSquares.path(rows, np.arange(_ROWS) % 2, 2))
        return Pace(_seconds(lambda: describe(pixels)) / _IMAGES, features=width, head=fit)

    def step() -> None:
        targets = torch.full((_IMAGES, 2), 0.5, device=device)
        stage_loss(network(images).float(), targets, network.activation).backward()  # type: ignore[no-untyped-call]

    trained = _seconds(step, network.train) / _IMAGES
    with torch.inference_mode():
        return Pace(_seconds(lambda: network(images).cpu(), network.eval) / _IMAGES, trained)


def expect(settings: StageSettings, pace: Pace, counts: tuple[int, int, int], flips: bool) -> Expected:
    """Return what a stage takes at a pace; reading images, colour alone and the report come on top.

    Args:
        settings: Of the stage.
        pace: Of its learner on this machine.
        counts: Images that train, validate and test.
        flips: Whether a network averages over mirror images.
    """
    train, validation, test = counts
    if settings.learner == STACKED:
        folds, learned = settings.stacked.folds, train + validation
        # The decomposition is of the smaller side of images by features.
        side = min(learned, pace.features) / min(_ROWS, pace.features)
        return Expected(sum(counts) * pace.look + (folds + 2) * pace.head * side**3)
    rules = settings.train
    frozen = rules.epochs if rules.policy == "frozen" else first_kept_epoch(rules)
    epoch = train * settings.augment.copies * pace.step + validation * pace.look
    features = (train + validation) * pace.look if frozen else 0.0
    said = (validation + test) * pace.look * (_FLIPS if flips else 1)
    return Expected(features + (rules.epochs - frozen) * epoch + said, epoch)


def _seconds(run: Callable[[], object], first: Callable[[], object] = lambda: None) -> float:
    first()
    run()
    taken = []
    for _ in range(2):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return min(taken)
