"""Which method segments an image: the one asked for, or the one that measured better on images of its kind.

`auto` takes `white-cells` where an image shows one cell that fills much of a small frame, and the network on whole fields;
docs/segmentation.md gives the scores behind this rule.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mtl.errors import ConfigError
from mtl.segment.settings import AUTO, NETWORK, SegmentImages
from segmentation.cells import Cells, CellSettings, find_cells, keep_cells, main_cell
from segmentation.masks import Labels
from segmentation.threshold import DEFAULT, METHODS, threshold

__all__ = ["Seen", "Seer", "Tell", "pick_device"]

SMALL_SIDE = 400  # longest short side in px of an image that may be of one cell
ONE_CELL = 0.7  # least part of all cell pixels that belongs to the main cell of such an image
FILLS = 0.03  # least part of the frame that it fills
BLANK = "none (blank image)"
_BLANK_SIDE = 300  # least side in px on which that is looked for
_CONTRAST = 16  # grey levels between the darkest and the brightest of an image that shows something

Image = npt.NDArray[np.uint8]
Tell = Callable[[int, int], None]


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


class Seer:
    """Segments images as settings say; the network is loaded when the first image needs it.

    Args:
        settings: How.

    Raises:
        ModelError: If the weight file cannot be used.
    """

    def __init__(self, settings: SegmentImages) -> None:
        self.settings = settings
        self.method = settings.used()
        self._segmenter: Any = None
        self._lock = Lock()
        if self.method == NETWORK:
            self._network()

    def key(self) -> str:
        """Return what, besides the image, decides the result."""
        from segmentation.weights import SHIPPED, read_card

        sha = read_card(self.settings.weights or SHIPPED).sha256 if self.method in (AUTO, NETWORK) else ""
        said = self.settings.model_dump(mode="json", exclude={"method", "weights", "device", "max_pixels"})
        return json.dumps([self.method, said, sha, SMALL_SIDE, ONE_CELL, FILLS], sort_keys=True)

    def see(self, image: Image, tell: Tell | None = None) -> Seen:
        """Segment (H, W, 3) uint8 RGB.

        Args:
            image: The image.
            tell: Told about progress inside it.
        """
        if is_blank(image):
            return _seen(np.zeros(image.shape[:2], np.uint8), image, CellSettings(), BLANK)
        return self._see(image, tell)

    def _see(self, image: Image, tell: Tell | None) -> Seen:
        name = self.method
        if name == AUTO:
            seen = self._threshold(image, DEFAULT) if min(image.shape[:2]) <= SMALL_SIDE else None
            return seen if seen is not None and shows_one_cell(seen.cells) else self._by_network(image, tell)
        return self._by_network(image, tell) if name == NETWORK else self._threshold(image, name)

    def _threshold(self, image: Image, name: str) -> Seen:
        factor = math.sqrt(self.settings.working_pixels / (image.shape[0] * image.shape[1]))
        seen = (
            cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
            if factor < 1
            else image
        )
        labels = threshold(np.asarray(seen, np.uint8), name, **self.settings.parameters)
        if factor < 1:
            size = image.shape[1], image.shape[0]
            labels = np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST), np.uint8)
        # A method that knows no nucleus cannot be asked for one.
        settings = CellSettings(min_nucleus=0.0) if METHODS[name].gives == "cell" else CellSettings()
        return _seen(labels, image, settings, name)

    def _by_network(self, image: Image, tell: Tell | None) -> Seen:
        segmenter = self._network()
        return _seen(segmenter.labels(image, tell), image, segmenter.settings.cells, NETWORK)

    def _network(self) -> Any:
        with self._lock:  # images may be seen by several threads
            return self._loaded()

    def _loaded(self) -> Any:
        if self._segmenter is None:
            from segmentation.predict import PredictSettings, Segmenter
            from segmentation.tiles import TileSettings
            from segmentation.weights import SHIPPED, load_network

            network = load_network(self.settings.weights or SHIPPED, pick_device(self.settings.device))
            settings = PredictSettings(
                pixels=self.settings.working_pixels, tiles=TileSettings(flips=self.settings.flips)
            )
            if self.settings.any_hue:
                settings = replace(settings, violet=None)
            if self.settings.cell_size is not None:
                scale = float(np.clip(settings.cell_size / self.settings.cell_size, 0.05, 3.0))
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
