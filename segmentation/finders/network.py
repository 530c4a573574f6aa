"""White cells found by a network: the shipped one, or weights of `mtl segment train`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from segmentation.errors import ModelError
from segmentation.masks import Mask
from segmentation.threshold.parameters import Parameters, flag, number

__all__ = ["NETWORK", "Find", "NetworkParameters", "network_finder", "weight_file"]

NETWORK: Final = "residual_unet"
_SCALES = (0.05, 3.0)
Find = Callable[[npt.NDArray[np.uint8]], Mask]
"""An image (H, W, 3) uint8 RGB in, a mask (H, W) bool out."""


class NetworkParameters(Parameters):
    """Settings of `residual_unet`."""

    cell_size: float = number(0.0, 0, 1200, "diameter of white cells in px; 0 lets the network measure it")
    flips: bool = flag(False, "average over four mirror images; four times the work")
    any_hue: bool = flag(
        False, "let nuclei have any colour; else they must be violet, as Wright's and Giemsa's are"
    )


def weight_file(path: Path) -> Path:
    """Return the weight file that a path names: itself, or the one in a folder of `mtl segment train`.

    Raises:
        ModelError: If there is none, or it has no card and so is of no network that segments.
    """
    file = path / "weights.safetensors" if path.is_dir() else path
    if not file.is_file():
        raise ModelError(
            f"Expected {path} to be weights of `mtl segment train`, but there is no {file.name}; do check the path"
        )
    if not file.with_suffix(".json").is_file():
        raise ModelError(
            f"Expected {path} to be weights of `mtl segment train`, but no card {file.with_suffix('.json').name} lies beside them; "
            "do copy both files together, or give the weights of another network"
        )
    return file


def network_finder(asked: NetworkParameters, weights: Path | None) -> Find:
    """Return what finds white cells by a network; see `segmentation.finders.make_finder`."""
    # torch is loaded by those who use it.
    from segmentation.predict import PredictSettings, Segmenter
    from segmentation.tiles import TileSettings
    from segmentation.weights import SHIPPED, load_network

    network = load_network(weight_file(weights) if weights else SHIPPED)
    usual = PredictSettings()
    scale = float(np.clip(usual.cell_size / asked.cell_size, *_SCALES)) if asked.cell_size else None
    violet = None if asked.any_hue else usual.violet
    settings = PredictSettings(scale=scale, violet=violet, tiles=TileSettings(flips=asked.flips))
    segmenter = Segmenter(network, settings)
    return lambda image: segmenter.cells(image).instances > 0
