"""Train a segmentation network on random crops: a training that resumes to the bit and reports as it goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import pytorch_lightning as pl
import torch
from pydantic import Field
from safetensors.torch import load_file
from timm.utils.model_ema import ModelEmaV3
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler

from segmentation.augment import ColourSettings, recolour
from segmentation.crops import CropSettings, Pair, Pairs, sample_batch
from segmentation.engine import (
    Ledger,
    Progress,
    Trainable,
    count_processes,
    fit,
    make_loggers,
    make_trainer,
    mixed_seed,
    process_rank,
    with_precision,
)
from segmentation.errors import ModelError, ParameterError
from segmentation.losses import levels_loss
from segmentation.networks import SegmentationNetwork
from segmentation.probe import probe_images
from segmentation.schedule import rate_factor
from segmentation.settings import Hardware, Settings

__all__ = ["StepSettings", "TrainSettings", "Trained", "Validate", "train_network"]

Validate = Callable[[SegmentationNetwork], float]
"""Scores a network; called with the averaged one."""

_CLIP = 5.0  # largest norm of the gradients

Batch = tuple[torch.Tensor, torch.Tensor, int, int]


class StepSettings(Settings):
    """What a step of a training is."""

    batch_size: Annotated[int, Field(ge=1)] = Field(16, description="crops a step")
    border: Annotated[float, Field(ge=0)] = Field(0.5, description="extra weight of pixels near borders")
    seed: Annotated[int, Field(ge=0)] = Field(
        0, description="of crops and changes; the network's weights are drawn by whoever builds it"
    )


class TrainSettings(StepSettings):
    """How a network is trained."""

    steps: Annotated[int, Field(ge=1)] = Field(3000, description="optimiser steps")
    learning_rate: Annotated[float, Field(gt=0, le=1)] = Field(
        3e-3,
        description="peak of AdamW's; it warms up over the first twentieth and falls as a cosine",
    )
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    average: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.998,
        description="decay of the moving average of weights that is kept in the end; 0 keeps the last weights",
    )
    every: Annotated[int, Field(ge=1)] = Field(100, description="steps between reports and checkpoints")
    rehearsal: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0,
        description="part of each batch that is cut from pairs of another origin, where a training is given such, so that a "
        "network that learns one laboratory does not forget the others (rehearsal, Robins 1995)",
    )
    crops: CropSettings = Field(CropSettings(), description="how crops are cut")
    colours: ColourSettings | None = Field(
        ColourSettings(), description="how their colours change; None leaves them"
    )


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
    hardware: Hardware | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
    validate: Validate | None = None,
) -> Trained:
    """Train a network in place; afterwards it holds the averaged weights, on the CPU and in evaluation mode.

    Args:
        network: The network; its weights are the start.
        pairs: (image, mask) arrays or paths, see `segmentation.crops.Pairs`.
        settings: How to train.
        rehearsal: Pairs that `settings.rehearsal` of each batch is cut from.
        hardware: What to train on. Of several processes each learns from its part of a batch.
        folder: The same in all processes. Of `last.ckpt`, which is rewritten every `settings.every` steps and resumed from where it exists, and
            `weights.safetensors`; nothing is kept if None.
        progress: Told about every step.
        validate: Scores the averaged network at every report.

    Returns:
        What was done.

    Raises:
        ModelError: If the crops do not fit the network, the checkpoint belongs to other settings, or the hardware is not there.
        ParameterError: If `settings.rehearsal` is above 0 without pairs to rehearse.
        TrainingError: If the loss is no longer finite.
        KeyboardInterrupt: If stopped; the same call resumes.
    """
    if settings.rehearsal and not rehearsal:
        raise ParameterError(
            f"Expected `rehearsal` to be 0 without pairs to rehearse, but got {settings.rehearsal}; do give some"
        )
    if settings.crops.size % network.multiple:
        raise ModelError(
            f"Expected `crops.size` to be a multiple of {network.multiple}, but got {settings.crops.size}; "
            "do choose one, or a network with less depth"
        )
    probed = partial(_probed_loss, settings=settings)
    hardware = with_precision(hardware or Hardware(), network, probed, repr(network.recipe))
    with TemporaryDirectory() as spare:
        ledger = Ledger(
            folder or Path(spare),
            epochs=-(-settings.steps // settings.every),
            steps=settings.steps,
            progress=progress,
            identity=f"{settings.model_dump_json()} {hardware.precision}",
        )
        ledger.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        resumes = ledger.resume()
        if not ledger.finished():
            _fit(network, Pairs(pairs), Pairs(rehearsal) if rehearsal else None, settings,
                 hardware, ledger, resumes, validate)  # fmt: skip
        network.load_state_dict(load_file(ledger.weights))
    network.cpu().eval()
    history = ledger.history
    return Trained(
        settings.steps,
        tuple(row["train_loss"] for row in history),
        tuple(row["validation_dice"] for row in history if "validation_dice" in row),
    )


def _probed_loss(network: nn.Module, settings: TrainSettings) -> torch.Tensor:
    assert isinstance(network, SegmentationNetwork)  # noqa: S101 - tells the type checker
    size, device = settings.crops.size, next(network.parameters()).device
    images = probe_images(settings.batch_size, size).to(device)
    labels = (images.mean(dim=1) * 3).long().clamp(0, 2)
    levels = network.forward_levels(images)
    with torch.autocast(device.type, enabled=False):
        return levels_loss(levels, labels, settings.border)


def _fit(
    network: SegmentationNetwork,
    pairs: Pairs,
    rehearsal: Pairs | None,
    settings: TrainSettings,
    hardware: Hardware,
    ledger: Ledger,
    resumes: bool,
    validate: Validate | None,
) -> None:
    callbacks = [*([_Validating(validate)] if validate else []), ledger]
    loggers = make_loggers(hardware.logger, ledger.checkpoint.parent)
    trainer = make_trainer(hardware, ledger.epochs, callbacks, clip=_CLIP, loggers=loggers)
    processes = count_processes(trainer)
    if settings.batch_size < processes:
        raise ModelError(
            f"Expected `batch_size` to be {processes} or more, a crop for each process, but got {settings.batch_size}; do raise it"
        )
    crops = _Crops(pairs, rehearsal, settings, processes)
    loader = DataLoader(crops, batch_size=None, sampler=_Reports(settings.steps, settings.every))
    fit(trainer, _Module(network, settings), loader, checkpoint=ledger.checkpoint if resumes else None)
    if not ledger.finished():  # processes that were spawned kept it
        ledger.resume()


class _Reports(Sampler[int]):
    """The steps between two reports, which are an epoch here."""

    def __init__(self, steps: int, every: int) -> None:
        self.steps, self.every, self.epoch = steps, every, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, counted from 0; Lightning calls this."""
        self.epoch = epoch

    def _range(self) -> range:
        return range(self.epoch * self.every, min((self.epoch + 1) * self.every, self.steps))

    def __len__(self) -> int:
        return len(self._range())

    def __iter__(self) -> Iterator[int]:
        # Not before the first step is asked for: Lightning begins to iterate before it chooses the epoch.
        yield from self._range()


class _Crops(Dataset[Batch]):
    """The batches of a training: a function of seed and step."""

    def __init__(
        self, pairs: Pairs, rehearsal: Pairs | None, settings: TrainSettings, processes: int
    ) -> None:
        self.pairs, self.rehearsal, self.settings, self.processes = pairs, rehearsal, settings, processes

    def __getitem__(self, step: int) -> Batch:
        """Return images (B, 3, S, S), labels (B, S, S), a seed for changes of colour, and the step."""
        rng = np.random.default_rng([self.settings.seed, step])
        images, labels = self._batch(rng)
        own = slice(process_rank() if self.processes > 1 else 0, None, self.processes)
        return images[own], labels[own], int(rng.integers(2**62)), step

    def _batch(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        count, crops = self.settings.batch_size, self.settings.crops
        if self.rehearsal is None or not self.settings.rehearsal:
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


class _Average(ModelEmaV3):
    """The moving average of weights and running statistics; a young one forgets faster, so that the random start does not linger."""

    def get_decay(self, step: int | None = None) -> float:
        """Return what stays of the average when the weights after a step, from 0, are added."""
        return min(self.decay, (1 + step) / (10 + step)) if step else 0.0


class _Module(Trainable):
    """Loss, optimiser and moving average."""

    def __init__(self, network: SegmentationNetwork, settings: TrainSettings) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.settings = settings

    def setup(self, stage: str) -> None:
        """Begin the average; here, since it cannot be sent to a process that is spawned."""
        self.average = _Average(self.network, self.settings.average).requires_grad_(False)

    def kept(self) -> SegmentationNetwork:
        """Return the averaged network."""
        averaged: SegmentationNetwork = self.average.module
        return averaged

    def configure_optimizers(self) -> Any:
        """Build AdamW, and its warm-up and cosine."""
        settings = self.settings
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        rise = max(settings.steps // 20, 1)
        factor = partial(rate_factor, "cosine", total=settings.steps, rise=rise, reach=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_epoch_start(self) -> None:
        """Set both networks to what they are for."""
        self.network.train()
        self.average.eval()

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        """Return the loss of one batch."""
        images, labels, seed, step = batch
        # Some architectures have dropout, which draws from the global generator.
        torch.manual_seed(mixed_seed(self.settings.seed, step, self.global_rank))
        # Colours and the loss are computed in full precision, the network alone in less.
        with torch.autocast(self.device.type, enabled=False):
            if self.settings.colours is not None:
                generator = torch.Generator().manual_seed(seed + self.global_rank)
                images, labels = recolour(images, labels, self.settings.colours, generator)
        levels = self.network.forward_levels(images)
        with torch.autocast(self.device.type, enabled=False):
            loss = levels_loss(levels, labels, self.settings.border)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(labels), sync_dist=True)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Add the new weights to the average."""
        self.average.update(self.network, step=batch[3])


class _Validating(pl.Callback):
    """Score the averaged network at every report; of several processes the first does."""

    def __init__(self, validate: Validate) -> None:
        self.validate = validate

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the score, before the ledger writes it down."""
        assert isinstance(pl_module, _Module)  # noqa: S101 - tells the type checker
        score = self.validate(pl_module.kept()) if trainer.is_global_zero else 0.0
        pl_module.log("validation_dice", trainer.strategy.broadcast(score))
