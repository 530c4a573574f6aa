"""From an image to labels and cells: white balance, a scale at which cells look as in training, tiles.

Time and memory are bounded: `PredictSettings.pixels` says how far an image is enlarged, and a large one is done block by block.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from segmentation.cells import Cells, CellSettings, find_cells, find_instances, typical_area
from segmentation.errors import ParameterError
from segmentation.light import background_gains, check_image
from segmentation.masks import NUCLEUS, Labels, look_up
from segmentation.networks import SegmentationNetwork, fused
from segmentation.probe import Probe, probe_bf16, probe_images
from segmentation.settings import PIXELS
from segmentation.tiles import TileSettings, tile_count, tile_starts, tiled_probabilities

__all__ = ["PredictSettings", "Segmenter", "Tell"]

Image = npt.NDArray[np.uint8]
Tell = Callable[[int, int], None]
"""Told how many tiles are done, and of how many; 0 of 0 while cells are looked for."""

_OVERVIEW = 144  # longest side of the first look
_LOOK = 320  # longest side of later ones: where cells are, not the whole field
_LOOKS = 6
_GROWTH = 1.4  # a further look for cells that is enlarged less shows nothing new
_BLOCK = 4096  # px a side of what is done at once
_PROBED = 512  # side in px of the image that precisions are compared on
_TOLERANCE = 0.005  # part of its pixels that may get another label
_SCALES = (0.05, 3.0)
_SPREAD = 0.3  # of nuclei of one image in `PredictSettings.violet`


@dataclass(frozen=True)
class PredictSettings:
    """How an image is segmented.

    Attributes:
        cell_size: Diameter in pixels at which the network sees cells best.
        scale: Magnification before the network; None finds it from the cells of a first look.
        violet: Largest optical density of a nucleus in red and blue light together, in parts of that in green; what has more
            is set to background, if other nuclei of the image are more violet. Romanowsky stains make chromatin violet, which absorbs green most: the sum is 0.5 to 1.15 in
            the real masks of three laboratories. Dark teal red cells, whose haemoglobin absorbs blue, lie at 1.2 to 2.2. None
            lets every colour pass, as other stains need.
        pixels: An image is enlarged to this size at most, and to half of it while nothing has been found yet. Of 12,000 x 12,000
            px, half shows cells from some 40 px on.
        tiles: How the image is cut.
        cells: What counts as a cell.
    """

    cell_size: float = 60.0
    scale: float | None = None
    violet: float | None = 1.2
    pixels: int = PIXELS
    tiles: TileSettings = field(default_factory=TileSettings)
    cells: CellSettings = field(default_factory=CellSettings)

    def __post_init__(self) -> None:
        if self.scale is not None and not _SCALES[0] <= self.scale <= _SCALES[1]:
            raise ParameterError(
                f"Expected `scale` to be {_SCALES[0]} to {_SCALES[1]}, but got {self.scale}; do choose a value in between"
            )
        if self.violet is not None and self.violet <= 0:
            raise ParameterError(
                f"Expected `violet` to be above 0 or None, but got {self.violet}; do choose about 1.2"
            )


class Segmenter:
    """A trained network and how to use it.

    Args:
        network: The network, on its device; later changes of its weights are not seen.
        settings: How images are segmented; None takes the defaults.
    """

    def __init__(self, network: SegmentationNetwork, settings: PredictSettings | None = None) -> None:
        self.network = fused(network)
        self.settings = settings or PredictSettings()
        if self.settings.tiles.precision == "auto":
            precision = _choose_precision(self.network).precision
            self.settings = replace(self.settings, tiles=replace(self.settings.tiles, precision=precision))

    def probabilities(self, image: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return (3, H, W) float32 probabilities of background, cytoplasm and nucleus of (H, W, 3) uint8 RGB."""
        checked = check_image(image)
        gains = background_gains(checked)
        return self._probabilities(checked, self._scale(checked, gains)[0], gains)

    def labels(self, image: npt.NDArray[Any], tell: Tell | None = None) -> Labels:
        """Return (H, W) uint8 labels: 0 background, 1 cytoplasm, 2 nucleus; nothing where no cell is found at any size.

        Args:
            image: (H, W, 3) uint8 RGB.
            tell: Told about progress.
        """
        checked = check_image(image)
        gains = background_gains(checked)
        if tell is not None:
            tell(0, 0)
        scale, found = self._scale(checked, gains)
        if not (found or self.settings.tiles.flips):  # the same network has just looked at the same pixels
            return np.zeros(checked.shape[:2], np.uint8)
        labels = np.empty(checked.shape[:2], np.uint8)
        blocks = [*_blocks(checked.shape[0], checked.shape[1], scale, self.settings.tiles.overlap)]
        count = _Count(sum(self._tiles(checked[block.seen], scale) for block in blocks), tell)
        for block in blocks:
            part = _likeliest(self._probabilities(checked[block.seen], scale, gains, count))
            labels[block.kept] = part[block.inner]
        return self._violet(labels, checked, gains)

    def cells(self, image: npt.NDArray[Any]) -> Cells:
        """Return the white cells of (H, W, 3) uint8 RGB."""
        return find_cells(self.labels(image), check_image(image), self.settings.cells)

    def estimate_scale(self, image: Image) -> float:
        """Return the magnification that brings the image's cells to `PredictSettings.cell_size`.

        The first look is at small size: seen too small a cell is still a blob, while seen too large its pale cytoplasm
        is lost and lobes of its nucleus pass for cells. Further looks, at the scale that follows and where most cells are,
        correct the estimate.

        Args:
            image: (H, W, 3) uint8 RGB.
        """
        return self._look(image, background_gains(image))[0]

    def _scale(self, image: Image, gains: tuple[float, float, float]) -> tuple[float, bool]:
        # The magnification within the budget, and whether there may be anything to see.
        given = self.settings.scale
        scale, found = (given, True) if given is not None else self._look(image, gains)
        return min(scale, max(_fitting(image, self.settings.pixels), 1.0)), found

    def _look(self, image: Image, gains: tuple[float, float, float]) -> tuple[float, bool]:
        tiles = replace(self.settings.tiles, flips=False)
        scale: float = min(1.0, _OVERVIEW / max(image.shape[:2]))
        most = max(_fitting(image, self.settings.pixels // 2), scale)
        part = slice(0, image.shape[0]), slice(0, image.shape[1])
        found = False
        for _ in range(_LOOKS):
            look = _resized(image[part], scale)
            labels = _likeliest(tiled_probabilities(self.network, look, tiles, gains=gains))
            diameter = _diameter(self._violet(labels, look, gains))
            if diameter:
                found, change = True, self.settings.cell_size / diameter
                wanted = float(np.clip(scale * change, *_SCALES))
                if 0.7 < change < 1.4:
                    return wanted, True
                part = _window(labels > 0, part, image.shape[:2], _LOOK / wanted)
            else:  # cells may be too small to be seen yet
                wanted = min(2.0 * scale, _SCALES[1]) if found else min(2.0 * scale, most)
                if scale >= 1 or wanted < _GROWTH * scale:
                    break
            scale = wanted
        return scale, found

    def _probabilities(
        self,
        image: Image,
        scale: float,
        gains: tuple[float, float, float],
        tell: Callable[[int], None] | None = None,
    ) -> npt.NDArray[np.float32]:
        height, width = image.shape[:2]
        seen = _resized(image, scale)
        found = tiled_probabilities(self.network, seen, self.settings.tiles, gains=gains, tell=tell)
        if seen.shape == image.shape:
            return found
        planes = [cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in found]
        return np.asarray(planes, np.float32)

    def _tiles(self, image: Image, scale: float) -> int:
        width, height = _size(image, scale)
        return tile_count(height, width, self.settings.tiles)

    def _violet(self, labels: Labels, image: Image, gains: tuple[float, float, float]) -> Labels:
        if self.settings.violet is not None:
            labels[_not_violet(labels == NUCLEUS, image, gains, self.settings.violet)] = 0
        return labels


class _Count:
    # Adds up tiles for whoever is told.
    def __init__(self, total: int, tell: Tell | None) -> None:
        self.done, self.total, self.tell = 0, total, tell

    def __call__(self, tiles: int) -> None:
        self.done += tiles
        if self.tell is not None:
            self.tell(self.done, self.total)


@dataclass(frozen=True)
class _Block:
    """A part of an image: where it is `seen`, which part of the image is `kept` of it, and where that lies `inner` in it."""

    seen: tuple[slice, slice]
    kept: tuple[slice, slice]
    inner: tuple[slice, slice]


def _blocks(height: int, width: int, scale: float, overlap: int) -> Iterator[_Block]:
    # Blocks share what tiles share, in pixels of the image, and part in the middle of it.
    def axis(length: int) -> list[tuple[slice, slice, slice]]:
        size = min(_BLOCK, length)
        starts = tile_starts(length, size, min(round(overlap / scale), size // 2))
        ends = [0, *((first + size + second) // 2 for first, second in pairwise(starts)), length]
        return [
            (slice(start, start + size), slice(low, high), slice(low - start, high - start))
            for start, (low, high) in zip(starts, pairwise(ends), strict=True)
        ]

    for rows in axis(height):
        for columns in axis(width):
            seen, kept, inner = zip(rows, columns, strict=True)
            yield _Block(seen, kept, inner)


def _likeliest(probabilities: npt.NDArray[np.float32]) -> Labels:
    background, cytoplasm, nucleus = torch.from_numpy(probabilities)
    # The same as `argmax`, which takes several times as long over planes.
    cell = (cytoplasm > background).to(torch.uint8)
    found: Labels = torch.where(nucleus > torch.maximum(background, cytoplasm), 2, cell).numpy()
    return found


@torch.inference_mode()
def _choose_precision(network: SegmentationNetwork) -> Probe:
    """Probe a network: in bfloat16 no more than one pixel in two hundred may get another label."""
    device = next(network.parameters()).device
    images = probe_images(1, _PROBED).to(device)

    def run(bf16: bool) -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits: torch.Tensor = network(images)
        return logits.argmax(dim=1).cpu()

    def differ(first: torch.Tensor, second: torch.Tensor) -> float:
        return float((first != second).float().mean())

    recipe = network.recipe
    key = f"segment|{recipe.architecture}|{recipe.encoder}|{recipe.width}|{recipe.depth}"
    return probe_bf16(run, differ, _TOLERANCE, key, device)


def _fitting(image: Image, pixels: int) -> float:
    # The magnification that gives an image so many pixels.
    return math.sqrt(pixels / (image.shape[0] * image.shape[1]))


def _size(image: Image, scale: float) -> tuple[int, int]:
    # Width and height in px at a magnification; one near 1 is not worth the blur.
    height, width = image.shape[:2]
    if 0.9 < scale < 1.1:
        return width, height
    return max(round(width * scale), 8), max(round(height * scale), 8)


def _resized(image: Image, scale: float) -> Image:
    size = _size(image, scale)
    if size == (image.shape[1], image.shape[0]):
        return image
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=smooth), np.uint8)


def _not_violet(
    nuclei: npt.NDArray[np.bool_], image: Image, gains: tuple[float, float, float], limit: float
) -> npt.NDArray[np.bool_]:
    # Connected parts that are above the limit, and far from the most violet tenth of the image's own nuclei: where
    # all of them are navy, that is how the slide was stained.
    parts, count = ndimage.label(nuclei)
    if not count:
        return nuclei
    light = image[nuclei] * (np.asarray(gains, np.float32) / 255)
    red, green, blue = -np.log(light.clip(1 / 255, 1)).T
    where = parts[nuclei]
    others, own = (np.bincount(where, weights=one, minlength=count + 1) for one in (red + blue, green))
    ratio = others / np.maximum(own, 1e-6)
    violet = np.quantile(ratio[where], 0.1)
    wrong = ratio > max(limit, violet + _SPREAD)
    wrong[0] = False
    return look_up(wrong, parts)


def _window(
    cells: npt.NDArray[np.bool_], part: tuple[slice, slice], shape: tuple[int, ...], side: float
) -> tuple[slice, slice]:
    # The square of this side, in pixels of the image, that holds most pixels of cells; `part` is where `cells` was seen.
    ratio = (part[0].stop - part[0].start) / cells.shape[0], (part[1].stop - part[1].start) / cells.shape[1]
    reach = max(round(side / ratio[1]), 1), max(round(side / ratio[0]), 1)
    held = cv2.blur(cells.astype(np.float32), reach, borderType=cv2.BORDER_CONSTANT)
    place = np.unravel_index(int(held.argmax()), held.shape)
    window = []
    for axis in (0, 1):
        length = min(round(side), shape[axis])
        start = round(part[axis].start + (int(place[axis]) + 0.5) * ratio[axis] - length / 2)
        start = min(max(start, 0), shape[axis] - length)
        window.append(slice(start, start + length))
    return window[0], window[1]


def _diameter(labels: Labels) -> float | None:
    # Typical diameter in pixels: of the cell that a random pixel of a cell belongs to, so that debris does not count.
    instances = find_instances(labels, CellSettings(min_area=30))
    areas = np.bincount(instances.ravel())
    areas[0] = 0
    whole = areas.copy()
    for edge in (instances[0], instances[-1], instances[:, 0], instances[:, -1]):
        whole[edge] = 0
    known = whole[whole > 0] if whole.any() else areas[areas > 0]
    return float(2 * np.sqrt(typical_area(known) / np.pi)) if known.size else None
