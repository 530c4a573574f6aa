"""Stage 1: ImageNet weights, verified, and on request trained further on any images, W0 -> W1."""

from __future__ import annotations

from stages.stage import Stage

__all__ = ["IMAGENET"]

IMAGENET = Stage(
    number=1,
    name="imagenet",
    title="ImageNet",
    unit="natural image",
    activation="softmax",
    loss="cross entropy",
    head="global average pooling and one dense layer",
    source="paper A (Maaliw et al. 2022), II-E, eq. 1",
)
