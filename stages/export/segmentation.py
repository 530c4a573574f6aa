"""The network that segments as a graph: bytes in, probabilities of every pixel out."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from segmentation.networks import CLASSES, SegmentationNetwork
from segmentation.weights import ModelCard
from stages.export.graph import INPUT

__all__ = ["OUTPUT", "Pixels", "about_pixels", "multiples"]

OUTPUT = "probabilities"


class Pixels(nn.Module):
    """Normalisation, network and softmax; padding and tiles stay outside.

    Args:
        network: On a processor.
    """

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        self.network = deepcopy(network).eval()

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        """Return probabilities (B, 3, H, W) float32 of images (B, H, W, 3) uint8 RGB, H and W multiples of what the network halves."""
        normalised = (images.permute(0, 3, 1, 2).float() / 255 - self.network.mean) / self.network.std
        logits: torch.Tensor = self.network.body(normalised)
        return (logits.softmax(dim=1),)


def multiples(network: SegmentationNetwork) -> tuple[Any, Any]:
    """Return sides for `stages.export.graph.exported_program`."""
    return tuple(network.multiple * torch.export.Dim(name, min=2, max=256) for name in ("rows", "columns"))  # type: ignore[return-value]


def about_pixels(network: SegmentationNetwork, card: ModelCard) -> dict[str, str]:
    """Return what stands in an exported file beside its graph."""
    told = {
        "name": card.name,
        "sha256": card.sha256,
        "classes": list(CLASSES),
        "input": f"{INPUT}: (batch, height, width, 3) uint8 RGB, sides multiples of {network.multiple}: pad by reflection",
        "outputs": f"{OUTPUT}: (batch, {len(CLASSES)}, height, width)",
        "outside": ["padding", "magnification", "tiles", "light of the background", "single cells"],
        "data": card.data,
        "licence": card.licence,
        "use": "research only; no medical device",
    }
    return {"mtl": json.dumps(told)}
