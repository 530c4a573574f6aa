"""What an image goes through before a learner sees it: white cells found, background blacked out or cut away, resized.

The same object prepares the images of a training and one that nobody has seen: a model carries it (`stages.learners.model`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segmentation.cache import cache_folder, read_cache, write_cache
from segmentation.errors import SegmentationError
from stages.data.images import load_rgb
from stages.data.sample import Sample
from stages.data.store import Preparation, open_store, resize
from stages.errors import DataError
from stages.settings import PreprocessSettings

__all__ = ["Preprocess", "apply_mask"]

_VERSION = 2
# Paper A's fixed level fits its own lamp and stain alone (nucleus Dice 0.27 elsewhere): here Otsu finds the level.
_THRESHOLDS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "threshold": ("white-cells", {}),
    "hsv": ("hsv", {}),
    "rgb": ("channel-mixer", {"otsu": True}),
    "otsu": ("otsu-saturation", {}),
}
_MARGIN = 0.1
Image = npt.NDArray[np.uint8]
Told = Callable[[int, int], None]


class Preprocess:
    """Prepares images as its settings say.

    Args:
        settings: Segmentation, size, and how an image becomes square.
    """

    def __init__(self, settings: PreprocessSettings) -> None:
        self.settings = settings

    def __call__(self, image: Image) -> Image:
        """Return an image (H, W, 3) uint8 RGB of any size as the learner sees it, (S, S, 3) uint8.

        Raises:
            SegmentationError: If it cannot be segmented.
        """
        segment = self.settings.segment
        seen = image if segment.method == "none" else apply_mask(image, self._find(image), segment.use)
        return resize(seen, self.settings.image_size, self.settings.fit)

    @property
    def identity(self) -> str:
        """What the result depends on besides image and settings: the network that segments, by its checksum."""
        if self.settings.segment.method != "residual_unet":
            return ""
        from segmentation.weights import SHIPPED, read_card

        return read_card(SHIPPED).sha256

    def store(
        self, samples: Sequence[Sample], fingerprint: str, seen: Told | None = None, told: Told | None = None
    ) -> Image:
        """Return the images of samples as the learner sees them, decoded once: from the store or into it.

        Args:
            samples: N of them.
            fingerprint: Hash of the samples' content.
            seen: Called with (done, total) while masks are made.
            told: Called with (done, total) while images are decoded.

        Returns:
            Memory-mapped images (N, S, S, 3) uint8 RGB, read-only.

        Raises:
            DataError: If images cannot be read or segmented, or the cache cannot be written.
        """
        size, fit, segment = self.settings.image_size, self.settings.fit, self.settings.segment
        if segment.method == "none":
            return open_store(samples, fingerprint, size, fit, progress=told)
        key = f"{_VERSION}|{segment.method}|{self.identity}"
        masks = _masks(samples, fingerprint, key, self._find, seen)
        rows = {sample.name: row for row, sample in enumerate(samples)}

        def prepare(sample: Sample, image: Image) -> Image:
            mask = np.asarray(cv2.imdecode(masks[rows[sample.name]], cv2.IMREAD_GRAYSCALE), np.uint8)
            return apply_mask(image, mask, segment.use)

        prepared = Preparation(f"{key}|{segment.use}", prepare)
        return open_store(samples, fingerprint, size, fit, progress=told, prepare=prepared)

    def _find(self, image: Image) -> Image:
        return (self._segmenter(image) > 0).astype(np.uint8) * 255

    @cached_property
    def _segmenter(self) -> Callable[[Image], npt.NDArray[Any]]:
        method = self.settings.segment.method
        if method == "residual_unet":
            from segmentation.predict import Segmenter
            from segmentation.weights import load_shipped

            segmenter = Segmenter(load_shipped())
            return lambda image: segmenter.cells(image).instances
        from segmentation.threshold import threshold

        name, settings = _THRESHOLDS[method]
        return lambda image: threshold(image, name, **settings)


def apply_mask(image: Image, mask: Image, use: str) -> Image:
    """Return an image with its background black, or cut to its white cells; as it is where no cell was found.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) uint8, above 0 in white cells.
        use: `black` or `crop`.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return image
    if use == "black":
        return np.where(mask[..., None] > 0, image, 0).astype(np.uint8)
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    margin = round(_MARGIN * max(bottom - top, right - left))
    return image[max(top - margin, 0) : bottom + margin, max(left - margin, 0) : right + margin]


def _masks(
    samples: Sequence[Sample],
    fingerprint: str,
    key: str,
    find: Callable[[Image], Image],
    progress: Told | None,
) -> list[npt.NDArray[np.uint8]]:
    """Return a PNG (bytes as uint8) of every sample's mask, from the cache or into it."""
    name = hashlib.sha256(f"{key}|{fingerprint}".encode()).hexdigest()[:24]
    path = cache_folder() / "masks" / f"{name}.npz"
    known = read_cache(path, lambda known: _load(known, len(samples)))
    if known is not None:
        return known
    found = []
    for done, sample in enumerate(samples, start=1):
        try:
            mask = find(load_rgb(sample))
        except SegmentationError as error:
            raise DataError(
                f"Expected {sample.path} to be an image that can be segmented, but: {error}"
            ) from error
        found.append(np.asarray(cv2.imencode(".png", mask)[1], np.uint8).ravel())
        if progress:
            progress(done, len(samples))
    write_cache(path, lambda temporary: _save(temporary, found))
    return found


def _load(path: Path, count: int) -> list[npt.NDArray[np.uint8]]:
    with path.open("rb") as stream, np.load(stream) as known:
        masks = np.split(known["bytes"], known["ends"][:-1])
    if len(masks) != count:
        raise DataError(f"Expected {path} to hold {count} masks, but got {len(masks)}")
    return masks


def _save(path: Path, masks: Sequence[npt.NDArray[np.uint8]]) -> None:
    with path.open("wb") as stream:  # an open file, because a path would get a suffix
        np.savez(stream, bytes=np.concatenate(masks), ends=np.cumsum([len(mask) for mask in masks]))
