"""How the learning rate goes: a pure function of the step, so that a resumed run is the uninterrupted one."""

from __future__ import annotations

import math
from typing import Literal

__all__ = ["Schedule", "rate_factor"]

Schedule = Literal["exponential", "cosine", "constant"]


def rate_factor(
    schedule: Schedule,
    step: int,
    total: int,
    *,
    rise: float = 0.0,
    reach: bool = False,
    decay: float = 1.0,
    every: int = 1,
) -> float:
    """Return the factor on the peak learning rate at an optimiser step.

    Args:
        schedule: Constant; exponential, continuous in the step; or cosine, which rises linearly at first and ends at 0.
        step: From 0.
        total: Steps in all.
        rise: Cosine: the first steps, that rise.
        reach: Cosine: whether the last of them is at the peak already, or the step after it.
        decay: Exponential: the factor over `every` steps.
        every: Exponential: steps of an epoch.

    >>> [rate_factor("cosine", step, 8, rise=2, reach=True) for step in (0, 1, 2, 5, 8)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    if schedule == "constant":
        return 1.0
    if schedule == "exponential":
        return float(decay ** (step / max(1, every)))
    if step < rise:
        return (step + 1) / (rise if reach else rise + 1)
    through = (step - rise) / (total - rise) if step < total else 1.0
    return 0.5 * (1 + math.cos(math.pi * through))
