"""What a federation can be told; light, as all settings are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from segmentation.settings import Settings

__all__ = ["FederateSettings", "PublicSettings", "concentration"]

_DIRICHLET = re.compile(r"dirichlet:(\d+(?:\.\d+)?(?:e-?\d+)?)")


class PublicSettings(Settings):
    """A data set that nobody's privacy hangs on; its labels are not looked at."""

    dataset: str = Field(description="name in `mtl data list`")
    root: Path = Field(description="its folder or file")


class FederateSettings(Settings):
    """How clients share the work, and what they tell each other."""

    clients: Annotated[int, Field(ge=1, le=1000)] = Field(
        5, description="how many hospitals share the groups"
    )
    rounds: Annotated[int, Field(ge=1, le=10_000)] = Field(
        10, description="how often their weights are averaged"
    )
    local_epochs: Annotated[int, Field(ge=1, le=1000)] = Field(
        5, description="epochs of every client in a round"
    )
    partition: str = Field(
        "by-group",
        description="how groups are dealt to clients: iid (every client the same mix of classes), dirichlet:0.3, by-group (at "
        "random), or by-source (each source of the stage is a client)",
    )
    strategy: Literal["fedavg", "fedprox", "fedbn"] = Field(
        "fedavg", description="fedavg, fedprox, or fedbn: batch normalisation stays with each client"
    )
    engine: Literal["process", "ray"] = Field(
        "process",
        description="what carries messages: this process, in which clients answer in turn; or ray, Flower's own, where they answer side by side",
    )
    client_cpus: Annotated[int, Field(ge=1, le=1024)] = Field(1, description="ray: cores of a client")
    client_gpus: Annotated[float, Field(ge=0, le=64)] = Field(
        0.0, description="ray: GPUs of a client, 0.5 for two on one"
    )
    proximal: Annotated[float, Field(gt=0, le=1000)] = Field(0.01, description="fedprox: mu")
    dp: Literal["none", "sgd", "least-squares", "central"] = Field(
        "none",
        description="differential privacy: none; at each client DP-SGD (sgd) or noisy least squares on the features; or central: the server "
        "hides each client",
    )
    dp_train: Literal["head", "film", "full"] = Field(
        "head",
        description="what sgd and central train: the head, on a frozen backbone; film: scale and shift of its normalisation layers, too; full: all",
    )
    epsilon: Annotated[float, Field(gt=0, le=1000)] = Field(
        2.0, description="what a client may spend in all; it takes no part in a round that would go beyond"
    )
    delta: Annotated[float, Field(gt=0, lt=1)] = Field(
        1e-5, description="below 1 / images of a client; of central below 1 / clients"
    )
    noise: Annotated[float, Field(gt=0, le=1000)] | None = Field(
        None, description="sgd and central: noise multiplier; what spends `epsilon` in the last round if none"
    )
    clip: Annotated[float, Field(gt=0, le=1000)] = Field(
        1.0, description="largest norm of an image's gradient (sgd), or of a client's step (central)"
    )
    dimensions: Annotated[int, Field(ge=2, le=8192)] = Field(
        16,
        description="width that features are brought to: along directions of `public` images, or at random for least-squares",
    )
    public: PublicSettings | None = Field(
        None, description="images that anybody may see, whose main directions the head looks along"
    )

    @field_validator("partition")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in ("iid", "by-group", "by-source"):
            concentration(value)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> FederateSettings:
        trains = self.dp in ("sgd", "central")
        if self.noise is not None and not trains:
            raise ValueError(
                f"Expected `noise` with dp=sgd or central, but got dp={self.dp}; do leave it out"
            )
        if self.dp_train != "head" and not trains:
            raise ValueError(
                f"Expected `dp_train` {self.dp_train} with dp=sgd or central, but got dp={self.dp}; do leave it out, or set train.policy"
            )
        if self.dp != "none" and self.strategy != "fedavg":
            raise ValueError(
                f"Expected strategy fedavg with dp={self.dp}, which is counted for no other, but got {self.strategy}; do leave it out"
            )
        return self

    @property
    def at_clients(self) -> bool:
        """Whether each client protects what it tells."""
        return self.dp in ("sgd", "least-squares")

    @property
    def epochs(self) -> int:
        """Epochs of every client in all."""
        return self.rounds * self.local_epochs


def concentration(partition: str) -> float:
    """Return alpha of `dirichlet:ALPHA`.

    Raises:
        ValueError: If it is no such text.

    Examples:
        >>> concentration("dirichlet:0.3")
        0.3
    """
    found = _DIRICHLET.fullmatch(partition)
    if not found or not 0 < float(found[1]) < 1e6:
        raise ValueError(
            f"Expected `partition` to be iid, dirichlet:ALPHA, by-group or by-source, but got {partition!r}; do write for example dirichlet:0.3"
        )
    return float(found[1])
