"""Arrays of images in an `.npz`, read frame by frame without holding the file in memory."""

from __future__ import annotations

import shutil
import threading
import zipfile
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import TYPE_CHECKING

from stages.data.problems import BROKEN_ZIP, BadFileError, Problem, is_full, show

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["PARTS", "read_frame", "read_labels"]

PARTS = {"train": "train", "val": "validation", "test": "test"}
"""Part as MedMNIST spells it in array names -> as `Sample.part` does; frames are counted in this order."""

_LOCK = threading.Lock()


def _error(path: Path, expected: str, got: str) -> BadFileError:
    return BadFileError(Problem(show(path), expected, got, "download it again (`mtl data get bloodmnist`)"))


def read_labels(path: Path, classes: int) -> list[list[int]]:
    """Return the labels of the three parts and check them against the headers of the image arrays.

    Raises:
        BadFileError: If the file is no MedMNIST `.npz`, truncated, or labels are not 0 to `classes` - 1.
    """
    import numpy as np

    parts: list[list[int]] = []
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            missing = [f"{p}_{k}" for p in PARTS for k in ("images", "labels") if f"{p}_{k}" not in file]
            if missing:
                raise _error(
                    path,
                    f"an `.npz` with the array `{missing[0]}`",
                    f"the arrays {show(', '.join(file)[:80]) or 'none'}",
                )
            parts = [np.asarray(file[f"{part}_labels"]).reshape(-1).tolist() for part in PARTS]
        shapes = [_header(path, f"{part}_images") for part in PARTS]
    except BadFileError:
        raise
    except BROKEN_ZIP as error:
        raise _error(
            path, "a readable `.npz`", f"a truncated or foreign file ({type(error).__name__})"
        ) from error
    for part, labels, (shape, dtype) in zip(PARTS, parts, shapes, strict=True):
        if dtype != "uint8" or len(shape) != 4 or shape[3] != 3:
            raise _error(path, f"an `.npz` with `{part}_images` of (N, H, W, 3) uint8", f"{shape} {dtype}")
        if len(labels) != shape[0]:
            raise _error(
                path, f"an `.npz` with one label a frame in `{part}`", f"{len(labels)} for {shape[0]}"
            )
        wrong = next((code for code in labels if code not in range(classes)), None)
        if wrong is not None:
            raise _error(
                path, f"an `.npz` with labels 0 to {classes - 1}", f"{show(str(wrong))} in `{part}_labels`"
            )
    return parts


def _header(path: Path, name: str) -> tuple[tuple[int, ...], str]:
    """Return shape and dtype of an array without reading its data."""
    import numpy as np

    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
        version = np.lib.format.read_magic(member)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(member)
    return tuple(shape), str(dtype)


def read_frame(path: Path, frame: int) -> npt.NDArray[np.uint8]:
    """Return one image (H, W, 3) uint8; frames are counted through train, val and test.

    The arrays are unpacked once, into unnamed temporary files that vanish with the process.

    Raises:
        BadFileError: If the file is truncated or has no such frame.
        WriteError: If the disk of temporary files is full.
    """
    import numpy as np

    try:
        stat = path.stat()
        with _LOCK:  # else every thread of the loader would unpack the file
            arrays = _arrays(path, stat.st_size, stat.st_mtime_ns)
    except BROKEN_ZIP as error:
        if is_full(error):
            from segmentation.files import write_error

            raise write_error(Path(gettempdir()), error) from error
        raise _error(
            path, "a readable `.npz`", f"a truncated or foreign file ({type(error).__name__})"
        ) from error
    index = frame
    for array in arrays:
        if 0 <= index < len(array):
            return np.array(array[index])
        index -= len(array)
    raise _error(path, f"an `.npz` with a frame {frame}", f"{sum(map(len, arrays))} frames")


@lru_cache(maxsize=1)
def _arrays(path: Path, size: int, mtime_ns: int) -> tuple[npt.NDArray[np.uint8], ...]:
    """Return the image arrays of the three parts, memory-mapped; size and time are there to notice a new file."""
    import numpy as np

    arrays = []
    for part in PARTS:
        shape, _ = _header(path, f"{part}_images")
        with TemporaryFile() as file:  # the map outlives it
            with zipfile.ZipFile(path) as archive, archive.open(f"{part}_images.npy") as member:
                shutil.copyfileobj(member, file, 1 << 22)
            file.flush()
            offset = file.tell() - int(np.prod(shape))
            arrays.append(
                np.memmap(file, np.uint8, "r", offset, shape) if shape[0] else np.zeros(shape, np.uint8)
            )
    return tuple(arrays)
