"""What decides a training of a segmentation network, and whether it can work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from mtl.errors import ConfigError
from segmentation.networks import NetworkRecipe, SegmentationNetwork, create_network
from segmentation.weights import SHIPPED, load_network, read_card

__all__ = ["TrainPlan"]

_KNOWN_START = ("auto", "shipped", "none")


@dataclass(frozen=True)
class TrainPlan:
    """Everything that decides a training; the flags of `mtl segment train`.

    Attributes:
        start: `shipped`, `none` for random weights, a weight file, or `auto`: the shipped weights where they fit.
        rehearsal: Part of each batch that is rendered smears; None takes a half where training starts from weights, which
            would else forget other laboratories, and nothing where it starts from random ones.
        steps: None takes 500 where training starts from weights, else 1500.
        learning_rate: None takes 3e-4 where training starts from weights, else 3e-3.
    """

    data: tuple[str, ...]
    test: tuple[str, ...] = ()
    arch: str = "residual-unet"
    encoder: str | None = None
    encoder_weights: str = "none"
    width: int = 16
    depth: int = 4
    deep_supervision: bool = False
    start: str = "auto"
    rehearsal: float | None = None
    border: float = 0.5
    steps: int | None = None
    epochs: int | None = None
    folds: int = 1
    batch_size: int = 16
    crop_size: int = 128
    learning_rate: float | None = None
    seed: int = 0
    limit: int | None = None

    def check(self) -> None:
        """Check numbers.

        Raises:
            ConfigError: If one is out of its range.
        """
        least = {
            "width": 1,
            "depth": 1,
            "steps": 1,
            "epochs": 1,
            "folds": 1,
            "batch_size": 1,
            "crop_size": 16,
            "limit": 4,
        }
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and value < low:
                flag = f"--{name.replace('_', '-')}"
                raise ConfigError(
                    f"Expected `{flag}` to be {low} or more, but got {value}; do give a larger number"
                )
        if self.learning_rate is not None and not 0 < self.learning_rate <= 1:
            raise ConfigError(
                f"Expected `--learning-rate` to be above 0 and at most 1, but got {self.learning_rate}; do change it"
            )
        if self.rehearsal is not None and not 0 <= self.rehearsal < 1:
            raise ConfigError(
                f"Expected `--rehearsal` to be 0 or more and below 1, but got {self.rehearsal}; do change it"
            )
        if self.border < 0:
            raise ConfigError(f"Expected `--border` to be 0 or more, but got {self.border}; do change it")
        if self.start not in _KNOWN_START and not Path(self.start).is_file():
            raise ConfigError(
                f"Expected `--start` to be {', '.join(_KNOWN_START)} or a weight file, but got {self.start}; do check the path"
            )

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
