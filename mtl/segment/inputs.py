"""Which images are to be segmented, and what each one's outputs are called."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from mtl.errors import ConfigError

__all__ = [
    "SUFFIXES",
    "Found",
    "Job",
    "find_images",
    "images_below",
    "is_grey",
]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})


@dataclass(frozen=True)
class Job:
    """One image.

    Attributes:
        path: The file.
        name: Path relative to the folder that was given, in POSIX form; the `image` column of the tables.
        stem: What its outputs are called, without suffix; unique, may hold folders.
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
        return Found((Job(path, path.name, path.stem),), 0)
    if not path.is_dir():
        raise ConfigError(
            f"Expected `IMAGE` to be an image file or a folder of images, but got {path}; do check the path"
        )
    inside = [one for one in images_below(path) if not one.is_relative_to(out)]
    shared = Counter(one.with_suffix("") for one in inside)
    kept = [one for one in inside if shared[one.with_suffix("")] == 1 or not is_grey(one)]
    if not kept:
        raise ConfigError(
            f"Expected {path} to hold images ({', '.join(sorted(SUFFIXES))}), but got none; do give another folder or one image"
        )
    twins = Counter(one.with_suffix("") for one in kept)
    jobs = [_job(one, path, twin=twins[one.with_suffix("")] > 1) for one in kept]
    return Found(tuple(jobs), len(inside) - len(kept))


def images_below(folder: Path) -> list[Path]:
    """Return image files of a folder and its subfolders, hidden ones left out, sorted by path."""
    found: list[Path] = []
    for top, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(top) / name
            for name in files
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
        ]
    return sorted(found)


def is_grey(path: Path) -> bool:
    """Say whether a file is an image of one channel or of few palette colours, as masks are."""
    try:
        with Image.open(path) as file:
            return file.mode in ("L", "1", "P")
    except (OSError, SyntaxError, Image.DecompressionBombError):
        return False


def _job(path: Path, root: Path, *, twin: bool) -> Job:
    relative = path.relative_to(root)
    stem = relative.with_suffix("").as_posix()
    return Job(path, relative.as_posix(), f"{stem}_{path.suffix[1:].lower()}" if twin else stem)
