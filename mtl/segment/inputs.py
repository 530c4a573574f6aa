"""Which images are to be segmented, and what each one's outputs are called."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image

from mtl.errors import ConfigError
from segmentation.files import sha256_of
from stages.data.problems import show
from stages.data.tree import IMAGE_SUFFIXES
from stages.errors import DataError

__all__ = [
    "Found",
    "Job",
    "content_of",
    "find_images",
    "images_below",
    "is_grey",
    "pixels_of",
    "unique_stems",
]


@dataclass(frozen=True)
class Job:
    """One image.

    Attributes:
        path: The file.
        name: Path relative to the folder that was given, in POSIX form, bytes that are no UTF-8 escaped; the `image` column
            of the tables.
        stem: What its outputs are called, without suffix, the `output` column: letters that every system takes, unique
            even where capitals count for nothing; may hold folders.
    """

    path: Path
    name: str
    stem: str


@dataclass(frozen=True)
class Found:
    """What lies under the path that was given.

    Attributes:
        jobs: Images in natural order of their names.
        masks: Grey files beside a colour image of the same name: masks, not images.
    """

    jobs: tuple[Job, ...]
    masks: int


def find_images(path: Path, out: Path) -> Found:
    """Return the image, or the images below a folder.

    Args:
        path: An image file or a folder, searched with its subfolders.
        out: Folder of outputs; what lies in it is passed over.

    Raises:
        ConfigError: If there is nothing.
    """
    if path.is_file():
        return Found((Job(path, show(path.name), _plain(path.stem)),), 0)
    if not path.is_dir():
        raise ConfigError(
            f"Expected `IMAGE` to be an image file or a folder of images, but got {path}; do check the path"
        )
    inside = [one for one in images_below(path) if not one.is_relative_to(out)]
    shared = Counter(one.with_suffix("") for one in inside)
    kept = [one for one in inside if shared[one.with_suffix("")] == 1 or not is_grey(one)]
    if not kept:
        raise ConfigError(
            f"Expected {path} to hold images ({', '.join(sorted(IMAGE_SUFFIXES))}), but got none; do give another folder or one image"
        )
    names = [one.relative_to(path) for one in kept]
    stems = unique_stems([name.as_posix() for name in names])
    jobs = [Job(one, show(name.as_posix()), stem) for one, name, stem in zip(kept, names, stems, strict=True)]
    return Found(tuple(jobs), len(inside) - len(kept))


def unique_stems(names: Sequence[str]) -> list[str]:
    """Return what the outputs of images are called.

    A name without its suffix, where no other image has the same; else the suffix is joined to it, and a number where even that
    is taken. Capitals make no difference, as some disks know none.

    Args:
        names: Of the images, relative, in POSIX form.

    Examples:
        >>> unique_stems(["a.jpg", "x.jpg", "x.png", "x_png.png", "y.PNG", "y.png"])
        ['a', 'x_jpg', 'x_png_2', 'x_png', 'y_png', 'y_png_2']
    """
    plain = [_plain(PurePosixPath(name).with_suffix("").as_posix()) for name in names]
    shared = Counter(stem.casefold() for stem in plain)
    taken = {stem for stem, count in shared.items() if count == 1}
    stems = []
    for name, stem in zip(names, plain, strict=True):
        if shared[stem.casefold()] > 1:
            stem = first = f"{stem}_{PurePosixPath(name).suffix[1:].lower()}"
            number = 1
            while stem.casefold() in taken:
                number += 1
                stem = f"{first}_{number}"
            taken.add(stem.casefold())
        stems.append(stem)
    return stems


def images_below(folder: Path) -> list[Path]:
    """Return image files of a folder and its subfolders, hidden ones left out, sorted by path."""
    found: list[Path] = []
    for top, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(top) / name
            for name in files
            if Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith(".")
        ]
    return sorted(found)


def is_grey(path: Path) -> bool:
    """Say whether a file is an image of one channel or of few palette colours, as masks are."""
    if not path.is_file():  # a pipe would be waited for
        return False
    try:
        with Image.open(path) as file:
            return file.mode in ("L", "1", "P")
    except Exception:  # a decoder may raise anything on bytes that it did not expect
        return False


def pixels_of(path: Path, most: int, key: str = "max_pixels") -> int:
    """Return how many pixels an image has, by its header; 0 where that does not read, which decoding will explain.

    Args:
        path: The file.
        most: That are taken.
        key: Of the settings that says so.

    Raises:
        DataError: If they are more than `most`.
    """
    try:
        with Image.open(path) as file:
            width, height = file.size
    except Exception:  # a decoder may raise anything on bytes that it did not expect
        return 0
    if width * height > most:
        raise DataError(
            f"Expected {show(str(path))} to have {most:,} pixels at most, but got {width}x{height} px; "
            f"do cut it into tiles, or raise `--set {key}=`"
        )
    return width * height


def content_of(path: Path) -> str:
    """Return the hash of a file's bytes.

    Raises:
        DataError: If it is no file, such as a pipe, which would be waited for.
    """
    if not path.is_file():
        raise DataError(f"Expected {show(str(path))} to be a file, but it is none; do remove it")
    return sha256_of(path)


def _plain(stem: str) -> str:
    """Return a name of outputs without letters that some system refuses."""
    return "".join(
        letter if letter.isprintable() and letter not in '\\:*?"<>|' else "_" for letter in show(stem)
    )
