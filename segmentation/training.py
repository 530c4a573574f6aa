"""Train a segmentation network on random crops: a plain loop that resumes to the bit and reports as it goes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch

from segmentation.augment import ColourSettings, recolour
from segmentation.crops import CropSettings, Pair, Pairs, sample_batch
from segmentation.errors import ModelError, ParameterError
from segmentation.files import write_whole
from segmentation.losses import levels_loss
from segmentation.networks import SegmentationNetwork

__all__ = ["TrainSettings", "Trained", "train_network"]


@dataclass(frozen=True)
class TrainSettings:
    """How a network is trained.

    Attributes:
        steps: Optimiser steps.
        batch_size: Crops a step.
        lr: Largest learning rate of AdamW; it warms up over the first twentieth and falls as a cosine.
        weight_decay: Of AdamW.
        border: Extra weight of pixels near borders.
        average: Decay of the moving average of weights that is kept in the end; 0 keeps the last weights.
        precision: `bf16` runs under autocast, `fp32` does not.
        seed: Of crops and changes; the network's weights are drawn by whoever builds it.
        every: Steps between reports and checkpoints.
        rehearsal: Part of each batch that is cut from pairs of another origin, where a training is given such, so that a
            network that learns one laboratory does not forget the others (rehearsal, Robins 1995).
        crops: How crops are cut.
        colours: How their colours change; None leaves them.
    """

    steps: int = 3000
    batch_size: int = 16
    lr: float = 3e-3
    weight_decay: float = 1e-4
    border: float = 0.5
    average: float = 0.998
    precision: Literal["bf16", "fp32"] = "fp32"
    seed: int = 0
    every: int = 100
    rehearsal: float = 0.0
    crops: CropSettings = field(default_factory=CropSettings)
    colours: ColourSettings | None = field(default_factory=ColourSettings)


@dataclass(frozen=True)
class Trained:
    """What a training left behind.

    Attributes:
        steps: Steps done.
        losses: Mean training loss between reports, the oldest first.
        validation: Scores returned by the validation, in the same order; empty without one.
    """

    steps: int
    losses: tuple[float, ...]
    validation: tuple[float, ...]


def train_network(
    network: SegmentationNetwork,
    pairs: Sequence[Pair],
    settings: TrainSettings,
    *,
    rehearsal: Sequence[Pair] = (),
    device: str = "cpu",
    checkpoint: Path | None = None,
    progress: Callable[[int, float, float | None], None] | None = None,
    validate: Callable[[SegmentationNetwork], float] | None = None,
) -> Trained:
    """Train a network in place; afterwards it holds the averaged weights and is in evaluation mode.

    Args:
        network: The network; its weights are the start.
        pairs: (image, mask) arrays or paths, see `segmentation.crops.Pairs`.
        settings: How to train.
        rehearsal: Pairs that `settings.rehearsal` of each batch is cut from.
        device: Where to train, such as `cpu` or `cuda`.
        checkpoint: File that is rewritten every `settings.every` steps, and resumed from where it exists.
        progress: Called with (step, mean loss, validation score or None) at every report.
        validate: Scores the averaged network at every report.

    Returns:
        What was done.

    Raises:
        ModelError: If the crops do not fit the network, or the checkpoint belongs to other settings.
        ParameterError: If `settings.rehearsal` is not in [0, 1), or above 0 without pairs to rehearse.
    """
    if not 0 <= settings.rehearsal < 1 or (settings.rehearsal and not rehearsal):
        raise ParameterError(
            f"Expected `rehearsal` to be 0, or below 1 with pairs to rehearse, but got {settings.rehearsal} with "
            f"{len(rehearsal)} pairs; do change it"
        )
    if settings.crops.size % network.multiple:
        raise ModelError(
            f"Expected `crops.size` to be a multiple of {network.multiple}, but got {settings.crops.size}; "
            "do choose one, or a network with less depth"
        )
    run = _Run(network, Pairs(pairs), settings, torch.device(device))
    if settings.rehearsal:
        run.rehearsal = Pairs(rehearsal)
    if checkpoint is not None and checkpoint.exists():
        run.resume(checkpoint)
    gathered: list[float] = []
    while run.step < settings.steps:
        gathered.append(run.advance())
        if run.step % settings.every and run.step < settings.steps:
            continue
        run.losses.append(float(np.mean(gathered)))
        gathered.clear()
        score = None
        if validate is not None:
            score = validate(run.averaged())
            run.validation.append(score)
        if checkpoint is not None:
            run.save(checkpoint)
        if progress is not None:
            progress(run.step, run.losses[-1], score)
    network.load_state_dict(run.averaged().state_dict())
    network.eval()
    return Trained(run.step, tuple(run.losses), tuple(run.validation))


class _Run:
    # The state of a training between two steps.
    def __init__(
        self, network: SegmentationNetwork, pairs: Pairs, settings: TrainSettings, device: torch.device
    ) -> None:
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.pairs, self.settings, self.device = pairs, settings, device
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay
        )
        decay = settings.average

        def blend(mean: torch.Tensor, new: torch.Tensor, count: torch.Tensor | int) -> torch.Tensor:
            # Young averages forget faster, so that the random start does not linger.
            weight = min(decay, (1 + int(count)) / (10 + int(count)))
            return mean * weight + new * (1 - weight) if new.is_floating_point() else new

        self.average = torch.optim.swa_utils.AveragedModel(network, avg_fn=blend, use_buffers=True)
        self.rehearsal: Pairs | None = None
        self.step = 0
        self.losses: list[float] = []
        self.validation: list[float] = []

    def averaged(self) -> SegmentationNetwork:
        return cast(SegmentationNetwork, self.average.module.eval())

    def advance(self) -> float:
        settings = self.settings
        rng = np.random.default_rng([settings.seed, self.step])
        images, labels = self._batch(rng)
        images, labels = images.to(self.device), labels.to(self.device)
        if settings.colours is not None:
            generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
            images, labels = recolour(images, labels, settings.colours, generator)
        for group in self.optimizer.param_groups:
            group["lr"] = settings.lr * _rate(self.step, settings.steps)
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            levels = self.network.forward_levels(images)
        loss = levels_loss(levels, labels, settings.border)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return float(loss.detach())

    def _batch(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        count, crops = self.settings.batch_size, self.settings.crops
        if self.rehearsal is None:
            return sample_batch(self.pairs, count, crops, rng)
        # Drawn and not rounded, so that small batches keep the share, too.
        old = int(rng.binomial(count, self.settings.rehearsal))
        parts = [
            sample_batch(pairs, part, crops, rng)
            for pairs, part in ((self.pairs, count - old), (self.rehearsal, old))
            if part
        ]
        images, labels = zip(*parts, strict=True)
        return torch.cat(images), torch.cat(labels)

    def save(self, path: Path) -> None:
        state = {
            "settings": repr(asdict(self.settings)),
            "step": self.step,
            "losses": self.losses,
            "validation": self.validation,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        write_whole(path, lambda temporary: torch.save(state, temporary))

    def resume(self, path: Path) -> None:
        state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
        if state["settings"] != repr(asdict(self.settings)):
            raise ModelError(
                f"Expected `checkpoint` to be of the same settings, but got {path} of others; do remove it or name another"
            )
        self.step, self.losses, self.validation = state["step"], state["losses"], state["validation"]
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])


def _rate(step: int, steps: int) -> float:
    warm = max(steps // 20, 1)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1)))
