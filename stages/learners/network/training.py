"""Train one stage, resume it, and predict with what it learned."""

from __future__ import annotations

import logging
import signal
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from segmentation.settings import Hardware
from stages.errors import ModelError
from stages.learners.network.backbones import load_state
from stages.learners.network.batches import EpochSampler, make_loader, task_part
from stages.learners.network.ledger import Ledger, Progress, Row, best_epoch
from stages.learners.network.module import StageModule
from stages.learners.network.network import Network
from stages.settings import StageSettings
from stages.task import Task

__all__ = ["Trained", "Watch", "train_stage"]

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
        watch: Looks at the scores of every validation, and may stop the training by raising.

    Returns:
        The network on the CPU in evaluation mode, holding the kept epoch's weights.

    Raises:
        ModelError: If the loss is no longer finite, or the hardware asked for is not there.
        KeyboardInterrupt: If stopped; the same call resumes.
    """
    started = time.perf_counter()
    train, validation = task_part(task, "train"), task_part(task, "validation")
    ledger = Ledger(folder, progress)
    module = StageModule(network, settings, seed, train, validation, bank)
    sampler = EpochSampler(train.labels.numpy(), seed, settings.train.balance == "oversample")
    loader = make_loader(train, settings.train.batch_size, sampler)
    module.steps_per_epoch = len(loader)
    checkpoint = folder / "last.ckpt"
    state = _read_checkpoint(checkpoint)
    if state:
        ledger.load_state_dict(state["callbacks"][ledger.state_key])
    if not ledger.finished(settings.train.epochs, settings.train.patience, settings.train.monitor):
        callbacks = [ledger, _Guard(), *([_Watching(watch)] if watch else [])]
        trainer = _make_trainer(settings.train.epochs, hardware or Hardware(), callbacks, len(validation) > 0)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric|torch")
            _fit(trainer, module, loader, make_loader(validation, 64), checkpoint if state else None)
    network.load_state_dict(load_state(folder / "weights.safetensors"))
    kept = (
        best_epoch(ledger.history, settings.train.monitor)
        if settings.train.keep == "best"
        else len(ledger.history) - 1
    )
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Trained(network.cpu().eval(), ledger.history, kept, time.perf_counter() - started, parameters)


class _Guard(pl.Callback):
    """Stop a run whose loss is no longer finite, before its weights replace good ones."""

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the loss of every step."""
        if not torch.isfinite(outputs["loss"]):
            raise ModelError(
                f"Expected the training loss to stay finite, but it became {float(outputs['loss'])} in epoch "
                f"{trainer.current_epoch}; do lower `train.learning_rate`"
            )


class _Watching(pl.Callback):
    """Tell somebody outside of every validation, so that a tuner can prune."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell the scores of this epoch."""
        scores = {key: float(value) for key, value in trainer.callback_metrics.items()}
        self.watch(trainer.current_epoch, scores)


def _read_checkpoint(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can fail in any way
        raise ModelError(
            f"Expected {path} to be a checkpoint, but it cannot be read; do delete it to train this stage again"
        ) from error
    return state


def _fit(
    trainer: pl.Trainer, module: StageModule, train: Any, validation: Any, checkpoint: Path | None
) -> None:
    # Lightning turns Ctrl-C into exit code 1 and leaves the signal ignored; the application wants it back.
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(
            module, train, validation, ckpt_path=checkpoint, weights_only=True if checkpoint else None
        )
    except SystemExit as stopped:
        raise KeyboardInterrupt from stopped
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)


def _make_trainer(
    epochs: int, hardware: Hardware, callbacks: list[pl.Callback], validates: bool
) -> pl.Trainer:
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        return pl.Trainer(
            accelerator=hardware.accelerator,
            devices=hardware.devices,
            strategy=hardware.strategy,
            precision=hardware.precision,  # type: ignore[arg-type]  # Lightning checks the words itself
            max_epochs=epochs,
            limit_val_batches=1.0 if validates else 0,
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=callbacks,
        )
    except (
        Exception
    ) as error:  # Lightning raises several kinds for words it does not know and devices that are not there
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"Expected `hardware` (--accelerator, --devices, --strategy, --precision) to suit this machine, but got: {reason}; "
            "do choose what it has"
        ) from error
