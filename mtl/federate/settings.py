"""What `mtl federate` can be told: an experiment, how its last stage is federated, and how a network carries it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from mtl.config import STAGE_FIELDS, Experiment, FolderName
from mtl.errors import ConfigError
from segmentation.settings import Hardware, Settings
from stages.learners.federated.settings import FederateSettings

__all__ = [
    "ClientSettings",
    "FederatedExperiment",
    "NetworkSettings",
    "PickSettings",
    "ServedExperiment",
    "split_address",
]


def split_address(text: str, flag: str, lowest: int = 1) -> tuple[str, int]:
    """Return host and port.

    Args:
        text: HOST:PORT.
        flag: For the error's sentence.
        lowest: Port that is allowed; 0 stands for any that is free.

    Raises:
        ValueError: If it is no address.

    Examples:
        >>> split_address("localhost:9443", "--server")
        ('localhost', 9443)
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not lowest <= int(port) < 65536:
        raise ValueError(
            f"Expected `{flag}` to be HOST:PORT, but got {text!r}; do write for example server.example.org:9443"
        )
    return host.strip("[]"), int(port)


class PickSettings(Settings):
    """Which backbones are tried in one place before the best of them are federated."""

    backbones: tuple[str, ...] = Field(
        (), description="to train in one place and to pick from, separated by commas"
    )
    best: Annotated[int, Field(ge=1, le=100)] | None = Field(
        None, description="federate so many of `pick.backbones`, the best on the validation part"
    )

    @field_validator("backbones", mode="before")
    @classmethod
    def _parted(cls, value: Any) -> Any:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.best is not None and self.best > len(set(self.backbones)):
            raise ConfigError(
                f"Expected `--best` to be at most the number of `--backbones`, {len(set(self.backbones))}, but got {self.best}; do name more, or take a "
                "configuration that does, such as alam2024"
            )
        return self


class FederatedExperiment(Experiment):
    """An experiment with two more sections: how its last stage is learned by several clients, and which backbones it is tried with."""

    federate: FederateSettings = FederateSettings()
    pick: PickSettings = PickSettings()

    @model_validator(mode="after")
    def _one_chain(self) -> Self:
        if self.against:
            raise ConfigError("Expected one chain to federate, but got `against`, too; do set it to none")
        if self.stages[-1] == 1:
            raise ConfigError(
                "Expected the last of `--stages` to be 2 or 3, which clients learn together, but got 1; do add a stage"
            )
        last = self.stage(self.stages[-1])
        if last.bagging is not None:
            raise ConfigError(
                f"Expected a last stage that answers for images, which clients can learn together, but its `unit` is {last.unit}; do set it to field"
            )
        if last.learner != "network":
            raise ConfigError(
                f"Expected a last stage that learns by a network, whose weights clients can average, but its `learner` is {last.learner}; "
                f"do add --set {STAGE_FIELDS[self.stages[-1]]}.learner=network"
            )
        return self


class NetworkSettings(Settings):
    """How a server waits for its clients."""

    classes: tuple[str, ...] = Field(
        (),
        description="names of all classes, separated by commas, since the server has no images to find them in",
    )
    keys: Path = Field(
        Path("keys"), description="folder that `mtl federate keys` made, with clients/NAME.pub"
    )
    listen: str = Field("0.0.0.0:9443", description="HOST:PORT to listen at")
    timeout: Annotated[float, Field(gt=0, le=40_000)] = Field(
        3600.0, description="seconds that a client may take for its part of a round"
    )

    @field_validator("classes", mode="before")
    @classmethod
    def _parted(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("listen")
    @classmethod
    def _address(cls, value: str) -> str:
        split_address(value, "--listen", lowest=0)
        return value


class ServedExperiment(FederatedExperiment):
    """A federated experiment whose clients come over a network."""

    server: NetworkSettings = NetworkSettings()

    @model_validator(mode="after")
    def _two_classes(self) -> Self:
        if self.pick.best is not None:
            raise ConfigError(
                f"Expected no `pick.best` over a network, whose server has no images to pick on, but got {self.pick.best}; do leave it out"
            )
        if self.federate.engine != "process":
            raise ConfigError(
                f"Expected no `--engine {self.federate.engine}` over a network, whose clients are processes of their own, but got it; do leave it out"
            )
        if len(set(self.server.classes)) < 2 or not all(self.server.classes):
            raise ConfigError(
                f"Expected `--classes` to name two classes or more, but got {','.join(self.server.classes)!r}; do write for example --classes normal,early,pre"
            )
        return self

    def plan(self) -> FederatedExperiment:
        """Return what clients are told of it."""
        return FederatedExperiment.model_validate(
            self.model_dump(
                mode="json", exclude={"server": True, "pick": True, "hardware": True, "tests": True}
            )
        )


class ClientSettings(Settings):
    """Which server a client takes part with, with which images, and what it insists on."""

    server: str = Field(description="HOST:PORT of the server")
    data: str = Field(description="its images, as NAME:FOLDER; see `mtl data list`")
    key: Path = Field(description="its private key, whose .pub file the server has")
    ca: Path = Field(Path("ca.pem"), description="certificate of who signed the server's")
    name: FolderName | None = Field(None, description="name of its run folder; that of the key if none")
    wait: Annotated[float, Field(ge=0, le=1_000_000)] = Field(
        60.0, description="seconds that the server may be away, at the start and later"
    )
    backbone: str | None = Field(None, description="refuse a server that trains another one")
    dp: str | None = Field(None, description="refuse a server that asks for another kind of privacy, or none")
    epsilon: Annotated[float, Field(gt=0)] | None = Field(
        None, description="refuse a server that would spend more"
    )
    rename: dict[str, str] = Field({}, description="class of every label that is called otherwise here")
    drop: tuple[str, ...] = Field((), description="labels to leave out")
    hardware: Hardware = Hardware()

    @field_validator("server")
    @classmethod
    def _address(cls, value: str) -> str:
        split_address(value, "--server")
        return value
