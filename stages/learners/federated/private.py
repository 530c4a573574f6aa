"""DP-SGD by Opacus: batches are drawn image by image, gradients are clipped image by image, noise is added (Abadi et al. 2016)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from segmentation.engine import mixed_seed
from stages.learners.network.batches import Batch, StoreDataset
from stages.learners.network.network import Network

__all__ = ["Private", "private_steps"]


def private_steps(images: int, batch_size: int) -> int:
    """Return the optimiser steps of an epoch, whose batches hold `batch_size` images on average."""
    return max(1, round(images / batch_size))


class Private:
    """What makes a training private.

    Noise and draws follow from the seed, so that a stopped training goes on as it would have: who knows the seed can take the noise
    away again, and the guarantee is one against others.

    Args:
        noise: Noise multiplier: standard deviation over `clip`.
        clip: Largest norm of an image's gradient.
        secret: That draws and noise follow from, too; who does not know it cannot take them away.
    """

    def __init__(self, noise: float, clip: float, secret: int = 0) -> None:
        self.noise = noise
        self.clip = clip
        self.secret = secret
        self.generator = torch.Generator()

    def seed(self, seed: int) -> None:
        """Choose the noise of the next step."""
        self.generator.manual_seed(mixed_seed(seed, 1, self.secret))

    def loader(self, data: StoreDataset, batch_size: int, seed: int) -> DataLoader[Batch]:
        """Return batches in which every image stands with the same probability, independently of the others."""
        steps = private_steps(len(data), batch_size)
        rate = min(1.0, batch_size / len(data))
        return DataLoader(
            data,
            batch_sampler=_PoissonBatches(len(data), rate, steps, mixed_seed(seed, self.secret)),
            collate_fn=_whole,
        )

    def optimizer(
        self,
        optimizer: torch.optim.Optimizer,
        network: Network,
        learning: Sequence[str],
        data: StoreDataset,
        batch_size: int,
    ) -> torch.optim.Optimizer:
        """Return the optimiser whose steps are private, of the parameters that learn.

        Args:
            optimizer: Of all parameters.
            network: It gets hooks that keep gradients image by image; where its backbone learns, batch normalisation is replaced.
            learning: Names of the parameters that learn.
            data: The training part.
            batch_size: On average.

        Raises:
            ModelError: If a layer of the backbone mixes images.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from opacus.optimizers import DPOptimizer

            from stages.learners.federated.samples import sample_gradients

            sample_gradients(network, learning, data.images.shape[1])
            self.generator = torch.Generator(network.mean.device)
            own = {id(network.get_parameter(name)) for name in learning}
            for group in optimizer.param_groups:
                group["params"] = [parameter for parameter in group["params"] if id(parameter) in own]
            optimizer.param_groups[:] = [group for group in optimizer.param_groups if group["params"]]
            wrapped: torch.optim.Optimizer = DPOptimizer(
                optimizer,
                noise_multiplier=self.noise,
                max_grad_norm=self.clip,
                expected_batch_size=min(batch_size, len(data)),
                loss_reduction="mean",
                generator=self.generator,
            )
            return wrapped


class _PoissonBatches(Sampler[list[int]]):
    """Batches of Poisson sampling; the draw follows from (seed, epoch, step)."""

    def __init__(self, count: int, rate: float, steps: int, seed: int) -> None:
        self.count = count
        self.rate = rate
        self.steps = steps
        self.seed = seed
        self.sampler = self  # Lightning calls `set_epoch` of a batch sampler's sampler
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, counted from 0."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.steps):
            drawn = np.random.default_rng([self.seed, self.epoch, step, 2]).random(self.count) < self.rate
            # The chance of an empty batch is e**-batch_size; one image is then taken, which the accountants do not see.
            yield np.flatnonzero(drawn).tolist() or [step % self.count]


def _whole(batch: Any) -> Any:
    return batch
