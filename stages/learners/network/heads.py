"""Heads: what sits on a pooled backbone."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from stages.errors import DataError
from stages.settings import HeadSettings

__all__ = ["Basis", "Head", "find_basis"]


class Head(nn.Sequential):
    """Dense layers with ReLU and dropout behind a pooled backbone (paper A, II-F; paper C, III-D-4).

    Args:
        features: Width F of the pooled features.
        outputs: Number of logits.
        settings: Hidden widths, dropout, batch normalisation, what is added to the loss.
    """

    def __init__(self, features: int, outputs: int, settings: HeadSettings) -> None:
        def dropout(where: str) -> list[nn.Module]:
            return [nn.Dropout(settings.dropout)] if settings.dropout_at == where else []

        layers: list[nn.Module] = [_UnitNorm()] if settings.unit_norm else []
        if settings.basis:
            layers, features = [Basis(features, settings.basis)], settings.basis
        if settings.batch_norm:
            norm = nn.BatchNorm1d(
                features, eps=settings.batch_norm_eps, momentum=settings.batch_norm_momentum
            )
            layers.append(norm)
        width = features
        for hidden in settings.hidden:
            layers += [*dropout("before"), nn.Linear(width, hidden), nn.ReLU(), *dropout("after")]
            width = hidden
        super().__init__(*layers, *dropout("before"), nn.Linear(width, outputs))
        self.settings = settings

    def weight_penalty(self) -> torch.Tensor:
        """Return what weights and biases of the hidden dense layers add to the loss, a number (Keras: L1, L2)."""
        dense = [layer for layer in self if isinstance(layer, nn.Linear)]
        penalty = dense[-1].weight.new_zeros(())
        for layer in dense[:-1]:
            penalty = penalty + self.settings.kernel_l1 * layer.weight.abs().sum()
            penalty = penalty + self.settings.kernel_l2 * layer.weight.square().sum()
            penalty = penalty + self.settings.bias_l1 * layer.bias.abs().sum()
        return penalty

    def penalised(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits (B, K) of features (B, F), and what their hidden outputs add to the loss, summed over the batch."""
        penalty = features.new_zeros(())
        for layer in self:
            features = layer(features)
            if self.settings.activity_l1 and isinstance(layer, nn.ReLU):
                penalty = penalty + self.settings.activity_l1 * features.abs().sum()
        return features, penalty


class Basis(nn.Module):
    """Features along fixed directions, brought to length 1: what one image can do to a small head is bounded.

    Args:
        features: Width F of what it is given.
        width: Width D of what it gives.
    """

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.mean: torch.Tensor
        self.directions: torch.Tensor
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("directions", torch.eye(features, width))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features (B, D) of length 1 of features (B, F)."""
        return functional.normalize((features - self.mean) @ self.directions)


def find_basis(features: torch.Tensor, width: int) -> dict[str, torch.Tensor]:
    """Return what a `Basis` holds: principal directions of standardised features, each of them brought to variance 1.

    Args:
        features: (N, F).
        width: D, below N and F.

    Raises:
        DataError: If there are fewer images than directions.
    """
    if width >= min(features.shape):
        raise DataError(
            f"Expected more public images and features than `dimensions` {width}, but got {features.shape[0]} of {features.shape[1]}; do lower it"
        )
    scale, mean = torch.std_mean(features, dim=0, correction=0)
    scale = scale + 1e-6
    _, sizes, rows = torch.linalg.svd((features - mean) / scale, full_matrices=False)
    directions = rows[:width].T / scale[:, None] / (sizes[:width] / len(features) ** 0.5)
    return {"mean": mean.float(), "directions": directions.float()}


class _UnitNorm(nn.Module):
    """Bring every row to length 1: what one image can do to a head is bounded."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features (B, F) of length 1."""
        return functional.normalize(features)
