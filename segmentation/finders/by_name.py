"""White cells found by any way that has a name: a network, or a method of thresholding.

>>> import numpy as np
>>> find = make_finder("multi-otsu", {"sigma": 1.0})
>>> find(np.full((8, 8, 3), 255, np.uint8)).any()
np.False_
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segmentation.errors import ParameterError
from segmentation.finders.network import NETWORK, Find, NetworkParameters, network_finder
from segmentation.threshold import METHODS, threshold
from segmentation.threshold.parameters import build

__all__ = ["check_finder", "make_finder"]


def check_finder(name: str, settings: Mapping[str, Any], key: str = "name", also: str = "") -> None:
    """Refuse a way that does not exist, or settings that it has not; nothing is loaded.

    Args:
        name: `residual_unet`, or a key of `METHODS`.
        settings: Of the method; those left out keep their defaults.
        key: What the error calls the name.
        also: A further name that the error shall offer.

    Raises:
        ParameterError: In one sentence.
    """
    if name != NETWORK and name not in METHODS:
        known = [*([also] if also else []), NETWORK, *METHODS]
        near = difflib.get_close_matches(name.replace("_", "-"), known, 1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else "do choose one of them"
        raise ParameterError(f"Expected `{key}` to be one of {', '.join(known)}, but got {name!r}; {hint}")
    build(NetworkParameters if name == NETWORK else METHODS[name].parameters, settings, name)


def make_finder(name: str, settings: Mapping[str, Any] | None = None, weights: Path | None = None) -> Find:
    """Return what finds white cells: an image (H, W, 3) uint8 RGB in, a mask (H, W) bool out.

    Args:
        name: `residual_unet`, or a key of `METHODS`.
        settings: Of the method.
        weights: Of the network, a file or folder of `mtl segment train`; the shipped ones if None.

    Raises:
        ModelError: If the weights cannot be used.
        ParameterError: If there is no such method or setting.
    """
    given = dict(settings or {})
    check_finder(name, given)
    return (
        network_finder(NetworkParameters(**given), weights) if name == NETWORK else _by_threshold(name, given)
    )


def _by_threshold(name: str, settings: Mapping[str, Any]) -> Find:
    return lambda image: threshold(image, name, **settings) > 0
