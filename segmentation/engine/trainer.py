"""Lightning's Trainer as we use it: made from `Hardware`, fitted, stopped, and every failure in one sentence."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger
from torch import nn
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from segmentation.engine.ledger import Trainable
from segmentation.errors import ModelError, TrainingError
from segmentation.probe import FP32, probe_training
from segmentation.settings import Hardware

__all__ = ["count_processes", "fit", "make_trainer", "pick_device", "with_precision"]

# What is frozen in an epoch has no gradient then; only these strategies let that be.
_STRATEGIES = {
    "ddp": "ddp_find_unused_parameters_true",
    "ddp_spawn": "ddp_spawn_find_unused_parameters_true",
    "ddp_fork": "ddp_fork_find_unused_parameters_true",
}


def make_trainer(
    hardware: Hardware,
    epochs: int,
    callbacks: Sequence[pl.Callback] = (),
    validates: bool = False,
    clip: float | None = None,
    loggers: Sequence[Logger] = (),
) -> pl.Trainer:
    """Return a Trainer that writes, shows and shuffles nothing by itself, and stops at a loss that is not finite.

    Args:
        hardware: What to train on.
        epochs: At most.
        callbacks: In their order.
        validates: Whether `fit` gets a validation loader.
        clip: Largest norm of the gradients; None does not clip.
        loggers: Of `make_loggers`.

    Raises:
        ModelError: If the hardware asked for is not there.
    """
    strategy = _STRATEGIES.get(hardware.strategy, hardware.strategy)
    if strategy == "auto" and hardware.devices != 1 and _probe(hardware).num_devices > 1:
        strategy = _STRATEGIES["ddp"]
    return _trainer(
        hardware,
        strategy=strategy,
        precision=FP32 if hardware.precision == "auto" else hardware.precision,
        max_epochs=epochs,
        limit_val_batches=1.0 if validates else 0,
        gradient_clip_val=clip,
        callbacks=[_Guard(), *callbacks],
        logger=list(loggers) or False,
    )


def with_precision(
    hardware: Hardware, network: nn.Module, loss: Callable[[nn.Module], torch.Tensor], key: str
) -> Hardware:
    """Return the hardware with a precision in place of `auto`: what a probe of one step finds faster and as good.

    Args:
        hardware: As asked for.
        network: What shall be trained.
        loss: Returns its loss on some batch, on its device.
        key: What is trained; the probe remembers the speed by it.
    """
    if hardware.precision != "auto":
        return hardware
    found = probe_training(network, loss, key, pick_device(hardware))
    return hardware.model_copy(update={"precision": found.precision})


def pick_device(hardware: Hardware) -> torch.device:
    """Return the (first) device that trains.

    Raises:
        ModelError: If the hardware asked for is not there.
    """
    return _probe(hardware).strategy.root_device


def count_processes(trainer: pl.Trainer) -> int:
    """Return how many processes a Trainer shares its work among, also before they are started."""
    return int(trainer.num_devices * trainer.num_nodes)


def fit(
    trainer: pl.Trainer, module: Trainable, train: Any, validation: Any = None, checkpoint: Path | None = None
) -> None:
    """Train.

    Args:
        trainer: Of `make_trainer`; fits once.
        module: What is trained.
        train: Loader of batches.
        validation: Loader of batches, or None.
        checkpoint: Where to go on; None begins.

    Raises:
        TrainingError: If the loss is no longer finite, or a process that was started for the training failed.
        KeyboardInterrupt: If stopped.
    """
    # Lightning turns Ctrl-C into exit code 1 and leaves the signal ignored; the application wants it back.
    handler = signal.getsignal(signal.SIGINT)
    try:
        with warnings.catch_warnings():
            _hush_warnings()
            trainer.fit(
                module, train, validation, ckpt_path=checkpoint, weights_only=True if checkpoint else None
            )
    except SystemExit as stopped:
        if trainer.strategy.launcher is not None:
            # Lightning kills what it started as scripts, and lets those that it spawned live on.
            trainer.strategy.launcher.kill(signal.SIGKILL)
        raise KeyboardInterrupt from stopped
    except ProcessRaisedException as error:
        # All that is left of an exception of another process is its traceback.
        sentence = str(error).strip().splitlines()[-1].partition(": ")[2]
        raise TrainingError(sentence or f"Expected training to go on, but got: {error}") from error
    except ProcessExitedException as error:
        raise TrainingError(
            f"Expected all processes of a training to live, but {error}; do look for memory that ran out, and run again"
        ) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)


class _Guard(pl.Callback):
    """Stop a run whose loss is no longer finite, before its weights replace good ones."""

    def __reduce__(self) -> tuple[Callable[[], _Guard], tuple[()]]:
        # A process that is spawned gets its callbacks first, and would else be as loud as Lightning is.
        return _spawned_guard, ()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the loss of every step."""
        if not torch.isfinite(outputs["loss"]):
            raise TrainingError(
                f"Expected the training loss to stay finite, but it became {float(outputs['loss'])} in step "
                f"{trainer.global_step}; do lower `learning_rate`"
            )


def _spawned_guard() -> _Guard:
    _hush_logs()
    _hush_warnings()
    return _Guard()


def _hush_logs() -> None:
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _hush_warnings() -> None:
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric|torch")


def _probe(hardware: Hardware) -> pl.Trainer:
    # Lightning alone knows what its words mean on this machine.
    return _trainer(hardware, strategy=hardware.strategy, precision="32-true", logger=False)


def _trainer(hardware: Hardware, **more: Any) -> pl.Trainer:
    _hush_logs()
    try:
        return pl.Trainer(
            accelerator=hardware.accelerator,
            devices=hardware.devices,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **more,
        )
    except (
        Exception
    ) as error:  # Lightning raises several kinds for words it does not know and devices that are not there
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"Expected `hardware` (--accelerator, --devices, --strategy, --precision) to suit this machine, but got: {reason}; "
            "do choose what it has"
        ) from error
