"""Pixels of a sample: strict decoding, masks, and the fingerprint of the content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from segmentation.cache import cache_folder
from segmentation.errors import MaskError
from segmentation.files import sha256_of
from segmentation.masks import Labels, commonest, decode_mask, hush_libtiff
from stages.data.npz import read_frame
from stages.data.problems import BadFileError, Problem, show
from stages.data.sample import Sample

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["MAX_SIDE", "MIN_SIDE", "content_key", "load_mask", "load_rgb"]

MIN_SIDE = 16
MAX_SIDE = 12_000
_LEVELS = "0/255, 0/128/255 or 0/155/255 (background, cytoplasm, nucleus)"
_FORMATS = ("BMP", "JPEG", "PNG", "TIFF")
_KINDS = {
    "1": "a black-and-white image",
    "L": "an 8-bit greyscale image",
    "LA": "a greyscale image with transparency",
    "P": "a palette image",
    "PA": "a palette image",
    "RGBA": "an RGBA image (with transparency)",
    "RGBX": "a four-channel image",
    "CMYK": "a CMYK image (for print)",
    "YCbCr": "a YCbCr image",
    "LAB": "a CIELAB image",
    "HSV": "an HSV image",
    "I": "a 32-bit greyscale image",
    "F": "a floating-point greyscale image",
}
_CONVERT = (
    "convert it to 8-bit RGB, e.g. `magick IN -alpha off -colorspace sRGB -depth 8 -type TrueColor OUT.png`"
)


def load_rgb(sample: Sample) -> npt.NDArray[np.uint8]:
    """Return the pixels of a sample.

    Args:
        sample: `frame` chooses an image of an `.npz`, `crop` a region.

    Returns:
        Image (H, W, 3) uint8 RGB.

    Raises:
        DataError: If the file is missing, truncated, not 8-bit RGB, or a side is below 16 or above 12,000 px (told
            from the header, before pixels are decoded); if the crop does not lie in the image.
    """
    pixels = decode_rgb(sample.path) if sample.frame is None else read_frame(sample.path, sample.frame)
    if sample.crop is None:
        return pixels
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = sample.crop
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        expected, got = f"an image that holds the crop {sample.crop}", f"{width}x{height} px"
        raise BadFileError(Problem(show(sample.path), expected, got, "correct the box"))
    return np.ascontiguousarray(pixels[y0:y1, x0:x1])


def decode_rgb(path: Path) -> npt.NDArray[np.uint8]:
    """Return the pixels of a file (H, W, 3) uint8 RGB; see `load_rgb`."""
    with _open(path) as image:
        _check_size(path, image.size)
        kind = _not_rgb(image)
        if kind:
            raise BadFileError(Problem(show(path), "an 8-bit RGB image", kind, _CONVERT))
        return _pixels(path, image)


def load_mask(path: Path, shape: tuple[int, int]) -> Labels:
    """Return the labels of a segmentation mask of a data set.

    Grey levels are 0/255 (nothing but nuclei), 0/128/255 (Zheng) or 0/155/255 (BCCD, where some masks are anti-aliased,
    drift to 161 and come as RGB with equal channels); `segmentation.masks` says what they mean. Labels stored as 0/1/2 are
    refused: 0/1 alone would not tell nuclei from cells.

    Args:
        path: Image of one channel, or of three equal ones.
        shape: (H, W) of the image that the mask belongs to.

    Returns:
        Mask (H, W) uint8: 0 background, 1 cytoplasm, 2 nucleus.

    Raises:
        DataError: If it cannot be read, has another size, or other values than the known encodings.
    """
    with _open(path) as image:
        _check_size(path, image.size)
        if image.mode not in ("L", "1", "RGB") or _deep(image):
            got = _not_rgb(image) or "something else"
            raise BadFileError(
                Problem(show(path), f"an 8-bit mask with {_LEVELS}", got, "save it as 8-bit greyscale")
            )
        grey = _pixels(path, image.convert("L") if image.mode == "1" else image)
    if grey.ndim == 3:
        if (grey != grey[..., :1]).any():
            raise BadFileError(
                Problem(
                    show(path), f"a mask with {_LEVELS}", "a colour image", "give the mask, not a picture"
                )
            )
        grey = np.ascontiguousarray(grey[..., 0])
    if grey.shape != tuple(shape):
        expected, got = f"{shape[1]}x{shape[0]} px as its image", f"{grey.shape[1]}x{grey.shape[0]} px"
        raise BadFileError(Problem(show(path), expected, got, "give the mask of that image"))
    try:
        return decode_mask(grey, encoding="grey")
    except MaskError as error:
        got = f"mostly the values {commonest(np.bincount(grey.ravel(), minlength=256))}"
        raise BadFileError(Problem(show(path), f"a mask with {_LEVELS}", got, "recode it")) from error


def _open(path: Path) -> Image.Image:
    """Open an image lazily: its header is read, its pixels are not."""
    from PIL import Image, UnidentifiedImageError

    hush_libtiff()
    try:
        if path.is_file() and path.stat().st_size == 0:
            raise BadFileError(Problem(show(path), "an image", "an empty file (0 bytes)", _cure(path)))
        return Image.open(path, formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        expected = f"an image of at most {MAX_SIDE} px a side"
        raise BadFileError(Problem(show(path), expected, "far more pixels", "cut it into tiles")) from error
    except UnidentifiedImageError as error:
        got = "a truncated header or another format"
        raise BadFileError(Problem(show(path), "a JPEG, PNG, TIFF or BMP image", got, _cure(path))) from error
    except BadFileError:
        raise
    except Exception as error:  # a decoder may raise anything on bytes that it did not expect
        raise _unreadable(path, error) from error


def _cure(path: Path) -> str:
    """Return how to come by a whole file: what was rendered is rendered again."""
    rendered = cache_folder() / "rendered"
    if rendered not in path.parents:
        return "copy or download it again"
    (name, *_) = path.relative_to(rendered).parts
    return f"remove the folder `{show(rendered / name)}` to have it rendered again"


def _unreadable(path: Path, error: Exception) -> BadFileError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if isinstance(error, FileNotFoundError):
        return BadFileError(Problem(show(path), "an image", "nothing", "check the path"))
    if isinstance(error, PermissionError):
        return BadFileError(
            Problem(show(path), "an image that may be read", show(reason), "change its permissions")
        )
    return BadFileError(
        Problem(show(path), "a complete image", f"a damaged one ({show(reason)[:100]})", _cure(path))
    )


def _check_size(path: Path, size: tuple[int, int]) -> None:
    got = f"{size[0]}x{size[1]} px"
    if min(size) < MIN_SIDE:
        raise BadFileError(
            Problem(show(path), f"at least {MIN_SIDE} px a side", got, "remove it or give the full image")
        )
    if max(size) > MAX_SIDE:
        raise BadFileError(Problem(show(path), f"at most {MAX_SIDE} px a side", got, "cut it into tiles"))


def _not_rgb(image: Image.Image) -> str | None:
    """Return what an image is if it is not 8-bit RGB, else None."""
    if _deep(image) or image.mode.startswith("I;"):
        return "a 16-bit image"
    if image.format == "TIFF" and _has_pages(image):
        return "a TIFF of several pages"
    if image.format == "TIFF" and _is_ycbcr(image):
        return _KINDS["YCbCr"]
    if image.mode == "RGB" and "transparency" not in image.info:
        return None
    return (
        _KINDS.get(image.mode, f"an image of mode {image.mode}")
        if image.mode != "RGB"
        else "an RGB image with transparency"
    )


def _is_ycbcr(image: Any) -> bool:
    # Pillow before 13 takes them for RGB. JPEG's own are made RGB while they are decoded.
    return bool(image.tag_v2.get(262) == 6 and image.tag_v2.get(259) not in (6, 7))


def _has_pages(image: Image.Image) -> bool:
    try:
        return int(getattr(image, "n_frames", 1)) > 1
    except Exception:  # a page after the first is damaged
        return True


def _deep(image: Image.Image) -> bool:
    """Say whether channels hold another depth than the mode says; Pillow would cut them down in silence."""
    if image.mode in ("I", "F"):
        return False
    raw = str([tile[3] for tile in getattr(image, "tile", [])])
    return any(f";{bits}" in raw for bits in (12, 15, 16, 32))


def _pixels(path: Path, image: Image.Image) -> npt.NDArray[np.uint8]:
    try:
        image.load()
        return np.array(image, dtype=np.uint8)
    except Exception as error:  # a decoder may raise anything on bytes that it did not expect
        raise _unreadable(path, error) from error


_Stamp = tuple[Path, int, int]
_HASHES: dict[_Stamp, bytes] = {}


def content_key(samples: Sequence[Sample]) -> str:
    """Return the fingerprint of samples: sha256 over names, labels, groups and the bytes of images and masks.

    Paths do not count, so the same data in another folder has the same key. Files are hashed once a process.

    Raises:
        DataError: If a file cannot be read.
    """
    total = hashlib.sha256()
    for sample in (image for one in samples for image in one.images):
        fields = (sample.name, sample.label, sample.group or "", str(sample.frame), str(sample.crop))
        for text in fields:  # with lengths, so that fields cannot run into each other
            raw = text.encode("utf-8", "surrogateescape")
            total.update(len(raw).to_bytes(8, "big") + raw)
        total.update(_file_hash(sample.path))
        total.update(_file_hash(sample.mask) if sample.mask else b"no mask")
    return total.hexdigest()


def _file_hash(path: Path) -> bytes:
    try:
        stat = path.stat()
        stamp = (path, stat.st_size, stat.st_mtime_ns)
        if stamp not in _HASHES:
            _HASHES[stamp] = bytes.fromhex(sha256_of(path))
        return _HASHES[stamp]
    except OSError as error:
        raise _unreadable(path, error) from error
