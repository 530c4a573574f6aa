"""Which method segments an image: the one asked for, or the one that measured better on images of its kind.

`auto` takes `white-cells` where an image shows one cell that fills much of a small frame, and the network on whole fields;
docs/segmentation.md gives the scores behind this rule.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from mtl.errors import ConfigError
from segmentation.cells import Cells, CellSettings, find_cells, keep_cells, main_cell
from segmentation.masks import Labels
from segmentation.threshold import DEFAULT, METHODS, threshold
from segmentation.threshold.parameters import build

__all__ = ["AUTO", "NETWORK", "Choice", "Seen", "Seer", "choose", "parameters"]

AUTO = "auto"
NETWORK = "residual_unet"
SMALL_SIDE = 400  # longest short side in px of an image that may be of one cell
ONE_CELL = 0.7  # least part of all cell pixels that belongs to the main cell of such an image
FILLS = 0.03  # least part of the frame that it fills
BLANK = "none (blank image)"
_BLANK_SIDE = 300  # least side in px on which that is looked for
_CONTRAST = 16  # grey levels between the darkest and the brightest of an image that shows something
_NETWORKS = frozenset({NETWORK, "residual-unet", "network"})

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Choice:
    """How images are segmented.

    Attributes:
        method: `auto`, `residual_unet`, or a key of `segmentation.threshold.METHODS`.
        weights: Weight file of the network; None takes the shipped one.
        cell_size: Typical diameter in px of white cells in the images; None lets the network find it.
        flips: Whether the network's answer is averaged over four mirror images.
        any_hue: Whether the network's nuclei may have any colour, as stains other than Romanowsky's need.
        settings: Of the threshold method.
        device: Where the network runs.
    """

    method: str = AUTO
    weights: Path | None = None
    cell_size: float | None = None
    flips: bool = False
    any_hue: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cpu"


@dataclass(frozen=True)
class Seen:
    """What was found in an image.

    Attributes:
        labels: (H, W) uint8, 0 background, 1 cytoplasm, 2 nucleus; nothing but the cells.
        cells: The cells.
        method: Which method was used.
    """

    labels: Labels
    cells: Cells
    method: str


def choose(
    method: str,
    weights: Path | None,
    cell_size: float | None,
    flips: bool,
    sets: Sequence[str],
    device: str = "auto",
    any_hue: bool = False,
) -> Choice:
    """Return the choice that flags make.

    Raises:
        ConfigError: If flags name unknown methods or contradict each other.
        ParameterError: If a setting does not exist or is out of its range.
    """
    name = method.strip().lower()
    if name in _NETWORKS or (name == AUTO and weights is not None):
        name = NETWORK
    elif name != AUTO:
        name = DEFAULT if name == "threshold" else name.replace("_", "-")
        if name not in METHODS:
            known = (AUTO, NETWORK, "threshold", *METHODS)
            near = difflib.get_close_matches(name, known, 1)
            raise ConfigError(
                f"Expected `--method` to be one of {', '.join(known)}, but got {method!r}; "
                f"{f'did you mean {near[0]}?' if near else 'do choose one of them'}"
            )
    for_network = {"--weights": weights is not None, "--flips": flips, "--any-hue": any_hue}
    if name in METHODS and any(for_network.values()):
        flag = next(flag for flag, given in for_network.items() if given)
        raise ConfigError(
            f"Expected no `{flag}` with `--method {name}`, which has no network; do leave one of them out"
        )
    if sets and name not in METHODS:
        raise ConfigError(
            f"Expected `--set` together with a threshold method, but `--method` is {name}; do add `--method {DEFAULT}`"
        )
    if cell_size is not None and (name in METHODS or not 20 <= cell_size <= 1200):
        got = f"{cell_size:g}" if name not in METHODS else f"--method {name}, which measures cells itself"
        raise ConfigError(
            f"Expected `--cell-size` to be 20 to 1200 px for the network, but got {got}; do change it"
        )
    return Choice(name, weights, cell_size, flips, any_hue, parameters(name, sets), device)


def parameters(method: str, sets: Sequence[str]) -> dict[str, Any]:
    """Return the settings of `name=value` texts, checked by the method itself.

    Raises:
        ConfigError: If a text has no `=`.
        ParameterError: If a name is unknown or a value out of its range.
    """
    found: dict[str, Any] = {}
    for text in sets:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(
                f"Expected `--set` to be NAME=VALUE, but got {text!r}; do write for example sigma=1.5"
            )
        try:
            found[key.strip()] = json.loads(value)
        except ValueError:
            found[key.strip()] = value.strip()
    if method in METHODS:
        build(METHODS[method].parameters, found, method)
    return found


class Seer:
    """Segments images as a choice says; the network is loaded when the first image needs it.

    Args:
        choice: How.

    Raises:
        ModelError: If the weight file cannot be used.
    """

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self._segmenter: Any = None
        self._lock = Lock()
        if choice.method == NETWORK:
            self._network()

    def key(self) -> str:
        """Return what, besides the image, decides the result."""
        from segmentation.weights import SHIPPED, read_card

        used = self.choice.method in (AUTO, NETWORK)
        sha = read_card(self.choice.weights or SHIPPED).sha256 if used else ""
        return repr((replace(self.choice, weights=None, device=""), sha, SMALL_SIDE, ONE_CELL, FILLS))

    def see(self, image: Image) -> Seen:
        """Segment (H, W, 3) uint8 RGB."""
        if is_blank(image):
            return _seen(np.zeros(image.shape[:2], np.uint8), image, CellSettings(), BLANK)
        return self._see(image)

    def _see(self, image: Image) -> Seen:
        name = self.choice.method
        if name == AUTO:
            seen = self._threshold(image, DEFAULT) if min(image.shape[:2]) <= SMALL_SIDE else None
            return seen if seen is not None and shows_one_cell(seen.cells) else self._by_network(image)
        return self._by_network(image) if name == NETWORK else self._threshold(image, name)

    def _threshold(self, image: Image, name: str) -> Seen:
        labels = threshold(image, name, **self.choice.settings)
        # A method that knows no nucleus cannot be asked for one.
        settings = CellSettings(min_nucleus=0.0) if METHODS[name].gives == "cell" else CellSettings()
        return _seen(labels, image, settings, name)

    def _by_network(self, image: Image) -> Seen:
        segmenter = self._network()
        return _seen(segmenter.labels(image), image, segmenter.settings.cells, NETWORK)

    def _network(self) -> Any:
        with self._lock:  # images may be seen by several threads
            return self._loaded()

    def _loaded(self) -> Any:
        if self._segmenter is None:
            from segmentation.predict import PredictSettings, Segmenter
            from segmentation.tiles import TileSettings
            from segmentation.weights import SHIPPED, load_network

            network = load_network(self.choice.weights or SHIPPED, pick_device(self.choice.device))
            settings = PredictSettings(tiles=TileSettings(flips=self.choice.flips))
            if self.choice.any_hue:
                settings = replace(settings, violet=None)
            if self.choice.cell_size is not None:
                scale = float(np.clip(settings.cell_size / self.choice.cell_size, 0.05, 3.0))
                settings = replace(settings, scale=scale)
            self._segmenter = Segmenter(network, settings)
        return self._segmenter


def is_blank(image: Image) -> bool:
    """Say whether an image is of one tone, such as all black or all white: there is nothing to see in it."""
    step = max(min(image.shape[:2]) // _BLANK_SIDE, 1)
    low, high = np.percentile(image[::step, ::step].reshape(-1, 3), (0.1, 99.9), axis=0)
    return bool((high - low).max() < _CONTRAST)


def shows_one_cell(cells: Cells) -> bool:
    """Say whether an image shows one cell that fills much of the frame."""
    main = main_cell(cells)
    if main is None:
        return False
    total = sum(cell.area for cell in cells.cells)
    return main.area >= ONE_CELL * total and main.area >= FILLS * cells.instances.size


def pick_device(asked: str) -> str:
    """Return the device of `auto`, `cpu`, `cuda` or `mps`.

    Raises:
        ConfigError: If it is not there.
    """
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if asked == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there.get(asked.partition(":")[0], False):
        usable = ", ".join(name for name, present in there.items() if present)
        raise ConfigError(
            f"Expected `--device` to be auto or one of {usable}, but got {asked!r}; do choose one of them"
        )
    return asked


def _seen(labels: Labels, image: Image, settings: CellSettings, method: str) -> Seen:
    cells = find_cells(labels, image, settings)
    return Seen(keep_cells(labels, cells, cells.cells), cells, method)
