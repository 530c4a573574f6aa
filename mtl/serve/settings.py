"""Everything that decides how `mtl serve` answers, and what it refuses."""

from __future__ import annotations

import ipaddress
from typing import Self

from pydantic import Field, model_validator

from mtl.errors import ConfigError
from mtl.predict.settings import PredictSmears
from segmentation.settings import Settings

__all__ = ["Limits", "ServeSmears", "is_loopback"]


class Limits(Settings):
    """What is taken at once."""

    megabytes: int = Field(
        64, ge=1, le=4096, description="of a request, and of what its archives hold unpacked"
    )
    files: int = Field(200, ge=1, le=10_000, description="images of a request")
    pixels: int = Field(40_000_000, ge=1, le=400_000_000, description="of an image")
    waiting: int = Field(64, ge=1, le=10_000, description="requests that may wait for their turn")
    workers: int = Field(1, ge=1, le=64, description="requests that are answered side by side")
    minutes: int = Field(60, ge=1, le=10_080, description="until an upload and its answers are deleted")


class ServeSmears(Settings):
    """How runs are served."""

    host: str = Field("127.0.0.1", description="address to listen on; any but loopback needs a token")
    port: int = Field(8000, ge=0, le=65535, description="0 takes a free one")
    token: str | None = Field(None, min_length=12, description="what who asks must know")
    limits: Limits = Limits()
    predict: PredictSmears = Field(default_factory=PredictSmears)

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if self.token is None and not is_loopback(self.host):
            raise ConfigError(
                f"Expected `--token` with `--host {self.host}`, which others can reach, but got none; do give one of 12 letters or more, or leave --host out"
            )
        return self


def is_loopback(host: str) -> bool:
    """Say whether an address is of this machine alone.

    >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("example.org")
    (True, True, False, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
