"""The one place that writes files: whole or absent, whatever happens meanwhile.

A file is written under a temporary name in its own folder, brought to the disk (fsync), renamed, and the folder is brought to
the disk. A reader sees the old file or the new one and never a part. What is accepted, and why:

- **The last writer wins.** Any number of processes may write one file at once, on one machine or on several: temporary names
  are random, hidden (leading dot) and end in `.tmp`, so that no reader takes one for data. Nothing is merged; who must not lose
  another's content takes a lock first.
- **A killed process leaves its temporary file.** Nobody reads or reuses it: it costs its space alone, and `rm .*.tmp` is safe
  where nothing runs. Errors and Ctrl-C remove it.
- **Twice the space.** Old and new lie beside each other for a moment.
- **fsync costs milliseconds a file.** A run's truth is worth them. What can be made again (caches: image stores, masks,
  features) is written with `durable=False`: whole for every process, but a power cut may leave a damaged or empty file there.
- **A new file gets the mode that `open` would give it** (umask, the folder's default rights); one that is replaced keeps its
  mode, but the owner is who wrote last, a symbolic link becomes a file, and hard links part.
- **Folders are not made.** A folder that was deleted during a long run is an error that says so; who wants one calls `make_folder`.
- **Not every system can fsync a folder** (Windows, some network shares): there the rename may be lost in a power cut, not the file.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import math
import os
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from segmentation.errors import MtlError, ReadError, WriteError

if TYPE_CHECKING:
    import torch

__all__ = [
    "finite",
    "make_folder",
    "read_json",
    "sha256_of",
    "write_bytes",
    "write_error",
    "write_image",
    "write_json",
    "write_table",
    "write_tensors",
    "write_text",
    "write_whole",
]

_SPACE = "do free space there and run again"
_REASONS: Final[Mapping[int, tuple[str, str]]] = {
    errno.ENOSPC: ("the disk is full", _SPACE),
    errno.EDQUOT: ("the quota is used up", _SPACE),
    errno.EFBIG: ("a file of this size is not allowed", "do raise the limit of the file size (`ulimit -f`)"),
    errno.EACCES: ("it may not be written", "do change its rights or choose another folder"),
    errno.EPERM: ("it may not be written", "do change its rights or choose another folder"),
    errno.EROFS: ("it is on a read-only disk", "do choose another folder"),
    errno.ENOENT: ("the folder is not there", "do make it and run again"),
    errno.ENOTDIR: ("a file stands where a folder should", "do move that file away"),
    errno.EEXIST: ("a file stands where a folder should", "do move that file away"),
    errno.EISDIR: ("a folder has that name", "do move that folder away"),
    errno.ENAMETOOLONG: ("the name is too long", "do choose a shorter one"),
}
_PROBE = 1 << 20  # bytes: as much as a library may have been short of


def write_whole(
    path: Path, save: Callable[[Path], object], *, durable: bool = True, advice: str = ""
) -> None:
    """Write a file by a function that saves to a path: the file is whole or what it was before.

    Args:
        path: The file; its folder must be there.
        save: Writes everything to the path that it is given: an empty file in the same folder whose suffix is `.tmp`
            (`np.save` adds a suffix of its own to such a path and none to an open file).
        durable: Bring file and folder to the disk, so that they outlast a power cut. False for what can be made again.
        advice: What else a person may do where it cannot be written, such as `set MTL_CACHE to another folder`.

    Raises:
        WriteError: If it cannot be written; the sentence says why.
    """
    temporary = path.with_name(f".{path.name[:32]}.{secrets.token_hex(8)}.tmp")
    try:
        mode = _create(temporary, path)
        save(temporary)
        _settle(temporary, mode, durable)
        os.replace(temporary, path)  # noqa: PTH105 - the call whose promise this module stands on
        if durable:
            _sync_folder(path.parent)
    except MtlError:
        raise
    except (
        Exception
    ) as error:  # a library wraps the system's complaint in whatever it likes; others are raised on
        number = _number(error, temporary)
        if number is None and not isinstance(error, OSError):
            raise
        raise write_error(path, error, number, advice=advice) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes, *, durable: bool = True, advice: str = "") -> None:
    """Write bytes; see `write_whole`."""
    write_whole(path, lambda temporary: temporary.write_bytes(data), durable=durable, advice=advice)


def write_text(path: Path, text: str, *, durable: bool = True, advice: str = "") -> None:
    """Write text as UTF-8, line ends as they are; see `write_whole`."""
    write_bytes(path, text.encode(), durable=durable, advice=advice)


def write_json(path: Path, value: Any, *, durable: bool = True, advice: str = "") -> None:
    """Write JSON, NaN and infinity as null (see `finite`); see `write_whole`."""
    text = json.dumps(finite(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(path, text, durable=durable, advice=advice)


def write_table(path: Path, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a CSV file, None as an empty field; see `write_whole`."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, buffer.getvalue())


def write_image(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    """Write (H, W) grey or (H, W, 3) RGB uint8 pixels as PNG; see `write_whole`."""
    import cv2

    ordered = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".png", np.asarray(ordered))
    write_bytes(path, data.tobytes())


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write tensors by name as safetensors; see `write_whole`."""
    from safetensors.torch import save_file

    whole = {name: value.contiguous() for name, value in tensors.items()}
    write_whole(path, lambda temporary: save_file(whole, temporary))


def make_folder(path: Path, *, advice: str = "") -> None:
    """Make a folder and those above it, where they are missing.

    Args:
        path: The folder.
        advice: See `write_whole`.

    Raises:
        WriteError: If it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(path, error, advice=advice) from error


def write_error(path: Path, error: Exception, number: int | None = None, *, advice: str = "") -> WriteError:
    """Return the error that says in a sentence why a file or folder could not be written.

    Args:
        path: The file or folder.
        error: What the system or a library raised.
        number: The system's number of the reason, where `error` does not carry it.
        advice: See `write_whole`.
    """
    if number is None and isinstance(error, OSError):
        number = error.errno
    if number == errno.ENOENT and path.parent.is_dir():
        number = None  # it is not the folder that is missing
    if number is not None and number in _REASONS:
        reason, cure = _REASONS[number]
    else:
        reason, cure = str(error).partition("\n")[0] or type(error).__name__, "do see to it and run again"
    other = f" or {advice}" if advice else ""
    return WriteError(f"Expected {path} to be written, but got: {reason}; {cure}{other}")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        ReadError: If the file is missing or damaged.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or "no JSON"
        raise ReadError(
            f"Expected {path} to be a JSON file, but it cannot be read ({reason}); do delete it to have it made again"
        ) from error


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal digits.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def finite(value: Any) -> Any:
    """Return what JSON can hold: NaN and infinity become None, records, arrays and tuples plain; keys become text.

    >>> finite({"score": float("nan"), "counts": (1, 2)})
    {'score': None, 'counts': [1, 2]}
    """
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): finite(below) for key, below in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(below) for below in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _create(temporary: Path, path: Path) -> int:
    """Make the empty temporary file and return the mode that the file shall have."""
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return (path if path.is_file() else temporary).stat().st_mode & 0o777
    finally:
        os.close(descriptor)


def _settle(temporary: Path, mode: int, durable: bool) -> None:
    with temporary.open("r+b") as stream:
        if temporary.stat().st_mode & 0o777 != mode:  # safetensors makes its files their owner's alone
            temporary.chmod(mode)
        if durable:
            os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def _number(error: Exception, temporary: Path) -> int | None:
    """Return the number of the system's error behind an error, or None where the system has no complaint."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    told = re.search(r"os error (\d+)", str(error))  # safetensors
    if told:
        return int(told[1])
    # torch.save and np.save do not say what was wrong: try to go on where they stopped.
    try:
        with temporary.open("ab") as stream:
            stream.write(bytes(_PROBE))
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as complaint:
        return complaint.errno
    return None
