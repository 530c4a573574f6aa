"""Run a network over an image of any size in overlapping tiles, blended with raised cosines (Hann)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from segmentation.errors import ParameterError
from segmentation.probe import BF16

__all__ = ["TileSettings", "blend_window", "flipped", "tile_count", "tile_starts", "tiled_probabilities"]

_FLIPS: tuple[tuple[int, ...], ...] = ((), (3,), (2,), (2, 3))


@dataclass(frozen=True)
class TileSettings:
    """How an image is cut into tiles.

    Attributes:
        size: Height and width of a tile in pixels; a smaller image is one tile.
        overlap: Pixels that neighbouring tiles share at least, less than half of `size`.
        batch_size: Tiles that the network sees at once; None takes 1 on a processor, whose caches hold no more, else 8.
        flips: Average over the four mirror images, at four times the work.
        precision: `auto` lets a `Segmenter` probe which is faster and as good; here it is `32-true`.
    """

    size: int = 512
    overlap: int = 64
    batch_size: int | None = None
    flips: bool = False
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"

    def __post_init__(self) -> None:
        few = self.batch_size is not None and self.batch_size < 1
        if self.size < 16 or not 0 <= 2 * self.overlap < self.size or few:
            raise ParameterError(
                "Expected `size` to be 16 or more, `overlap` less than half of it and `batch_size` 1 or more, "
                f"but got {self.size}, {self.overlap} and {self.batch_size}; do change them"
            )


def flipped(images: torch.Tensor, flips: bool) -> Iterator[tuple[tuple[int, ...], torch.Tensor]]:
    """Give images (B, C, H, W) as they are and, with `flips`, mirrored three ways, each after the axes to mirror it back."""
    for axes in _FLIPS if flips else _FLIPS[:1]:
        yield axes, images.flip(axes) if axes else images


def tile_starts(length: int, size: int, overlap: int) -> list[int]:
    """Return where tiles begin along one axis: evenly spread, the first at 0, the last ending at `length`.

    Args:
        length: Pixels of the image.
        size: Pixels of a tile.
        overlap: Pixels that neighbours share at least.
    """
    if length <= size:
        return [0]
    steps = -(-(length - size) // (size - overlap))
    return [round(step * (length - size) / steps) for step in range(steps + 1)]


def tile_count(height: int, width: int, settings: TileSettings) -> int:
    """Return how many tiles an image is cut into."""
    return len(tile_starts(height, settings.size, settings.overlap)) * len(
        tile_starts(width, settings.size, settings.overlap)
    )


def blend_window(size: int, overlap: int, first: bool, last: bool) -> npt.NDArray[np.float32]:
    """Return the weights of a tile along one axis.

    The outer quarter of an overlap, where a network lacks context, counts nothing; over the inner half the weight rises as
    half a Hann window; elsewhere it is 1. At the border of the image there is nobody to blend with, and it stays 1.

    Args:
        size: Pixels of the tile.
        overlap: Pixels shared with each neighbour.
        first: Whether the tile begins at the border of the image.
        last: Whether it ends there.

    Returns:
        (size,) float32 in [0, 1].
    """
    weights = np.ones(size, np.float32)
    quarter = overlap // 4
    rising = overlap - 2 * quarter
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(rising) + 0.5) / max(rising, 1))
    edge = np.concatenate([np.zeros(quarter), ramp]).astype(np.float32)
    if not first:
        weights[: len(edge)] = edge
    if not last:
        weights[size - len(edge) :] = edge[::-1]
    return weights


def tiled_probabilities(
    network: nn.Module,
    image: npt.NDArray[np.uint8],
    settings: TileSettings | None = None,
    *,
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0),
    classes: int = 3,
    tell: Callable[[int], object] | None = None,
) -> npt.NDArray[np.float32]:
    """Return class probabilities of every pixel.

    Memory is bounded by the output and a few tiles, whatever the size of the image.

    Args:
        network: Images (B, 3, h, w) float32 in [0, 1] to logits (B, classes, h, w), for any h and w, in evaluation mode.
        image: (H, W, 3) uint8 RGB.
        settings: How to cut; None takes the defaults.
        gains: Factor on each channel, see `segmentation.light.background_gains`.
        classes: Classes of the network.
        tell: Told of each batch how many tiles it held.

    Returns:
        (classes, H, W) float32 that sum to 1.
    """
    settings = settings or TileSettings()
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    height, width = image.shape[:2]
    summed = torch.zeros((classes, height, width))
    total = torch.zeros((height, width))
    factor = torch.tensor(gains) / 255
    bf16 = settings.precision == BF16
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for places in _batches(
            height, width, settings, settings.batch_size or (1 if device.type == "cpu" else 8)
        ):
            tiles = torch.stack([torch.from_numpy(np.ascontiguousarray(image[place])) for place, _ in places])
            # Channels come last in the image already: the permuted view is channels_last without a copy.
            batch = (tiles.to(device) * factor.to(device)).permute(0, 3, 1, 2)
            for (place, window), part in zip(
                places, _predict(network, batch, settings.flips).cpu(), strict=True
            ):
                summed[(slice(None), *place)].addcmul_(part, window)
                total[place] += window
            if tell is not None:
                tell(len(places))
    result: npt.NDArray[np.float32] = summed.div_(total).numpy()
    return result


def _predict(network: nn.Module, batch: torch.Tensor, flips: bool) -> torch.Tensor:
    mean = torch.zeros(())
    for number, (axes, view) in enumerate(flipped(batch, flips)):
        # Contiguous planes first: a softmax over three interleaved channels takes five times as long.
        logits: torch.Tensor = network(view).float().contiguous()
        part = logits.softmax(dim=1)
        part = part.flip(axes) if axes else part
        mean = mean + part if number else part
    return mean / len(_FLIPS) if flips else mean


_Place = tuple[tuple[slice, slice], torch.Tensor]


def _batches(height: int, width: int, settings: TileSettings, count: int) -> Iterator[list[_Place]]:
    size = settings.size
    rows, columns = tile_starts(height, size, settings.overlap), tile_starts(width, size, settings.overlap)
    tall, wide = min(size, height), min(size, width)

    def axis(starts: list[int], index: int, length: int) -> tuple[slice, npt.NDArray[np.float32]]:
        window = blend_window(length, settings.overlap, index == 0, index == len(starts) - 1)
        return slice(starts[index], starts[index] + length), window

    places: list[_Place] = []
    for row in range(len(rows)):
        vertical, down = axis(rows, row, tall)
        for column in range(len(columns)):
            horizontal, across = axis(columns, column, wide)
            places.append(((vertical, horizontal), torch.from_numpy(np.outer(down, across))))
            if len(places) == count:
                yield places
                places = []
    if places:
        yield places
