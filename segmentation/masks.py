"""What the values of a mask mean is decided here and nowhere else; everything else sees labels 0 background, 1 cytoplasm, 2 nucleus.

Files come in one of the encodings of `ENCODINGS`. A value that an encoding does not know is an error that names it:
anti-aliased edges and strays are rounded to the nearest level only where the caller says so (`snap=True`, or the encoding
`grey`, which the readers of data sets use). Where the encoding is not told either, the level of cytoplasm is found in the
histogram (`grey_levels`), because it drifts: BCCD draws it at 155 in some masks and at 161 in others.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from segmentation.errors import MaskError

__all__ = [
    "BACKGROUND",
    "CYTOPLASM",
    "ENCODINGS",
    "NUCLEUS",
    "Encoding",
    "Labels",
    "Mask",
    "cell_of",
    "commonest",
    "count_values",
    "decode_mask",
    "encode_mask",
    "grey_levels",
    "hush_libtiff",
    "look_up",
    "nucleus_of",
    "read_mask",
]

Labels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Encoding = Literal["auto", "grey", "labels", "binary", "zheng", "bccd"]

BACKGROUND: Final = 0
CYTOPLASM: Final = 1
NUCLEUS: Final = 2

ENCODINGS: Mapping[str, Mapping[int, int]] = MappingProxyType(
    {
        "labels": {0: BACKGROUND, 1: CYTOPLASM, 2: NUCLEUS},
        "binary": {0: BACKGROUND, 255: NUCLEUS},
        "zheng": {0: BACKGROUND, 128: CYTOPLASM, 255: NUCLEUS},
        "bccd": {0: BACKGROUND, 155: CYTOPLASM, 255: NUCLEUS},
    }
)
"""What values in a file mean; `binary` takes its foreground label from the caller."""

_SLACK = 12  # grey levels around a level that rounding and compression account for
_CYTOPLASM_LEVELS = range(112, 172)
_STRAYS = 0.1
_ROWS = (
    512  # of a band: numpy widens to 64 bits whatever is an index, so a large image is not looked up at once
)
T = TypeVar("T", bound=np.generic)


def read_mask(
    path: Path | str,
    *,
    encoding: Encoding = "auto",
    snap: bool = False,
    foreground: int = NUCLEUS,
    shape: tuple[int, int] | None = None,
) -> Labels:
    """Read a mask file and return its labels.

    Args:
        path: An image file: grey, black and white, palette (its indices are the values) or RGB with equal channels.
        encoding: See `decode_mask`.
        snap: See `decode_mask`.
        foreground: See `decode_mask`.
        shape: Height and width of the image that the mask belongs to; None does not check.

    Returns:
        Labels, (H, W) uint8.

    Raises:
        MaskError: The file is no image, or see `decode_mask`.
    """
    hush_libtiff()
    try:
        with Image.open(path) as file:
            values = np.asarray(file)
    except Exception as error:  # a decoder may raise anything on bytes that it did not expect
        raise MaskError(
            f"Expected `path` to be a mask image, but got {path} ({str(error)[:80]}); give a PNG, BMP or TIFF file."
        ) from error
    try:
        return decode_mask(values, encoding=encoding, snap=snap, foreground=foreground, shape=shape)
    except MaskError as error:
        raise MaskError(f"{path}: {error}") from None


def decode_mask(
    values: npt.NDArray[Any],
    *,
    encoding: Encoding = "auto",
    snap: bool = False,
    foreground: int = NUCLEUS,
    shape: tuple[int, int] | None = None,
) -> Labels:
    """Turn the values of a mask into labels.

    Args:
        values: Whole numbers or booleans, (H, W), or (H, W, C) whose first three channels are equal.
        encoding: A key of `ENCODINGS`; `grey` finds the levels by `grey_levels` and rounds to them; `auto` takes the first
            of `ENCODINGS` that knows all values and, with `snap`, else `grey`. A mask of 0 and 255 alone means the same in
            every encoding as long as `foreground` is 2.
        snap: Round values that the encoding does not know to its nearest level (the higher of two equally near).
        foreground: The label that 255 has in a `binary` mask, and True in a boolean one: 1 (a cell) or 2 (a nucleus).
        shape: Height and width of the image that the mask belongs to; None does not check.

    Returns:
        Labels, (H, W) uint8: 0 background, 1 cytoplasm, 2 nucleus.

    Examples:
        >>> decode_mask(np.array([[0, 128, 255]], np.uint8)).tolist()
        [[0, 1, 2]]

    Raises:
        MaskError: A wrong shape, a value that the encoding does not know, or an encoding that does not exist.
    """
    if foreground not in (CYTOPLASM, NUCLEUS):
        raise MaskError(
            f"Expected `foreground` to be 1 (cell) or 2 (nucleus), but got {foreground!r}; say which of them 255 is."
        )
    if encoding not in ("auto", "grey", *ENCODINGS):
        raise MaskError(
            f"Expected `encoding` to be one of auto, grey, {', '.join(ENCODINGS)}, but got {encoding!r}; choose one of them."
        )
    flat = _one_channel(np.asarray(values))
    if shape is not None and flat.shape != tuple(shape):
        raise MaskError(
            f"Expected `mask` to be as large as its image, {shape[0]} x {shape[1]} (height x width), "
            f"but got {flat.shape[0]} x {flat.shape[1]}; pair every image with its own mask and do not resize one alone."
        )
    if flat.dtype == np.bool_:
        return np.where(flat, foreground, BACKGROUND).astype(np.uint8)
    found, where, counts = _tallied(flat)
    levels = _levels(found, counts, encoding, snap=snap)
    keys = np.array(sorted(levels, reverse=True))
    nearest = np.abs(found[:, None].astype(np.float64) - keys).argmin(axis=1)
    meant = [levels[int(keys[index])] for index in nearest]
    if 255 in levels and len(levels) == 2:
        meant = [foreground if label else BACKGROUND for label in meant]
    decoded: Labels = np.array(meant, np.uint8)[where].reshape(flat.shape)
    return decoded


def _tallied(flat: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the values found, where in them each pixel's value stands, and their counts."""
    if flat.dtype != np.uint8:
        return np.unique(flat, return_inverse=True, return_counts=True)
    # Bytes need no sorting, which takes most of the time on whole fields.
    tally = np.bincount(flat.ravel(), minlength=256)
    found = np.flatnonzero(tally)
    return found, (np.cumsum(tally > 0) - 1)[flat], tally[found]


def _one_channel(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return (H, W) of a mask with or without channels, or say why not."""
    if values.ndim == 3 and values.shape[2] in (1, 3, 4):
        colours = values[..., :3]
        if not np.all(colours == colours[..., :1]):
            raise MaskError(
                f"Expected `mask` to be grey, but got colours (shape {values.shape}); "
                "give the mask rather than the image, with one value a class."
            )
        values = colours[..., 0]
    if values.ndim != 2 or values.size == 0:
        raise MaskError(f"Expected `mask` to have shape (H, W), but got {values.shape}; give one mask.")
    if values.dtype != np.bool_ and not np.issubdtype(values.dtype, np.integer):
        if not np.array_equal(values, np.round(values)):
            raise MaskError(
                f"Expected `mask` to hold whole numbers, but got {values.dtype} with fractions; threshold it first."
            )
        values = values.astype(np.int64)
    return values


def grey_levels(counts: npt.NDArray[np.integer[Any]]) -> Mapping[int, int]:
    """Return the levels of a grey mask: 0 and 255, and that of cytoplasm where there is one.

    Cytoplasm is the fullest value between black and white, if it lies from 112 to 171 and half of all pixels between are
    within 12 of it; other pixels between are edges, and are rounded.

    Args:
        counts: Pixels by value, (256,).

    Returns:
        Label by value.

    Raises:
        MaskError: If more than a tenth of all pixels are far from every level, or if there are values near black and
            none brighter: labels such as 0/1/2 are no grey levels.
    """
    between = np.array(counts)
    between[: _SLACK + 1] = 0
    between[255 - _SLACK :] = 0
    bright = int(counts[255 - _SLACK :].sum())
    level = int(between.argmax())
    peak = int(between[max(level - _SLACK, 0) : level + _SLACK + 1].sum())
    strays = int(between.sum())
    levels: Mapping[int, int] = ENCODINGS["binary"]
    if strays and 2 * peak >= strays and level in _CYTOPLASM_LEVELS:
        levels, strays = {0: BACKGROUND, level: CYTOPLASM, 255: NUCLEUS}, strays - peak
    faint = int(counts[1 : _SLACK + 1].sum())
    if strays > _STRAYS * counts.sum() or (faint and not bright and not peak):
        raise MaskError(
            f"Expected `mask` to hold the levels 0/255, 0/128/255 or 0/155/255, but got mostly the values {commonest(counts)}; do recode it."
        )
    return levels


def commonest(counts: npt.NDArray[np.integer[Any]]) -> str:
    """Return the four values with most pixels as text, of counts by value (256,)."""
    return ", ".join(str(value) for value in np.argsort(-counts, kind="stable")[:4] if counts[value])


def _levels(
    found: npt.NDArray[Any], counts: npt.NDArray[Any], encoding: str, *, snap: bool
) -> Mapping[int, int]:
    """Return the encoding that fits the values found, or say which do not fit."""
    present = {int(value) for value in found}
    known = [ENCODINGS[encoding]] if encoding in ENCODINGS else [*ENCODINGS.values()]
    if encoding != "grey":
        for levels in known:
            if present <= levels.keys():
                return levels
    if snap and encoding in ENCODINGS:
        return ENCODINGS[encoding]
    strays = sorted(present - set(range(256)))
    if not strays and (snap or encoding == "grey"):
        tally = np.zeros(256, np.int64)
        tally[found.astype(np.int64)] = counts
        return grey_levels(tally)
    expected = " or ".join("/".join(map(str, levels)) for levels in known)
    largest = ENCODINGS["zheng"].keys() | ENCODINGS["bccd"].keys()
    strays = strays or sorted(present - (known[0].keys() if len(known) == 1 else largest)) or sorted(present)
    shown = ", ".join(map(str, strays[:8])) + (f" and {len(strays) - 8} more" if len(strays) > 8 else "")
    pixels = int(counts[np.isin(found, strays)].sum())
    raise MaskError(
        f"Expected `mask` to hold the values {expected}, but got {shown} ({pixels} pixels); "
        "name its encoding, or say that values are to be rounded to the nearest (snap=True) if its edges are anti-aliased."
    )


def encode_mask(labels: Labels, encoding: Encoding = "zheng") -> Labels:
    """Return labels as the values of an encoding, ready to be written as a grey PNG.

    Args:
        labels: (H, W), values 0, 1, 2.
        encoding: A key of `ENCODINGS`, neither `auto` nor `grey`; in `binary` every cell pixel is 255.

    Returns:
        Values, (H, W) uint8.

    Examples:
        >>> encode_mask(np.array([[0, 1, 2]], np.uint8)).tolist()
        [[0, 128, 255]]
    """
    checked = decode_mask(labels, encoding="labels")
    if encoding == "binary":
        return np.where(checked > 0, 255, 0).astype(np.uint8)
    if encoding not in ENCODINGS:
        raise MaskError(
            f"Expected `encoding` to be one of {', '.join(ENCODINGS)}, but got {encoding!r}; choose one of them."
        )
    return look_up(np.array(sorted(ENCODINGS[encoding]), np.uint8), checked)


def nucleus_of(labels: Labels) -> Mask:
    """Return where the nucleus is, (H, W) bool."""
    mask: Mask = labels == NUCLEUS
    return mask


def cell_of(labels: Labels) -> Mask:
    """Return where the whole cell is (cytoplasm or nucleus), (H, W) bool.

    Examples:
        >>> cell_of(np.array([[0, 1, 2]], np.uint8)).tolist()
        [[False, True, True]]
    """
    mask: Mask = labels != BACKGROUND
    return mask


def count_values(
    numbers: npt.NDArray[np.integer[Any]], where: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.int64]:
    """Return how many pixels have each value, (largest value + 1,), as `np.bincount` does.

    Args:
        numbers: (H, W), 0 or more.
        where: (H, W), which pixels count; None takes all.
    """
    counts = np.zeros(int(numbers.max(initial=0)) + 1, np.int64)
    for top in range(0, len(numbers), _ROWS):
        band = numbers[top : top + _ROWS]
        band = band.ravel() if where is None else band[where[top : top + _ROWS]]
        counts += np.bincount(band, minlength=len(counts))
    return counts


def look_up(table: npt.NDArray[T], numbers: npt.NDArray[np.integer[Any]]) -> npt.NDArray[T]:
    """Return `table[numbers]`, (H, W).

    Args:
        table: (N,) values.
        numbers: (H, W), 0 to N - 1.
    """
    result = np.empty(numbers.shape, table.dtype)
    for top in range(0, len(numbers), _ROWS):
        result[top : top + _ROWS] = table[numbers[top : top + _ROWS]]
    return result


@functools.cache
def hush_libtiff() -> None:
    """Let libtiff print nothing to the terminal, where Pillow brings its own (wheels for Linux and macOS)."""
    found = find_spec("PIL")
    if found is None or found.origin is None:
        return
    package = Path(found.origin).parent
    for path in (*package.parent.glob("pillow.libs/libtiff*"), *package.glob(".dylibs/libtiff*")):
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL(str(path))
            for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
                setter = getattr(library, name)
                setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
                setter(None)
