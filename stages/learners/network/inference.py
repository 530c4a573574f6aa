"""How a network predicts: on the device that trained it, in 32 bits or in the precision that a short probe finds faster and as good."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from segmentation.probe import BF16, Probe, probe_bf16, probe_images
from stages.learners.network.network import Network

__all__ = ["Inference", "choose_inference"]

_IMAGES = 8
_TOLERANCE = 0.01  # largest difference of a probability


@dataclass(frozen=True)
class Inference:
    """How a network predicts.

    Attributes:
        device: Such as `cpu` or `cuda`.
        probe: The precision, and why.
    """

    device: str
    probe: Probe

    @property
    def precision(self) -> str:
        """`32-true`, or `bf16-mixed`."""
        return self.probe.precision

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context that a forward pass runs in."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == BF16)


@torch.inference_mode()
def choose_inference(network: Network, size: int, name: str) -> Inference:
    """Probe a network, and return how it shall predict: no probability may move by more than 0.01.

    Args:
        network: In evaluation mode, on its device.
        size: Side of its images in px.
        name: Of its backbone.
    """
    device = next(network.parameters()).device
    images = probe_images(_IMAGES, size).to(device)

    def run(bf16: bool) -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = network(images)
        return network.probabilities(logits.double()).cpu()

    def differ(first: torch.Tensor, second: torch.Tensor) -> float:
        return float((first - second).abs().max())

    return Inference(device.type, probe_bf16(run, differ, _TOLERANCE, f"predict|{name}|{size}", device))
