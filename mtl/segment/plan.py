"""What decides a training of a segmentation network, and whether it can work."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mtl.errors import ConfigError
from segmentation.networks import NetworkRecipe, SegmentationNetwork, create_network

__all__ = ["TrainPlan"]


@dataclass(frozen=True)
class TrainPlan:
    """Everything that decides a training; the flags of `mtl segment train`."""

    data: tuple[str, ...]
    test: tuple[str, ...] = ()
    arch: str = "residual-unet"
    encoder: str | None = None
    encoder_weights: str = "none"
    width: int = 16
    depth: int = 4
    steps: int = 1500
    epochs: int | None = None
    folds: int = 1
    batch_size: int = 16
    crop_size: int = 128
    learning_rate: float = 3e-3
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
        if not 0 < self.learning_rate <= 1:
            raise ConfigError(
                f"Expected `--learning-rate` to be above 0 and at most 1, but got {self.learning_rate}; do change it"
            )

    def network(self, seed: int) -> SegmentationNetwork:
        """Return the untrained network.

        Raises:
            ModelError: If architecture or encoder is unknown.
            ConfigError: If crops do not fit it.
        """
        torch.manual_seed(seed)
        recipe = NetworkRecipe(self.arch, self.encoder, self.width, self.depth)
        pretrained = None if self.encoder_weights == "none" else self.encoder_weights
        network = create_network(recipe, pretrained)
        if self.crop_size % network.multiple:
            raise ConfigError(
                f"Expected `--crop-size` to be a multiple of {network.multiple} for {self.arch}, but got {self.crop_size}; do choose one"
            )
        return network
