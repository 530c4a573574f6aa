"""What decides a training of a segmentation network, and whether it can work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field, field_validator

from mtl.config import FolderName
from mtl.errors import ConfigError
from segmentation.networks import NetworkRecipe, SegmentationNetwork, create_network
from segmentation.settings import Hardware, Seed
from segmentation.training import StepSettings
from segmentation.weights import SHIPPED, load_network, read_card

__all__ = ["TrainPlan"]

_KNOWN_START = ("auto", "shipped", "none")


class TrainPlan(StepSettings):
    """Everything that decides a training of `mtl segment train`."""

    name: FolderName | None = Field(
        None, description="name of the run folder; made of data sets and architecture if not given"
    )
    seed: Seed = Field(0, description="of splits, weights, crops and changes of colour")
    data: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="data sets with masks, DATASET:FOLDER each"
    )
    test: tuple[str, ...] = Field((), description="data sets that are only tested on")
    arch: str = Field(
        NetworkRecipe.architecture, description="residual-unet, or a model of segmentation-models-pytorch"
    )
    encoder: str | None = Field(
        NetworkRecipe.encoder, description="encoder of such a model, such as resnet18"
    )
    encoder_weights: str = Field("none", description="none, or imagenet, which may be downloaded")
    width: Annotated[int, Field(ge=1)] = Field(
        NetworkRecipe.width, description="channels of residual-unet at full size"
    )
    depth: Annotated[int, Field(ge=1)] = Field(NetworkRecipe.depth, description="poolings of residual-unet")
    deep_supervision: bool = Field(
        NetworkRecipe.deep_supervision, description="loss at coarser levels of residual-unet, too"
    )
    start: str = Field(
        "auto",
        description="shipped, none (random weights), a weight file, or auto: the shipped weights where they fit",
    )
    rehearsal: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None,
        description="part of each batch that is rendered smears, lest other laboratories be forgotten; none takes 0.5 where "
        "training starts from weights, else 0",
    )
    steps: Annotated[int, Field(ge=1)] | None = Field(
        None, description="optimiser steps a fold; none takes 500 from weights, 1500 from random ones"
    )
    epochs: Annotated[int, Field(ge=1)] | None = Field(
        None, description="instead of steps: passes of as many crops as there are training images"
    )
    folds: Annotated[int, Field(ge=1)] = Field(1, description="grouped folds; 1 for a hold-out of a fifth")
    crop_size: Annotated[int, Field(ge=16)] = Field(
        128, description="side of a crop in px; a cell measures 60 px"
    )
    learning_rate: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="peak learning rate; none takes 3e-4 from weights, 3e-3 from random ones"
    )
    limit: Annotated[int, Field(ge=4)] | None = Field(
        None, description="images of a data set at most, evenly spread"
    )
    hardware: Hardware = Hardware(precision="auto")

    @field_validator("start")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in _KNOWN_START and not Path(value).is_file():
            raise ValueError(
                f"Expected `start` to be {', '.join(_KNOWN_START)} or a weight file, but got {value}; do check the path"
            )
        return value

    @property
    def recipe(self) -> NetworkRecipe:
        """What the flags say of the network."""
        return NetworkRecipe(self.arch, self.encoder, self.width, self.depth, self.deep_supervision)

    @property
    def weights(self) -> Path | None:
        """Where training starts; None is random."""
        if self.start == "auto":
            fits = self.encoder_weights == "none" and self.recipe == read_card(SHIPPED).recipe
            return SHIPPED if fits else None
        return {"none": None, "shipped": SHIPPED}.get(self.start, Path(self.start))

    @property
    def rehearsed(self) -> float:
        """Part of each batch that is rendered smears."""
        return self.rehearsal if self.rehearsal is not None else 0.5 if self.weights else 0.0

    @property
    def updates(self) -> int:
        """Optimiser steps of a fold."""
        return self.steps if self.steps is not None else 500 if self.weights else 1500

    @property
    def rate(self) -> float:
        """Largest learning rate."""
        return self.learning_rate if self.learning_rate is not None else 3e-4 if self.weights else 3e-3

    def network(self, seed: int) -> SegmentationNetwork:
        """Return the network as training finds it.

        Raises:
            ModelError: If architecture or encoder is unknown, or a weight file is damaged.
            ConfigError: If crops do not fit it, or flags ask for another network than the weights are of.
        """
        torch.manual_seed(seed)
        if self.weights:
            network = load_network(self.weights)
            if self.recipe not in (network.recipe, NetworkRecipe()):
                raise ConfigError(
                    f"Expected `--start` to be weights of the network that the flags ask for, but {self.weights.name} is of a "
                    f"{network.recipe.architecture}; do leave --arch, --encoder, --width, --depth and --deep-supervision out"
                )
        else:
            pretrained = None if self.encoder_weights == "none" else self.encoder_weights
            network = create_network(self.recipe, pretrained)
        if self.crop_size % network.multiple:
            raise ConfigError(
                f"Expected `--crop-size` to be a multiple of {network.multiple} for {network.recipe.architecture}, "
                f"but got {self.crop_size}; do choose one"
            )
        return network
