"""Everything that decides what `mtl compare` says of its files."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from mtl.errors import ConfigError
from segmentation.settings import Settings

__all__ = ["CompareSettings", "read_claim"]


class CompareSettings(Settings):
    """How scores are compared."""

    test_fraction: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="share of every split that was tested; 0.2 if neither it nor --folds is given"
    )
    folds: Annotated[int, Field(ge=2)] | None = Field(
        None, description="folds, if the scores are of a (repeated) k-fold"
    )
    rope: float = Field(
        1.0, ge=0, lt=100, description="differences up to so many points are practically none"
    )
    claim: str | None = Field(None, description="a printed t,df,p to check, such as 0.85310,18,0.0001")

    @field_validator("claim")
    @classmethod
    def _three_numbers(cls, value: str | None) -> str | None:
        if value is not None:
            read_claim(value)
        return value


def read_claim(text: str) -> tuple[float, float, float]:
    """Return t, df and p of a printed `t,df,p`.

    Raises:
        ConfigError: If it is not three numbers.

    Examples:
        >>> read_claim("0.85310,18,0.0001")
        (0.8531, 18.0, 0.0001)
    """
    try:
        t, df, p = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(
            f"Expected `--claim` to be t,df,p such as 0.85310,18,0.0001, but got {text!r}; do write three numbers"
        ) from error
    return t, df, p
