"""Segmentation before learning: background blacked out, or the image cut to its white cells; masks are kept in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segmentation.errors import SegmentationError
from stages.data.images import load_rgb
from stages.data.sample import Sample
from stages.data.store import Preparation, cache_folder, write_cache
from stages.errors import DataError
from stages.settings import SegmentSettings

__all__ = ["apply_mask", "preparation"]

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


def preparation(
    samples: Sequence[Sample],
    fingerprint: str,
    settings: SegmentSettings,
    progress: Callable[[int, int], None] | None = None,
) -> Preparation | None:
    """Return what an image goes through before it is resized, or None where nothing is segmented.

    Args:
        samples: N of them.
        fingerprint: Hash of the samples' content.
        settings: Method, and what becomes of the background.
        progress: Called with (done, total) while masks are made.

    Raises:
        DataError: If an image cannot be read or segmented.
        WriteError: If the cache cannot be written.
    """
    if settings.method == "none":
        return None
    key = f"{_VERSION}|{settings.method}|{_identity(settings.method)}"
    masks = _masks(samples, fingerprint, settings.method, key, progress)
    rows = {sample.name: row for row, sample in enumerate(samples)}

    def prepare(sample: Sample, image: Image) -> Image:
        mask = np.asarray(cv2.imdecode(masks[rows[sample.name]], cv2.IMREAD_GRAYSCALE), np.uint8)
        return apply_mask(image, mask, settings.use)

    return Preparation(f"{key}|{settings.use}", prepare)


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


def _identity(method: str) -> str:
    """Return what a mask depends on besides the method's name."""
    if method != "residual_unet":
        return ""
    from segmentation.weights import SHIPPED, read_card

    return read_card(SHIPPED).sha256


def _masks(
    samples: Sequence[Sample],
    fingerprint: str,
    method: str,
    key: str,
    progress: Callable[[int, int], None] | None,
) -> list[npt.NDArray[np.uint8]]:
    """Return a PNG (bytes as uint8) of every sample's mask, from the cache or into it."""
    name = hashlib.sha256(f"{key}|{fingerprint}".encode()).hexdigest()[:24]
    path = cache_folder() / "masks" / f"{name}.npz"
    if path.is_file():
        with np.load(path) as known:
            return np.split(known["bytes"], known["ends"][:-1])
    segment = _segmenter(method)
    found = []
    for done, sample in enumerate(samples, start=1):
        try:
            mask = (segment(load_rgb(sample)) > 0).astype(np.uint8) * 255
        except SegmentationError as error:
            raise DataError(
                f"Expected {sample.path} to be an image that can be segmented, but: {error}"
            ) from error
        found.append(np.asarray(cv2.imencode(".png", mask)[1], np.uint8).ravel())
        if progress:
            progress(done, len(samples))
    write_cache(path, lambda temporary: _save(temporary, found))
    return found


def _save(path: Path, masks: Sequence[npt.NDArray[np.uint8]]) -> None:
    with path.open("wb") as stream:  # an open file, because a path would get a suffix
        np.savez(stream, bytes=np.concatenate(masks), ends=np.cumsum([len(mask) for mask in masks]))


def _segmenter(method: str) -> Callable[[Image], npt.NDArray[Any]]:
    if method == "residual_unet":
        from segmentation.predict import Segmenter
        from segmentation.weights import load_shipped

        segmenter = Segmenter(load_shipped())
        return lambda image: segmenter.cells(image).instances
    from segmentation.threshold import threshold

    name, settings = _THRESHOLDS[method]
    return lambda image: threshold(image, name, **settings)
