"""Random training crops: a scaled, turned and mirrored window of an image and the same of its labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from segmentation.errors import ImageError, MaskError
from segmentation.light import background_gains, check_image
from segmentation.masks import Labels, read_mask

__all__ = ["CropSettings", "Pair", "Pairs", "read_image", "sample_batch"]

Image = npt.NDArray[np.uint8]
Pair = tuple[Image | Path, Labels | Path]
_CACHE_BYTES = 3 * 1024**3


@dataclass(frozen=True)
class CropSettings:
    """How crops are cut.

    Attributes:
        size: Height and width of a crop in pixels, a multiple of the network's `multiple`.
        scale: Smallest and largest magnification, drawn evenly in its logarithm.
        rotate: Whether to turn by any angle; else crops stay upright.
        flip: Whether to mirror.
        on_cells: Part of crops that are centred on a pixel of a cell, where the image has one.
    """

    size: int = 128
    scale: tuple[float, float] = (0.5, 2.0)
    rotate: bool = True
    flip: bool = True
    on_cells: float = 0.5


def read_image(path: Path) -> Image:
    """Read an image file as (H, W, 3) uint8 RGB.

    Raises:
        ImageError: If it cannot be read.
    """
    data = np.fromfile(path, np.uint8) if path.is_file() else np.zeros(0, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise ImageError(
            f"Expected `image` to be an image file, but got {path}; do check that it exists and is whole"
        )
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


class Pairs:
    """Images with their labels, from arrays or files; files are read once as long as they fit in 3 GiB.

    Args:
        pairs: (image, mask): (H, W, 3) uint8 RGB and (H, W) uint8 labels 0, 1, 2, or paths of such files.

    Raises:
        ImageError: If an image has a wrong shape.
        MaskError: If a mask has another size than its image, or unknown labels.
    """

    def __init__(self, pairs: Sequence[Pair]) -> None:
        if not pairs:
            raise ImageError(
                "Expected `pairs` to hold an image and its mask, but got none; do give at least one"
            )
        self._pairs = list(pairs)
        self._cache: dict[int, tuple[Image, Labels, tuple[float, float, float]]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> tuple[Image, Labels, tuple[float, float, float]]:
        """Return image, labels and the gains of its white balance."""
        if index in self._cache:
            return self._cache[index]
        image, mask = self._pairs[index]
        image = read_image(image) if isinstance(image, Path) else check_image(image)
        if isinstance(mask, Path):
            mask = read_mask(mask, shape=image.shape[:2])
        if mask.shape != image.shape[:2] or mask.dtype != np.uint8 or int(mask.max(initial=0)) > 2:
            raise MaskError(
                f"Expected `mask` of pair {index} to be {image.shape[:2]} uint8 labels 0, 1, 2, but got {mask.shape} "
                f"{mask.dtype} up to {mask.max(initial=0)}; do decode it first"
            )
        item = (image, mask, background_gains(image))
        if self._bytes < _CACHE_BYTES:
            self._cache[index] = item
            self._bytes += image.nbytes + mask.nbytes
        return item


def sample_batch(
    pairs: Pairs, count: int, settings: CropSettings, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut random crops from random images.

    Args:
        pairs: Images and labels.
        count: Crops B of size S.
        settings: How crops are cut.
        rng: Source of all randomness.

    Returns:
        (B, 3, S, S) float32, white-balanced, about [0, 1], and (B, S, S) int64 labels.
    """
    size = settings.size
    images = np.empty((count, size, size, 3), np.float32)
    labels = np.empty((count, size, size), np.uint8)
    for number in range(count):
        image, mask, gains = pairs[int(rng.integers(len(pairs)))]
        crop, labels[number] = _cut(image, mask, settings, rng)
        images[number] = crop * (np.asarray(gains, np.float32) / np.float32(255))
    return (
        torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(labels.astype(np.int64)),
    )


def _centre(mask: Labels, settings: CropSettings, rng: np.random.Generator) -> tuple[float, float]:
    # A pixel of a cell is looked for among a few at random: cheaper than listing all of them.
    height, width = mask.shape
    xs, ys = rng.integers(width, size=24), rng.integers(height, size=24)
    if rng.random() < settings.on_cells:
        hits = np.nonzero(mask[ys, xs])[0]
        if hits.size:
            return float(xs[hits[0]]), float(ys[hits[0]])
    return float(xs[0]), float(ys[0])


def _cut(
    image: Image, mask: Labels, settings: CropSettings, rng: np.random.Generator
) -> tuple[Image, Labels]:
    size = settings.size
    scale = math.exp(rng.uniform(math.log(settings.scale[0]), math.log(settings.scale[1])))
    angle = float(rng.uniform(0, 2 * math.pi)) if settings.rotate else 0.0
    x, y = _centre(mask, settings, rng)
    half = size / 2 / scale * (abs(math.cos(angle)) + abs(math.sin(angle))) + 2
    # Keep the window inside the image where it fits: reflected borders are rare in use.
    x = min(max(x, half), image.shape[1] - half) if 2 * half < image.shape[1] else image.shape[1] / 2
    y = min(max(y, half), image.shape[0] - half) if 2 * half < image.shape[0] else image.shape[0] / 2
    if scale < 0.75:
        # Average before thinning out, else chromatin turns into noise.
        image, mask, shrink = _shrunk(image, mask, scale)
        x, y, scale = x * shrink, y * shrink, scale / shrink
    turn = scale * np.asarray([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    if settings.flip and rng.random() < 0.5:
        turn[0] *= -1
    shift = np.full(2, size / 2 - 0.5) - turn @ np.asarray([x, y])
    matrix = np.concatenate([turn, shift[:, None]], axis=1)
    crop = cv2.warpAffine(
        image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    cut = cv2.warpAffine(
        mask, matrix, (size, size), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(crop, np.uint8), np.asarray(cut, np.uint8)


def _shrunk(image: Image, mask: Labels, scale: float) -> tuple[Image, Labels, float]:
    shrink = max(scale, 1 / min(image.shape[:2]))
    width, height = max(round(image.shape[1] * shrink), 1), max(round(image.shape[0] * shrink), 1)
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    labels = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(small, np.uint8), np.asarray(labels, np.uint8), shrink
