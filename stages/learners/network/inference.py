"""How a network predicts: on the device that trained it, in the precision that a short probe finds faster and as good."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from stages.data.store import cached
from stages.learners.network.network import Network

__all__ = ["Inference", "choose_inference"]

_IMAGES = 8
_ROUNDS = 3
_FASTER = 1.2  # least speed-up worth another precision; below it timing noise would decide
_TOLERANCE = 0.01  # largest difference of a probability


@dataclass(frozen=True)
class Inference:
    """How a network predicts, and what the probe measured.

    Attributes:
        device: Such as `cpu` or `cuda`.
        precision: `32-true`, or `bf16-mixed`.
        speedup: Of bf16 over float32; remembered, so that a machine always chooses alike.
        difference: Largest difference of a probability between the two.
    """

    device: str
    precision: str
    speedup: float
    difference: float

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context that a forward pass runs in."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16-mixed")


@torch.inference_mode()
def choose_inference(network: Network, size: int, name: str) -> Inference:
    """Probe a network, and return how it shall predict.

    bf16 on a processor can be fast, slow or wrong, by processor and by version of PyTorch: no flag tells, so both precisions are
    run on a few pictures. bf16 must be a fifth faster, and no probability may move by more than 0.01.

    Args:
        network: In evaluation mode, on its device.
        size: Side of its images in px.
        name: Of its backbone; the speed is remembered by it.
    """
    device = next(network.parameters()).device
    coarse = torch.rand(_IMAGES, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    images = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1).to(device)

    def run(bf16: bool) -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = network(images)
        return network.probabilities(logits.double()).cpu()

    where = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else torch.backends.cpu.get_cpu_capability()
    )
    key = f"{name}|{size}|{device.type}|{where}|{torch.__version__}|{torch.get_num_threads()}"
    speedup = float(
        cached("precision", key, lambda: _seconds(lambda: run(False)) / _seconds(lambda: run(True)))
    )
    difference = float((run(False) - run(True)).abs().max())
    good = speedup >= _FASTER and difference <= _TOLERANCE
    return Inference(device.type, "bf16-mixed" if good else "32-true", speedup, difference)


def _seconds(run: Callable[[], object]) -> float:
    run()
    taken = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        run()  # its result comes to the processor, so a GPU has finished, too
        taken.append(time.perf_counter() - started)
    return min(taken)
