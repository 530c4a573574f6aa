"""What a stage of a chain is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Stage"]


@dataclass(frozen=True)
class Stage:
    """One stage of the chain.

    Attributes:
        number: Its place in the chain.
        name: What the configuration and its folder call it.
        title: For people.
        unit: What one image shows.
        activation: Of its head.
        loss: That it is trained by.
        head: What sits on the backbone by default.
        source: Where it is described.
    """

    number: int
    name: str
    title: str
    unit: str
    activation: Literal["sigmoid", "softmax"]
    loss: str
    head: str
    source: str
