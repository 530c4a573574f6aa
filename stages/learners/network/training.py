"""Train one stage, resume it, and predict with what it learned."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn

from segmentation.engine import (
    Ledger,
    Progress,
    RateSweep,
    Row,
    Sweep,
    count_processes,
    fit,
    make_loggers,
    make_trainer,
    pick_device,
    with_precision,
)
from segmentation.errors import TrainingError
from segmentation.probe import probe_images
from segmentation.settings import Hardware
from stages.learners.network.batches import EpochSampler, StoreDataset, make_loader, task_part
from stages.learners.network.finetune import first_kept_epoch
from stages.learners.network.leg import Leg
from stages.learners.network.loading import load_state
from stages.learners.network.module import StageModule, stage_loss
from stages.learners.network.network import Network
from stages.settings import StageSettings
from stages.task import Task

__all__ = ["Trained", "Watch", "sweep_stage", "train_stage"]

Watch = Callable[[int, Mapping[str, float]], None]
"""Called with (epoch from 0, scores on the validation part) after each validation; what it raises ends the training."""


@dataclass(frozen=True)
class Trained:
    """What training left: the network with the weights that were kept, and how it went."""

    network: Network
    history: list[Row]
    best_epoch: int
    seconds: float
    parameters: int = field(default=0)


def train_stage(
    network: Network,
    task: Task,
    settings: StageSettings,
    folder: Path,
    seed: int,
    hardware: Hardware | None = None,
    progress: Progress | None = None,
    bank: Path | None = None,
    watch: Watch | None = None,
    leg: Leg | None = None,
) -> Trained:
    """Train a network on a task, from `last.ckpt` in `folder` if one is there.

    Args:
        network: Backbone with the parent stage's weights, and a fresh head.
        task: Images, labels, parts.
        settings: Of the stage.
        folder: Existing folder of the stage; gets `last.ckpt` (epoch ends) and `weights.safetensors`.
        seed: All randomness follows from it.
        hardware: Accelerator, devices, strategy, precision.
        progress: Told about every step.
        bank: File for the features of all images under the starting weights, which other runs may share; none if None.
        watch: Looks at the scores of every validation, and may stop the training by raising. As progress, it is not told of by
            processes that are spawned.
        leg: Train some of the epochs alone, from weights that others had a say in; the whole training if None.

    Returns:
        The network on the device that trained it, in evaluation mode, holding the kept epoch's weights.

    Raises:
        ModelError: If the hardware asked for is not there, or `last.ckpt` cannot be read.
        TrainingError: If the loss is no longer finite.
        KeyboardInterrupt: If stopped; the same call resumes.
    """
    started = time.perf_counter()
    train, validation = task_part(task, "train"), task_part(task, "validation")
    module = StageModule(network, settings, seed, train, validation, bank, leg)
    rules = settings.train
    sampler = _sampler(train, settings, seed)
    epochs = leg.until if leg else rules.epochs
    ledger = Ledger(
        folder,
        epochs=epochs,
        monitor=rules.monitor,
        patience=rules.patience,
        keep_best=rules.keep == "best",
        first=first_kept_epoch(rules),
        progress=progress,
    )
    resumes = ledger.resume()
    hardware = hardware or Hardware()
    if not ledger.finished():
        hardware = _probed(hardware, network, settings)
        callbacks: list[pl.Callback] = [ledger, *([_Watching(watch)] if watch else [])]
        if leg and len(ledger.history) == leg.begin:  # else the leg goes on where it was stopped
            callbacks.append(_Beginning(leg))
        loggers = make_loggers(hardware.logger, folder)
        trainer = make_trainer(hardware, epochs, callbacks, len(validation) > 0, loggers=loggers)
        processes = count_processes(trainer)
        loader = (
            leg.private.loader(train, rules.batch_size, seed)
            if leg and leg.private
            else make_loader(train, rules.batch_size, sampler, processes)
        )
        module.steps_per_epoch = len(loader)
        fit(
            trainer,
            module,
            loader,
            make_loader(validation, 64, processes=processes),
            ledger.checkpoint if resumes else None,
        )
        if not ledger.finished():  # processes that were spawned kept it
            ledger.resume()
    device = pick_device(hardware)
    network.load_state_dict(load_state(ledger.weights))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Trained(
        network.to(device).eval(), ledger.history, ledger.best(), time.perf_counter() - started, parameters
    )


def sweep_stage(
    network: Network,
    task: Task,
    settings: StageSettings,
    sweep: RateSweep,
    seed: int,
    hardware: Hardware | None = None,
    bank: Path | None = None,
) -> Sweep:
    """Train a network on a task while its learning rate rises, and return what the loss did; the weights are spoilt.

    Epochs of the head alone come first, at their own rate, as in the training that the rate is for.

    Args:
        network: As for `train_stage`.
        task: Images, labels, parts; the training part alone is looked at.
        settings: Of the stage.
        sweep: From which rate to which; its `begin` is set here.
        seed: All randomness follows from it.
        hardware: Accelerator, devices, strategy, precision.
        bank: As for `train_stage`.

    Raises:
        ModelError: If the hardware asked for is not there.
        TrainingError: If the loss is not finite from the start.
    """
    train, nothing = task_part(task, "train"), StoreDataset(task.images, [], np.empty(0, np.int64))
    module = StageModule(network, settings, seed, train, nothing, bank)
    sweep.begin = first_kept_epoch(settings.train)
    hardware = _probed(hardware or Hardware(), network, settings)
    trainer = make_trainer(hardware, sweep.begin + len(sweep.planned), [sweep])
    loader = make_loader(
        train, settings.train.batch_size, _sampler(train, settings, seed), count_processes(trainer)
    )
    module.steps_per_epoch = len(loader)
    try:
        fit(trainer, module, loader)
    except TrainingError:
        if not sweep.rates:
            raise
    return sweep.sweep()


def _sampler(train: StoreDataset, settings: StageSettings, seed: int) -> EpochSampler:
    rules = settings.train
    return EpochSampler(
        train.labels.numpy(),
        seed,
        rules.balance == "oversample",
        rules.oversample_to,
        settings.augment.copies,
    )


def _probed(hardware: Hardware, network: Network, settings: StageSettings) -> Hardware:
    size = settings.preprocess.image_size
    probed = partial(_probed_loss, size=size, batch=settings.train.batch_size)
    return with_precision(hardware, network, probed, f"{type(network.backbone).__name__}|{size}")


def _probed_loss(network: nn.Module, size: int, batch: int) -> torch.Tensor:
    assert isinstance(network, Network)  # noqa: S101 - tells the type checker
    logits = network(probe_images(batch, size).to(next(network.parameters()).device))
    targets = torch.full((batch, len(network.classes)), 1 / len(network.classes), device=logits.device)
    return stage_loss(logits.float(), targets, network.activation)


class _Beginning(pl.Callback):
    """Put the weights that a leg begins from in place of those that the checkpoint brought."""

    def __init__(self, leg: Leg) -> None:
        self.leg = leg

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Load them; what others have no say in stays."""
        assert isinstance(pl_module, StageModule)  # noqa: S101 - tells the type checker
        pl_module.network.load_state_dict({**pl_module.network.state_dict(), **self.leg.start})


class _Watching(pl.Callback):
    """Tell somebody outside of every validation, so that a tuner can prune."""

    def __init__(self, watch: Watch | None) -> None:
        self.watch = watch

    def __getstate__(self) -> dict[str, Any]:
        # As progress, it lives in one process.
        return {**self.__dict__, "watch": None}

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell the scores of this epoch."""
        if self.watch:
            scores = {key: float(value) for key, value in trainer.callback_metrics.items()}
            self.watch(trainer.current_epoch, scores)
