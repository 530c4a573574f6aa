"""Decode once: every image of a stage, resized, in one memory-mapped uint8 array.

The file is keyed by the content of the images and the parameters, so a stale store cannot be read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from segmentation.cache import cache_folder, fill_cache
from stages.data.images import load_rgb
from stages.data.sample import Sample
from stages.data.threads import in_threads
from stages.errors import DataError

__all__ = ["Preparation", "open_store", "resize"]

_VERSION = 1
Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Preparation:
    """What an image goes through before it is resized.

    Attributes:
        key: Everything that the result depends on besides the image.
        function: Sample and its image (H, W, 3) uint8 in, image out.
        squares: That the function makes of an image, one below the other, resized already; None where it leaves an image to be resized.
    """

    key: str
    function: Callable[[Sample, Images], Images]
    squares: int | None = None


def open_store(
    samples: Sequence[Sample],
    fingerprint: str,
    size: int,
    fit: str = "stretch",
    folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    prepare: Preparation | None = None,
) -> Images:
    """Return the images of `samples`, decoded and resized, from the store or into it.

    Args:
        samples: What to read, in the order of the result.
        fingerprint: Hash of the samples' content (`content_key`).
        size: Side in px.
        fit: `"stretch"`, `"pad"` (black bars) or `"crop"` (centre).
        folder: Where stores lie; `cache_folder()` if None.
        progress: Called with (done, total).
        prepare: What an image goes through first, or None.

    Returns:
        Memory-mapped images (N, size, size, 3) uint8 RGB, or (N, squares * size, size, 3), read-only.

    Raises:
        DataError: If images cannot be read: one error for all of them.
        WriteError: If the disk is full or not writable.
    """
    text = f"{_VERSION}|{fingerprint}|{size}|{fit}" + (f"|{prepare.key}" if prepare else "")
    key = hashlib.sha256(text.encode()).hexdigest()[:24]
    path = (folder or cache_folder()) / "stores" / f"{key}.npy"
    squares = prepare.squares if prepare else None
    shape = (len(samples), (squares or 1) * size, size, 3)
    images = fill_cache(
        path,
        lambda known: _read(known, shape),
        lambda temporary: _fill(temporary, samples, shape, fit, progress, prepare),
    )
    if images is None:
        raise DataError(
            f"Expected {path} to be an image store, but it cannot be read; do remove that file and run again"
        )
    return images


def _read(path: Path, shape: tuple[int, ...]) -> Images:
    images: Images = np.load(path, mmap_mode="r")
    if images.shape != shape or images.dtype != np.uint8:
        raise DataError(f"Expected {path} to hold {shape} uint8, but got {images.shape} {images.dtype}")
    return images


def resize(image: Images, size: int, fit: str = "stretch") -> Images:
    """Resize an image (H, W, 3) uint8 to (size, size, 3); area interpolation when shrinking, cubic when growing."""
    height, width = image.shape[:2]
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        image = image[top : top + side, left : left + side]
    elif fit == "pad":
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        image = np.asarray(
            cv2.copyMakeBorder(
                image, top, side - height - top, left, side - width - left, cv2.BORDER_CONSTANT
            ),
            np.uint8,
        )
    shrinking = max(image.shape[:2]) > size
    return np.asarray(
        cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC),
        np.uint8,
    )


def _fill(
    path: Path,
    samples: Sequence[Sample],
    shape: tuple[int, ...],
    fit: str,
    progress: Callable[[int, int], None] | None,
    prepare: Preparation | None,
) -> None:
    store = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    resized = prepare is not None and prepare.squares is not None
    # A file's full length is reserved first: a disk that is too small says so here and not as a bus error later.
    with path.open("r+b") as stream:
        os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)

    def fill(index: int) -> str | None:
        try:
            image = load_rgb(samples[index])
            image = prepare.function(samples[index], image) if prepare else image
            store[index] = image if resized else resize(image, shape[2], fit)
        except DataError as error:
            return str(error)
        return None

    problems = [problem for problem in in_threads(range(len(samples)), fill, progress) if problem]
    if problems:
        more = f" ({len(problems) - 1} more; " if len(problems) > 1 else " ("
        more += "`mtl data check` lists all, `data.on_bad_file=leave-out` goes on without them)"
        raise DataError(problems[0] + more)
    store.flush()
