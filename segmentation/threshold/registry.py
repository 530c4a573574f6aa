"""All methods by name, with one way to call them.

>>> import numpy as np
>>> threshold(np.full((8, 8, 3), 255, np.uint8), "multi-otsu", sigma=1.0).max()
np.uint8(0)
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy.typing as npt

from segmentation.errors import ParameterError
from segmentation.masks import Labels
from segmentation.threshold.clusters import Clusters, FuzzyClusters, fuzzy_c_means, k_means, k_medoids
from segmentation.threshold.enhance import HighBoost, high_boost_log
from segmentation.threshold.hsv import HSVInterval, hsv_interval
from segmentation.threshold.image import check_image
from segmentation.threshold.mixer import BlueChannel, ChannelMixer, blue_channel, channel_mixer
from segmentation.threshold.nuclei import Nuclei
from segmentation.threshold.otsu import MultiOtsu, Otsu, multi_otsu, otsu_green, otsu_saturation
from segmentation.threshold.parameters import Parameters, build
from segmentation.threshold.watershed import Watershed, watershed
from segmentation.threshold.white_cells import WhiteCells, nuclei, white_cells

__all__ = ["DEFAULT", "METHODS", "Gives", "Method", "method", "threshold"]

Gives = Literal["nucleus", "cell", "nucleus and cytoplasm"]
DEFAULT: Final = "white-cells"


@dataclass(frozen=True)
class Method:
    """A way to threshold.

    Attributes:
        name: What it is called by.
        function: Image (H, W, 3) uint8 RGB and settings in, labels (H, W) uint8 out.
        parameters: Class of its settings.
        gives: `nucleus` (0 and 2), `cell` (0 and 1: it knows no nucleus) or both.
        about: What it does, in a line.
    """

    name: str
    function: Callable[[Any, Any], Labels]
    parameters: type[Parameters]
    gives: Gives
    about: str


_ALL = (
    Method(DEFAULT, white_cells, WhiteCells, "nucleus and cytoplasm", "purple nuclei, then each cell grown around its own, without red cells"),
    Method("nuclei", nuclei, Nuclei, "nucleus", "the nuclei of white-cells alone"),
    Method("channel-mixer", channel_mixer, ChannelMixer, "nucleus", "monochrome mixer and a fixed level, as in Maaliw et al. 2022"),
    Method("blue-channel", blue_channel, BlueChannel, "nucleus", "Otsu on blue's share of all light"),
    Method("hsv", hsv_interval, HSVInterval, "nucleus", "colour interval in HSV, as in Patel et al. 2025"),
    Method("otsu-saturation", otsu_saturation, Otsu, "nucleus", "Otsu on saturation"),
    Method("otsu-green", otsu_green, Otsu, "cell", "Otsu on green"),
    Method("multi-otsu", multi_otsu, MultiOtsu, "nucleus", "highest of three classes of blue minus green"),
    Method("k-means", k_means, Clusters, "nucleus and cytoplasm", "k-means of CIELAB colours"),
    Method("k-medoids", k_medoids, Clusters, "nucleus and cytoplasm", "k-medoids of CIELAB colours"),
    Method("fuzzy-c-means", fuzzy_c_means, FuzzyClusters, "nucleus and cytoplasm", "fuzzy C-means of CIELAB colours"),
    Method("watershed", watershed, Watershed, "nucleus and cytoplasm", "cells flooded from multi-Otsu nuclei"),
    Method("high-boost-log", high_boost_log, HighBoost, "nucleus", "Laplacian of Gaussian with high-boost, then multi-Otsu"),
)  # fmt: skip

METHODS: Mapping[str, Method] = MappingProxyType({entry.name: entry for entry in _ALL})
"""Every method by its name; the first is the default."""


def method(name: str) -> Method:
    """Return the method of a name, or raise `ParameterError` with all names."""
    if name not in METHODS:
        near = difflib.get_close_matches(name, METHODS, 1)
        hint = f"did you mean {near[0]}?" if near else "choose one of them."
        raise ParameterError(f"Expected `name` to be one of {', '.join(METHODS)}, but got {name!r}; {hint}")
    return METHODS[name]


def threshold(image: npt.NDArray[Any], name: str = DEFAULT, **settings: Any) -> Labels:
    """Segment an image by a method of this name.

    Args:
        image: (H, W, 3) uint8 RGB.
        name: A key of `METHODS`.
        **settings: Fields of the method's record of parameters; those left out keep their defaults.

    Returns:
        (H, W) uint8: 0 background, 1 cytoplasm (or cell, where the method knows no nucleus), 2 nucleus.

    Raises:
        ImageError: The image is not (H, W, 3) uint8 RGB.
        ParameterError: A name or setting that does not exist, or a value out of its range.
    """
    chosen = method(name)
    return chosen.function(check_image(image), build(chosen.parameters, settings, chosen.name))
