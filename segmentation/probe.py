"""Whether bfloat16 serves here: a short probe of speed and parity.

On a processor it can be fast, slow or wrong, by processor and by version of PyTorch, and no flag tells. The speed is measured once
and remembered, so that a machine always chooses alike; the parity is measured with the weights at hand.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import nn

from segmentation.cache import cached

__all__ = ["BF16", "FP32", "Probe", "probe_bf16", "probe_images", "probe_training"]

Serving = Literal["32-true", "bf16-mixed"]
BF16: Final = "bf16-mixed"
FP32: Final = "32-true"
_ROUNDS = 3
_STEP_TOLERANCE = 0.05  # largest relative difference of a loss
_FASTER = 1.2  # least speed-up worth another precision; below it timing noise would decide


@dataclass(frozen=True)
class Probe:
    """What was found.

    Attributes:
        precision: `32-true`, or `bf16-mixed` where it is faster by a fifth and as good.
        speedup: Of bfloat16 over float32.
        difference: Between their results.
    """

    precision: Serving
    speedup: float
    difference: float


def probe_bf16(
    run: Callable[[bool], torch.Tensor],
    differ: Callable[[torch.Tensor, torch.Tensor], float],
    tolerance: float,
    key: str,
    device: torch.device,
) -> Probe:
    """Run something in float32 and in bfloat16, and say which serves.

    Args:
        run: Runs it, under autocast if told so, and returns its result on the processor.
        differ: Says how far the two results lie apart.
        tolerance: Largest difference that is as good.
        key: What is run; the speed is remembered by it, the device and the version of PyTorch.
        device: Where it runs.
    """
    if device.type not in ("cpu", "cuda"):
        return Probe(FP32, 1.0, 0.0)
    named = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else torch.backends.cpu.get_cpu_capability()
    )
    key = f"{key}|{device.type}|{named}|{torch.__version__}|{torch.get_num_threads()}"
    speedup = float(cached("precision", key, lambda: _seconds(run, False) / _seconds(run, True)))
    if speedup < _FASTER:
        return Probe(FP32, speedup, 0.0)
    difference = differ(run(False), run(True))
    return Probe(BF16 if difference <= tolerance else FP32, speedup, difference)


def probe_training(
    network: nn.Module, loss: Callable[[nn.Module], torch.Tensor], key: str, device: torch.device
) -> Probe:
    """Take a step forward and back in float32 and in bfloat16, and say which serves: the loss may move by a twentieth.

    Args:
        network: What shall be trained; a copy is used.
        loss: Returns its loss on some batch.
        key: What is trained; the speed is remembered by it.
        device: Where it shall be trained.
    """
    copied = deepcopy(network).to(device).train()

    def run(bf16: bool) -> torch.Tensor:
        copied.zero_grad(set_to_none=True)
        with torch.random.fork_rng(devices=[]), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            torch.manual_seed(0)  # of dropout
            value = loss(copied)
        value.backward()  # type: ignore[no-untyped-call]
        return value.detach().float().cpu()

    def differ(first: torch.Tensor, second: torch.Tensor) -> float:
        return float((first - second).abs() / first.abs().clamp_min(1e-12))

    return probe_bf16(run, differ, _STEP_TOLERANCE, f"train|{key}", device)


def probe_images(count: int, size: int) -> torch.Tensor:
    """Return smooth random images (count, 3, size, size) float32 in [0, 1], always the same."""
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1)


def _seconds(run: Callable[[bool], torch.Tensor], bf16: bool) -> float:
    run(bf16)
    taken = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        run(bf16)  # its result comes to the processor, so a GPU has finished, too
        taken.append(time.perf_counter() - started)
    return min(taken)
