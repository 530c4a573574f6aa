"""The base of all settings, and what every training runs on.

Light on purpose (no torch), so that a configuration is read and checked before anything heavy loads.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Hardware", "Precision", "Seed", "Settings"]

Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
"""Of what is computed; weights are always of 32 bits."""

Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""What every library takes as a seed."""


class Settings(BaseModel):
    """Base of all settings: unknown keys are errors, values are checked on assignment."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Hardware(Settings):
    """What to train on, in Lightning's words."""

    accelerator: str = "auto"
    devices: Annotated[int, Field(ge=1)] | Literal["auto"] = 1
    strategy: str = "auto"
    precision: Precision = "32-true"
