"""What a training must not lose: history, kept weights, early stopping, and a checkpoint that a resume starts from."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from segmentation.errors import ModelError
from segmentation.files import write_tensors, write_whole

__all__ = ["Ledger", "Progress", "Row", "Trainable", "best_epoch", "read_checkpoint"]

Progress = Callable[[int, int, str], None]
"""Called with (steps done, steps in all, what the last epoch scored)."""

Row = dict[str, float]

_SHOWN = {
    "train_loss": "loss",
    "validation_loss": "val loss",
    "validation_macro_f1": "val macro-F1",
    "validation_dice": "val Dice",
}


class Trainable(pl.LightningModule):
    """A Lightning module that says which part of it is the result."""

    @abstractmethod
    def kept(self) -> nn.Module:
        """Return the network whose weights are kept."""


def best_epoch(history: list[Row], monitor: str, first: int = 0) -> int:
    """Return the index of the best row: the lowest loss or the highest score, the earlier of equals; the last without validation.

    Args:
        history: Rows by epoch, one or more.
        monitor: Column that decides.
        first: Rows before it do not count, unless there is no other.
    """
    if monitor not in history[0] or len(history) <= first:
        return len(history) - 1
    sign = 1.0 if monitor.endswith("loss") else -1.0
    scores = [sign * row[monitor] if math.isfinite(row[monitor]) else math.inf for row in history[first:]]
    return first + scores.index(min(scores))


class Ledger(pl.Callback):
    """Keep what a training must not lose; of several processes the first writes.

    Early stopping and the best epoch are functions of the history, so they survive a resume by construction.

    Args:
        folder: Gets `last.ckpt` and `weights.safetensors`.
        epochs: After which training is over.
        steps: After which training is over, where its last epoch is shorter than the others; for progress alone.
        monitor: What makes an epoch the best, a column of the history.
        patience: Epochs without a better one after which training stops; None never stops.
        keep_best: Keep the weights of the best epoch, else of the last.
        first: Epochs before this one are never the best, and nothing waits for them.
        progress: Told about every step. Processes that are spawned tell nobody.
        identity: Of the training: a checkpoint of another one is refused.
    """

    def __init__(
        self,
        folder: Path,
        *,
        epochs: int,
        steps: int | None = None,
        monitor: str = "validation_loss",
        patience: int | None = None,
        keep_best: bool = False,
        first: int = 0,
        progress: Progress | None = None,
        identity: str = "",
    ) -> None:
        self.checkpoint = folder / "last.ckpt"
        self.weights = folder / "weights.safetensors"
        self.epochs = epochs
        self.steps = steps
        self.monitor = monitor
        self.patience = patience
        self.keep_best = keep_best
        self.first = first
        self.progress = progress
        self.identity = identity
        self.history: list[Row] = []
        self.rate = 0.0

    def __getstate__(self) -> dict[str, Any]:
        # Who looks at progress lives in one process: often a terminal, which cannot be pickled.
        return {**self.__dict__, "progress": None}

    def state_dict(self) -> dict[str, Any]:
        """Return the history, for the checkpoint."""
        return {"history": self.history, "identity": self.identity}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the history from a checkpoint."""
        self.history = [dict(row) for row in state_dict["history"]]

    def resume(self) -> bool:
        """Take the history from the checkpoint file, and say whether there is one.

        Raises:
            ModelError: If the file is damaged, or of another training.
        """
        state = read_checkpoint(self.checkpoint, self.state_key, "history", "identity")
        if state is None:
            return False
        if state["identity"] != self.identity:
            raise ModelError(
                f"Expected {self.checkpoint} to be of the same settings, but it is of others; do remove it or choose another folder"
            )
        self.load_state_dict(state)
        return True

    def best(self) -> int:
        """Return the index of the epoch whose weights are kept."""
        return self._best() if self.keep_best else len(self.history) - 1

    def finished(self) -> bool:
        """Say whether nothing is left to train, by the number of epochs or by early stopping."""
        if not self.history:
            return False
        waited = len(self.history) - 1 - self._best()
        return len(self.history) >= self.epochs or (self.patience is not None and waited >= self.patience)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the learning rate, and show where a resumed run stands."""
        self.rate = max(group["lr"] for group in trainer.optimizers[0].param_groups)
        self._tell(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count a step."""
        self._tell(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the epoch down, then best weights, then the checkpoint."""
        assert isinstance(pl_module, Trainable)  # noqa: S101 - tells the type checker
        scores = {key: float(value) for key, value in trainer.callback_metrics.items()}
        self.history.append({"epoch": float(trainer.current_epoch), **scores, "learning_rate": self.rate})
        if self.best() == len(self.history) - 1 and trainer.is_global_zero:
            write_tensors(self.weights, pl_module.kept().state_dict())
        if trainer.is_global_zero:
            write_whole(self.checkpoint, trainer.save_checkpoint)
        else:  # takes part in gathering what is saved, and writes nothing
            trainer.save_checkpoint(self.checkpoint)
        # Others read the weights when training is over.
        trainer.strategy.barrier()
        trainer.should_stop = self.finished()

    def _best(self) -> int:
        return best_epoch(self.history, self.monitor, self.first)

    def _tell(self, trainer: pl.Trainer) -> None:
        if self.progress and trainer.is_global_zero:
            row = self.history[-1] if self.history else {}
            text = "  ".join(f"{name} {row[key]:.3f}" for key, name in _SHOWN.items() if key in row)
            total = self.steps or self.epochs * int(trainer.num_training_batches)
            self.progress(trainer.global_step, total, text)


def read_checkpoint(path: Path, owner: str, *keys: str) -> dict[str, Any] | None:
    """Return what a callback left in a checkpoint, or None without the file.

    Args:
        path: The file.
        owner: `state_key` of the callback.
        keys: What it must have left.

    Raises:
        ModelError: If the file is damaged, or no checkpoint of this program.
    """
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)["callbacks"][owner]
        return {key: state[key] for key in keys}
    except Exception as error:  # a damaged pickle can fail in any way
        raise ModelError(
            f"Expected {path} to be a checkpoint, but it cannot be read; do delete it to train again"
        ) from error
