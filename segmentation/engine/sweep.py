"""The learning rate raised step by step until training breaks: what a good rate is shows in the losses (Smith 2017).

Lightning's finder gives every parameter group one rate and begins at step 0; ours keeps the groups' shares and can wait until the head
has learned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl

from segmentation.engine.ledger import Progress

__all__ = ["RateSweep", "Sweep", "steepest", "valley"]

_MEMORY = 0.98
_BROKEN = 4.0
"""A smoothed loss so many times the best one ends a sweep, as in fastai."""
_BEGIN, _END = 10, 5
"""A tenth of the steps at the beginning, and so many at the end, are not looked at for a suggestion, as in fastai."""


@dataclass(frozen=True)
class Sweep:
    """Losses by learning rate.

    Attributes:
        rates: Of every step, rising.
        losses: Of every step, smoothed.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def enough(self) -> bool:
        """Whether so many steps were borne that a rate can be suggested."""
        return len(self._looked_at()) > 1

    @property
    def valley(self) -> float:
        """In the longest stretch in which the loss falls; fastai's suggestion."""
        return self.rates[len(self.rates) // _BEGIN + valley(self._looked_at())]

    @property
    def steepest(self) -> float:
        """Where the loss falls fastest; Lightning's suggestion."""
        return self.rates[len(self.rates) // _BEGIN + steepest(self._looked_at())]

    def _looked_at(self) -> tuple[float, ...]:
        return self.losses[len(self.losses) // _BEGIN : max(len(self.losses) - _END, 0)]


def valley(losses: tuple[float, ...]) -> int:
    """Return the place half way into the longest falling subsequence of losses, one or more (fastai's `valley`).

    Examples:
        >>> valley((5.0, 5.1, 4.0, 3.0, 2.0, 1.0, 0.5, 9.0))
        3
    """
    length = [1] * len(losses)
    for place, loss in enumerate(losses):
        length[place] += max((length[one] for one in range(place) if losses[one] > loss), default=0)
    end = max(range(len(losses)), key=lambda place: (length[place], -place))
    begin, third = end - length[end], length[end] / 3
    return max(begin + int(third) + int(third / 2), 0)


def steepest(losses: tuple[float, ...]) -> int:
    """Return the place where losses, two or more, fall fastest.

    Examples:
        >>> steepest((5.0, 4.9, 2.0, 1.9))
        2
    """
    return int(np.gradient(losses).argmin())


class RateSweep(pl.Callback):
    """Raise the learning rate by a factor every step, from an epoch on; end the training when it breaks or the steps are done.

    Args:
        lowest: First rate of the fastest group; others keep their share of it.
        highest: Last rate.
        steps: From the lowest to the highest, 2 or more.
        begin: Epoch in which the sweep begins; before it the module trains as it always does.
        progress: Told about every step of the sweep.
    """

    def __init__(
        self, lowest: float, highest: float, steps: int, begin: int = 0, progress: Progress | None = None
    ) -> None:
        self.planned = np.geomspace(lowest, highest, steps)
        self.begin = begin
        self.progress = progress
        self.rates: list[float] = []
        self.losses: list[float] = []
        self._mean = 0.0

    def sweep(self) -> Sweep:
        """Return what was seen."""
        return Sweep(tuple(self.rates), tuple(self.losses))

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the rate of this step, over what the schedule has set."""
        if trainer.current_epoch < self.begin:
            return
        groups = trainer.optimizers[0].param_groups
        fastest = max(group["initial_lr"] for group in groups)
        for group in groups:
            group["lr"] = float(self.planned[len(self.rates)]) * group["initial_lr"] / fastest

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the loss, and say whether that is all."""
        if trainer.current_epoch < self.begin:
            return
        self._mean = _MEMORY * self._mean + (1 - _MEMORY) * float(outputs["loss"])
        self.rates.append(float(self.planned[len(self.rates)]))
        self.losses.append(self._mean / (1 - _MEMORY ** len(self.rates)))
        if self.progress:
            self.progress(
                len(self.rates), len(self.planned), f"rate {self.rates[-1]:.1e}  loss {self.losses[-1]:.3f}"
            )
        broken = self.losses[-1] > _BROKEN * min(self.losses)
        trainer.should_stop = broken or len(self.rates) == len(self.planned)
