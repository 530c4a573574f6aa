"""The base of all settings, and what every training runs on.

Light on purpose (no torch), so that a configuration is read and checked before anything heavy loads.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["DISTANCE", "PIXELS", "Hardware", "Precision", "Seed", "Settings"]

Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
"""Of what is computed; weights are always of 32 bits."""

DISTANCE: Final = 30.0
"""How far in px a centroid of a data set may lie from that of a cell whose mask it misses."""

PIXELS: Final = 16_000_000
"""What an image is enlarged to at most before it is segmented."""

Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""What every library takes as a seed."""


class Settings(BaseModel):
    """Base of all settings: unknown keys are errors, numbers are finite, values are checked on assignment."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


class Hardware(Settings):
    """What to train on, in Lightning's words."""

    accelerator: str = Field("auto", description="auto, cpu, gpu or mps")
    devices: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(1, description="how many, or auto for all")
    strategy: str = Field("auto", description="how several share the work, such as ddp")
    logger: tuple[Literal["csv", "tensorboard", "mlflow"], ...] = Field(
        (), description="Lightning's loggers that write, too: csv, tensorboard, mlflow"
    )
    precision: Precision = Field(
        "32-true", description="32-true, bf16-mixed, 16-mixed, or auto: bf16-mixed where it is the faster"
    )

    @field_validator("logger", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value
