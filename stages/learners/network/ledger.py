"""The one callback of a stage: history, best weights, early stopping, and a checkpoint that a resume starts from."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from segmentation.files import write_tensors, write_whole
from stages.learners.network.module import StageModule

__all__ = ["Ledger", "Progress", "best_epoch"]

Progress = Callable[[int, int, str], None]
"""Called with (steps done, steps in all, what the last epoch scored)."""

Row = dict[str, float]


def best_epoch(history: list[Row], monitor: str) -> int:
    """Return the index of the best row: the lowest loss or the highest F1, the earlier of equals; the last without validation."""
    if monitor not in history[0]:
        return len(history) - 1
    sign = 1.0 if monitor.endswith("loss") else -1.0
    scores = [sign * row[monitor] if math.isfinite(row[monitor]) else math.inf for row in history]
    return scores.index(min(scores))


class Ledger(pl.Callback):
    """Keep what a stage must not lose, each file written under a temporary name and renamed.

    Early stopping and the best epoch are functions of the history, so they survive a resume by construction.

    Args:
        folder: The stage's folder: `last.ckpt` and `weights.safetensors` go there.
        progress: Told about every step, or None.
    """

    def __init__(self, folder: Path, progress: Progress | None = None) -> None:
        self.folder = folder
        self.progress = progress
        self.history: list[Row] = []
        self.rate = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return the history, for the checkpoint."""
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the history from a checkpoint."""
        self.history = [dict(row) for row in state_dict["history"]]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the learning rate, and show where a resumed run stands."""
        self.rate = max(group["lr"] for group in trainer.optimizers[0].param_groups)
        self._tell(trainer, 0)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count a step."""
        self._tell(trainer, batch_idx + 1)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the epoch down, then best weights, then the checkpoint."""
        assert isinstance(pl_module, StageModule)  # noqa: S101 - tells the type checker
        scores = {key: float(value) for key, value in trainer.callback_metrics.items()}
        self.history.append({"epoch": float(trainer.current_epoch), **scores, "learning_rate": self.rate})
        train = pl_module.settings.train
        best = best_epoch(self.history, train.monitor)
        if best == len(self.history) - 1 or train.keep == "last":
            state = pl_module.network.state_dict()
            if trainer.is_global_zero:
                write_tensors(self.folder / "weights.safetensors", state)
        if trainer.is_global_zero:
            write_whole(self.folder / "last.ckpt", trainer.save_checkpoint)
        else:  # takes part and writes nothing
            trainer.save_checkpoint(self.folder / "last.ckpt")
        trainer.should_stop = self.finished(train.epochs, train.patience, train.monitor)

    def finished(self, epochs: int, patience: int | None, monitor: str) -> bool:
        """Say whether nothing is left to train, by the number of epochs or by early stopping."""
        if not self.history:
            return False
        waited = len(self.history) - 1 - best_epoch(self.history, monitor)
        return len(self.history) >= epochs or (patience is not None and waited >= patience)

    def _tell(self, trainer: pl.Trainer, batch: int) -> None:
        if self.progress:
            steps = int(trainer.num_training_batches)
            row = self.history[-1] if self.history else {}
            shown = {
                "train_loss": "loss",
                "validation_loss": "val loss",
                "validation_macro_f1": "val macro-F1",
            }
            text = "  ".join(f"{name} {row[key]:.3f}" for key, name in shown.items() if key in row)
            self.progress(trainer.current_epoch * steps + batch, (trainer.max_epochs or 1) * steps, text)
