"""Batches from the store: whole batches at a time, in an order that seed and epoch alone decide."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from segmentation.engine import SharedBatches
from stages.task import Task

__all__ = ["Batch", "EpochSampler", "StoreDataset", "make_loader", "task_part"]

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class StoreDataset(Dataset[Batch]):
    """Some rows of an image store with their labels.

    Args:
        images: Store (N, S, S, 3) uint8.
        rows: Which rows belong to this part, (M,).
        labels: Class index of every row of this part, (M,).
    """

    def __init__(
        self, images: npt.NDArray[np.uint8], rows: Sequence[int], labels: npt.NDArray[np.int64]
    ) -> None:
        self.images = images
        self.rows = np.asarray(rows, dtype=np.int64)
        self.labels = torch.from_numpy(np.asarray(labels, dtype=np.int64))

    def __getstate__(self) -> dict[str, Any]:
        # A process that is spawned opens the store itself, instead of being sent all of it.
        state = dict(self.__dict__)
        base: Any = self.images.base
        if isinstance(self.images, np.memmap) and isinstance(base, mmap.mmap):
            state["images"] = self.images.filename, self.images.dtype, self.images.offset, self.images.shape
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if isinstance(state["images"], tuple):
            name, dtype, offset, shape = state["images"]
            state["images"] = np.memmap(name, dtype, "r", offset, shape)
        self.__dict__.update(state)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, indices: list[int]) -> Batch:
        """Return images (B, 3, S, S) uint8, labels (B,) int64, and the positions (B,) in this part."""
        images = torch.from_numpy(self.images[self.rows[indices]]).permute(0, 3, 1, 2)
        return images, self.labels[indices], torch.tensor(indices)


def task_part(task: Task, name: str) -> StoreDataset:
    """Return the part `train`, `validation` or `test` of a task as a data set."""
    rows = task.rows[name]
    return StoreDataset(task.images, rows.tolist(), task.labels[rows])


class EpochSampler(Sampler[int]):
    """Shuffle anew each epoch from (seed, epoch); with `oversample`, every class as often as the largest.

    Args:
        labels: Class index of every sample, (M,).
        seed: Of the stage.
        oversample: Repeat random images of the smaller classes (paper D, 3.3.2).
        at_least: Oversample to so many images a class instead of as many as the largest has; larger ones stay whole.
        copies: How often everything is repeated (paper A, II-D: five times).
    """

    def __init__(
        self,
        labels: npt.NDArray[np.int64],
        seed: int,
        oversample: bool = False,
        at_least: int | None = None,
        copies: int = 1,
    ) -> None:
        self.labels = np.asarray(labels, np.int64)
        self.seed = seed
        self.copies = copies
        self.epoch = 0
        counts = np.bincount(self.labels)
        wanted = np.maximum(counts, at_least or counts.max(initial=0))
        self.missing = np.where(counts > 0, wanted - counts, 0) if oversample else np.zeros_like(counts)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, counted from 0; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return (len(self.labels) + int(self.missing.sum())) * self.copies

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng([self.seed, self.epoch])
        chosen = np.arange(len(self.labels))
        extra = [
            random.choice(np.flatnonzero(self.labels == label), count)
            for label, count in enumerate(self.missing)
            if count
        ]
        yield from random.permutation(np.tile(np.concatenate([chosen, *extra]), self.copies)).tolist()


def make_loader(
    dataset: StoreDataset, batch_size: int, sampler: EpochSampler | None = None, processes: int = 1
) -> DataLoader[Batch]:
    """Return a loader of whole batches; without a sampler in the stored order.

    The store is memory-mapped, so fetching a batch is a copy and worker processes would only cost.

    Args:
        dataset: Some images.
        batch_size: Of all processes together.
        sampler: The order of training; see `segmentation.engine.SharedBatches` for the last batch.
        processes: How many share every batch.

    Raises:
        ModelError: If there is too little to learn from for so many processes.
    """
    order = sampler if sampler is not None else range(len(dataset))
    batches = SharedBatches(order, batch_size, processes, training=sampler is not None)
    return DataLoader(dataset, batch_sampler=batches, collate_fn=_whole)


def _whole(batch: Any) -> Any:
    # `__getitems__` has already made one batch; there is nothing to collate.
    return batch
