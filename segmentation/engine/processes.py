"""Several processes that train one network: who takes what, and how the parts come together again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from typing import Protocol

import numpy as np
import pytorch_lightning as pl
import torch
from torch import distributed
from torch.utils.data import Sampler

from segmentation.errors import ModelError

__all__ = ["Order", "SharedBatches", "gather_rows", "in_order", "mixed_seed", "process_rank"]


class Order(Sized, Protocol):
    """Positions in the order in which they are taken: a sampler, or a range."""

    def __iter__(self) -> Iterator[int]:
        """Give the positions."""


class SharedBatches(Sampler[list[int]]):
    """Batches of an order of positions, each shared out: process r of W takes its positions r, r + W, ...

    Args:
        sampler: The whole order, the same in all processes; Lightning calls its `set_epoch`.
        batch_size: Of all processes together.
        processes: How many there are.
        training: Drop a last batch that would leave a process fewer than two samples, since batch normalisation has no
            variance to go by. Else pad it, so that all processes take as many; `in_order` forgets the padding.

    Raises:
        ModelError: If a process would have nothing to learn from.
    """

    def __init__(self, sampler: Order, batch_size: int, processes: int = 1, training: bool = False) -> None:
        self.sampler = sampler
        self.batch_size = batch_size
        self.processes = processes
        self.training = training
        smallest = min(batch_size, len(sampler))
        if training and smallest < processes:
            raise ModelError(
                f"Expected a batch to hold an image for each of {processes} processes, but got {smallest} in all; "
                "do raise `batch_size` or lower `--devices`"
            )

    def __len__(self) -> int:
        whole, rest = divmod(len(self.sampler), self.batch_size)
        drops = self.training and whole > 0 and rest < 2 * self.processes
        return whole + bool(rest and not drops)

    def __iter__(self) -> Iterator[list[int]]:
        rank = process_rank() if self.processes > 1 else 0
        positions = list(self.sampler)
        for number in range(len(self)):
            batch = positions[number * self.batch_size : (number + 1) * self.batch_size]
            if not self.training:
                batch += batch[-1:] * (-len(batch) % self.processes)
            yield batch[rank :: self.processes]


def process_rank() -> int:
    """Return the number of this process among those that train together, from 0."""
    return distributed.get_rank() if distributed.is_available() and distributed.is_initialized() else 0


def gather_rows(module: pl.LightningModule, rows: torch.Tensor) -> torch.Tensor:
    """Return the rows (W x B, ...) of all W processes, given this one's (B, ...); B must be the same in all."""
    if module.trainer.world_size == 1:
        return rows
    gathered = module.all_gather(rows)
    assert isinstance(gathered, torch.Tensor)  # noqa: S101 - tells the type checker
    return gathered.flatten(0, 1)


def in_order(rows: Sequence[torch.Tensor], positions: Sequence[torch.Tensor], count: int) -> torch.Tensor:
    """Return rows (count, ...) by position; what several processes or padding gave twice stands once.

    Args:
        rows: (B, ...) each.
        positions: (B,) int64 each, below `count`.
        count: Rows in all.
    """
    values = torch.cat(list(rows))
    ordered = values.new_empty((count, *values.shape[1:]))
    ordered[torch.cat(list(positions)).to(values.device)] = values
    return ordered


def mixed_seed(*numbers: int) -> int:
    """Return a seed of 63 bits that follows from several numbers, such as (run, epoch, batch, process)."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
