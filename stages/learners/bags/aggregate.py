"""From the pictures of a bag to the bag: mean, noisy-or, or gated attention (Ilse, Tomczak & Welling 2018), each learned from bags."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from stages.bag_settings import BagSettings

__all__ = ["Aggregate", "Told", "noisy_or"]

_LEAST = 1e-6


class Told(NamedTuple):
    """What is said of bags.

    Attributes:
        logs: Logarithms of the probabilities, (B, K).
        weights: How much each picture decided, (B, M), summing to 1 over a bag; 0 where there is none.
    """

    logs: torch.Tensor
    weights: torch.Tensor


class Aggregate(nn.Module):
    """A small network on frozen features of pictures, and a rule that makes one answer of those of a bag.

    `mean` and `noisy-or` give every picture probabilities of its own. With `attention` a bag is the mean of what was learned of its
    pictures, weighed by `softmax(w (tanh(V h) * sigmoid(U h)))`, and is classified as one.

    Args:
        features: F of a picture.
        classes: K.
        settings: Rule, width, dropout.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, features: int, classes: int, settings: BagSettings) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        width = settings.width
        self.embed = nn.Sequential(nn.Dropout(settings.dropout), nn.Linear(features, width), nn.ReLU())
        self.classify = nn.Linear(width, classes)
        if settings.aggregate == "attention":
            self.content, self.gate = nn.Linear(width, width), nn.Linear(width, width)
            self.attend = nn.Linear(width, 1)

    def standardise(self, features: torch.Tensor) -> None:
        """Measure features (N, F) of the training part, so that each has mean 0 and variance 1 there."""
        self.mean.copy_(features.mean(dim=0))
        self.scale.copy_(features.std(dim=0, correction=0) + _LEAST)

    def forward(self, features: torch.Tensor, there: torch.Tensor) -> Told:
        """Return what is said of bags.

        Args:
            features: (B, M, F) float32; rows without a picture may hold anything finite.
            there: (B, M) bool, true where there is a picture; one at least in every bag.
        """
        seen = self.embed((features - self.mean) / self.scale)
        if self.settings.aggregate == "attention":
            scores = self.attend(torch.tanh(self.content(seen)) * torch.sigmoid(self.gate(seen)))[..., 0]
            weights = scores.masked_fill(~there, -torch.inf).softmax(dim=1)
            bag = (weights[..., None] * seen).sum(dim=1)
            return Told(self.classify(bag).log_softmax(dim=1), weights)
        single = self.classify(seen).log_softmax(dim=2)
        logs = noisy_or(single, there) if self.settings.aggregate == "noisy-or" else _mean(single, there)
        # What a picture gave to the answer: its part of the sum of that class's probabilities.
        answer = logs.argmax(dim=1)[:, None, None].expand(-1, single.shape[1], 1)
        gave = single.gather(2, answer)[..., 0].exp() * there
        return Told(logs, gave / gave.sum(dim=1, keepdim=True).clamp_min(_LEAST))


def _mean(single: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    kept = single.masked_fill(~there[..., None], -torch.inf)
    return kept.logsumexp(dim=1) - there.sum(dim=1, keepdim=True).log()


def noisy_or(single: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    """Return logarithms of the probabilities of bags (B, K) in which one picture of a class is enough.

    The first class is what a bag is when no picture is of another one: `P(0) = prod_i p_i0`, which for two classes makes
    `P(1) = 1 - prod_i (1 - p_i1)`. Of more classes, what is left goes to each by the chance that a picture is of it:
    `P(k) = (1 - P(0)) q_k / sum_j q_j` with `q_k = 1 - prod_i (1 - p_ik)`, over k and j from 1.

    Args:
        single: Logarithms of the probabilities of pictures, (B, M, K).
        there: (B, M) bool, true where there is a picture.

    Examples:
        >>> single = torch.tensor([[[0.9, 0.1], [0.8, 0.2]]]).log()
        >>> noisy_or(single, torch.tensor([[True, True]])).exp().double().numpy().round(2).tolist()
        [[0.72, 0.28]]
    """
    counted = there[..., None]
    none = (single[..., :1] * counted).sum(dim=1).clamp_max(-_LEAST)
    without = torch.log1p(-single[..., 1:].exp().clamp_max(1 - _LEAST))
    some = torch.log(-torch.expm1((without * counted).sum(dim=1).clamp_max(-_LEAST)))
    shares = some.log_softmax(dim=1)  # softmax of logarithms: each over their sum
    return torch.cat([none, torch.log(-torch.expm1(none)) + shares], dim=1)
