"""Residual U-Net: residual blocks of 3x3 convolutions in encoder and decoder, joined by skips.

The design is that of Maaliw et al. 2022 (II-C) on the lines of Zhang et al., Road extraction by deep residual U-Net, 2018:
3x3 convolutions, batch normalisation, ReLU, 2x2 max pooling, skips by concatenation.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from segmentation.errors import ModelError

__all__ = ["ResidualBlock", "ResidualUNet"]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation, and a shortcut around them.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out; the shortcut is a 1x1 convolution where they differ.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.first_norm: nn.Module = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm: nn.Module = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (B, inputs, H, W) to (B, outputs, H, W)."""
        # In place, as large features cost more to move than to compute; no gradient needs what is overwritten.
        inner = functional.relu(self.first_norm(self.first(features)), inplace=True)
        inner = self.second_norm(self.second(inner))
        inner += self.shortcut(features)
        return functional.relu(inner, inplace=True)


class _Up(nn.Module):
    # The 1x1 convolution comes before the enlargement: the same result at a quarter of the work.
    def __init__(self, deep: int, skip: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(deep, skip, 1)
        self.block = ResidualBlock(2 * skip, skip)

    def forward(self, deep: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        grown = functional.interpolate(self.reduce(deep), scale_factor=2.0, mode="nearest")
        result: torch.Tensor = self.block(torch.cat([skip, grown], dim=1))
        return result


class ResidualUNet(nn.Module):
    """Residual U-Net for (B, 3, H, W) images whose height and width are multiples of `2 ** depth`.

    Args:
        width: Channels at full size; they double at every level down.
        depth: Poolings, 1 to 6.
        classes: Output classes; 0 background, 1 cytoplasm, 2 nucleus by convention.
        deep_supervision: Also predict at the coarser levels of the decoder, for the loss alone.

    Raises:
        ModelError: If a parameter is outside its limits.
    """

    def __init__(
        self, width: int = 16, depth: int = 4, classes: int = 3, deep_supervision: bool = False
    ) -> None:
        super().__init__()
        limits = (("width", width, 1, 256), ("depth", depth, 1, 6), ("classes", classes, 2, 64))
        for name, value, low, high in limits:
            if not low <= value <= high:
                raise ModelError(
                    f"Expected `{name}` to be {low} to {high}, but got {value}; do choose a value in between"
                )
        channels = [width * 2**level for level in range(depth + 1)]
        self.multiple = 2**depth
        self.encoder = nn.ModuleList(
            ResidualBlock(before, after) for before, after in zip([3, *channels[:-1]], channels, strict=True)
        )
        self.decoder = nn.ModuleList(
            _Up(channels[level + 1], channels[level]) for level in reversed(range(depth))
        )
        self.head = nn.Conv2d(width, classes, 1)
        coarse = channels[1:depth][::-1] if deep_supervision else []
        self.coarse_heads = nn.ModuleList(nn.Conv2d(count, classes, 1) for count in coarse)

    def forward_levels(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return logits of every supervised level, the finest first.

        Args:
            images: (B, 3, H, W) float32, normalised; H and W multiples of `multiple`.

        Returns:
            Logits (B, classes, H / 2**k, W / 2**k) for k = 0, 1, ...; only k = 0 without deep supervision.
        """
        skips: list[torch.Tensor] = []
        features = images
        for level, block in enumerate(self.encoder):
            features = block(functional.max_pool2d(features, 2) if level else features)
            skips.append(features)
        skips.pop()
        coarse: list[torch.Tensor] = []
        for level, up in enumerate(self.decoder):
            features = up(features, skips.pop())
            if level < len(self.coarse_heads):
                coarse.append(self.coarse_heads[level](features))
        return [self.head(features), *reversed(coarse)]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (B, classes, H, W) of normalised images (B, 3, H, W) float32."""
        return self.forward_levels(images)[0]
