"""What can be made again and is kept: whole for every process, in one folder that may be deleted at any time."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from segmentation.files import make_folder, write_whole

__all__ = ["cache_folder", "cached", "cached_array", "fill_cache", "read_cache", "write_cache"]

T = TypeVar("T")

_ADVICE = "set MTL_CACHE to another folder"


def cache_folder() -> Path:
    """Return the folder for what can be made again: `MTL_CACHE`, else the user's cache folder."""
    import platformdirs

    return Path(os.environ.get("MTL_CACHE") or platformdirs.user_cache_dir("mtl"))


def cached(kind: str, key: str, make: Callable[[], Any]) -> Any:
    """Return what `make` returns, as JSON holds it, from the cache or into it.

    Args:
        kind: Folder below `cache_folder()`.
        key: Everything that the result depends on.
        make: Computes it.

    Raises:
        WriteError: If the cache cannot be written.
    """
    path = cache_folder() / kind / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):  # absent, or damaged: it is made again
        value = make()
    write_cache(path, lambda temporary: temporary.write_text(json.dumps(value), "utf-8"))
    return value


def cached_array(kind: str, key: str, make: Callable[[], npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """Return the array that `make` returns from the cache or into it; see `cached`."""
    path = cache_folder() / kind / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npy"
    known = read_cache(path, lambda file: np.load(file))
    if isinstance(known, np.ndarray):
        return known
    value = make()

    def save(temporary: Path) -> None:
        with temporary.open("wb") as stream:  # a path would get a suffix
            np.save(stream, value)

    write_cache(path, save)
    return value


def read_cache(path: Path, read: Callable[[Path], T]) -> T | None:
    """Return what `read` finds in a file that can be made again, or None where it is absent or damaged: it is made again.

    Args:
        path: The file.
        read: Reads it; fails if it is not what it should be.
    """
    try:
        return read(path) if path.is_file() else None
    except Exception:  # a damaged file may fail in any way that its format knows
        return None


def fill_cache(path: Path, read: Callable[[Path], T], save: Callable[[Path], object]) -> T | None:
    """Return what `read` finds, written by `save` first where it is absent or damaged; of several processes one writes and the others wait.

    Args:
        path: The file.
        read: Reads it; fails if it is not what it should be.
        save: Writes it to the path that it is given.

    Raises:
        WriteError: If it cannot be written.
    """
    known = read_cache(path, read)
    if known is None:
        locks = path.parent.parent / "locks"
        make_folder(locks, advice=_ADVICE)
        lock = FileLock(locks / f"{path.name}.lock")
        with suppress(OSError):  # where no lock can be written, writing below says why
            lock.acquire()
        try:
            known = read_cache(path, read)
            if known is None:
                write_cache(path, save)
                known = read_cache(path, read)
        finally:
            lock.release()
    return known


def write_cache(path: Path, save: Callable[[Path], object]) -> None:
    """Write a file that can be made again, its folder made if missing; see `segmentation.files.write_whole`.

    Raises:
        WriteError: If it cannot be written.
    """
    make_folder(path.parent, advice=_ADVICE)
    write_whole(path, save, durable=False, advice=_ADVICE)
