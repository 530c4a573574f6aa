"""A leg of a training: some of its epochs, from weights that others had a say in; what a client of a federation trains a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn
from torch.utils.data import DataLoader

from stages.learners.network.batches import Batch, StoreDataset
from stages.learners.network.network import Network

__all__ = ["Leg", "Privacy"]


class Privacy(Protocol):
    """What makes a training private."""

    def loader(self, data: StoreDataset, batch_size: int, seed: int) -> DataLoader[Batch]:
        """Return batches whose draw the guarantee counts on."""

    def optimizer(
        self,
        optimizer: torch.optim.Optimizer,
        network: Network,
        learning: Sequence[str],
        data: StoreDataset,
        batch_size: int,
    ) -> torch.optim.Optimizer:
        """Return the optimiser whose steps are private, of the parameters that learn."""

    def seed(self, seed: int) -> None:
        """Choose the noise of the next step."""


@dataclass(frozen=True)
class Leg:
    """Some epochs of a training of `settings.train.epochs`; schedule, order and optimiser go on from leg to leg.

    Attributes:
        begin: Epochs that are done before it.
        until: Epochs that are done after it.
        start: Weights by name that it begins from; those that it does not name go on as they are.
        proximal: mu of FedProx (Li et al. 2020, eq. 2): mu / 2 times the squared distance from `start` is added to the loss.
        private: Gradients are clipped image by image, and noise is added; None leaves them alone.
        fixed: Batch normalisation of the backbone keeps the statistics that it has, which are measured over several images.
    """

    begin: int
    until: int
    start: Mapping[str, torch.Tensor]
    proximal: float = 0.0
    private: Privacy | None = None
    fixed: bool = False

    def distance(self, network: nn.Module) -> torch.Tensor:
        """Return what FedProx adds to the loss, a number: of what learns at the moment."""
        pulled = [
            (parameter - self.start[name].to(parameter.device)).square().sum()
            for name, parameter in network.named_parameters()
            if parameter.requires_grad and name in self.start
        ]
        return self.proximal / 2 * torch.stack(pulled).sum()
