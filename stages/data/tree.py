"""Small helpers that readers share: folders, file names, numbers in them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from stages.data.problems import BadFileError, Problem, Scan, show

__all__ = [
    "IMAGE_SUFFIXES",
    "find_folder",
    "images_in",
    "natural",
    "number_in",
    "read_class_folders",
    "relative_name",
    "require_folder",
    "subfolders",
]

IMAGE_SUFFIXES = frozenset({".bmp", ".jpg", ".jpeg", ".png", ".tif", ".tiff"})


def natural(text: str) -> tuple[tuple[int, int | str], ...]:
    """Return a sort key that puts `im2` before `im10`."""
    return tuple(
        (0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"([0-9]+)", text) if part
    )


def number_in(stem: str) -> int | None:
    """Return the last number in a file name's stem: 7 for `WBC-Benign-007`, None without digits."""
    numbers = re.findall(r"[0-9]+", stem)
    return int(numbers[-1]) if numbers else None


def require_folder(root: Path) -> Path:
    """Return `root`, or say why it is no folder that can be read.

    Raises:
        BadFileError: If it is missing, a file, a link loop or not readable.
    """
    if root.is_dir():
        return root
    if root.is_file():
        raise BadFileError(Problem(show(root), "a folder", "a file", "give the folder that holds it"))
    got = "a broken link or a link loop" if root.is_symlink() else "nothing"
    raise BadFileError(Problem(show(root), "a folder", got, "check the path"))


def find_folder(root: Path, *candidates: str, marks: Iterable[str] = ()) -> Path:
    """Return the first of `root/candidate` that exists, else `root` itself where one of `marks` lies in it.

    Raises:
        BadFileError: If nothing fits; the message names what was looked for.
    """
    require_folder(root)
    marks = tuple(marks)
    for folder in (*(root / candidate for candidate in candidates), root):
        if folder.is_dir() and (not marks or any((folder / mark).is_dir() for mark in marks)):
            return folder
    wanted = " or ".join(f"`{name}`" for name in (marks or candidates))
    raise BadFileError(
        Problem(
            show(root),
            f"a folder with {wanted} in it",
            "one without",
            "give the folder that the archive unpacks to",
        )
    )


def _entries(folder: Path, scan: Scan) -> list[os.DirEntry[str]]:
    """Return what lies in `folder`, naturally sorted, without hidden files and names that are no UTF-8."""
    try:
        with os.scandir(folder) as found:
            entries = [e for e in found if not e.name.startswith((".", "__MACOSX"))]
    except OSError as error:
        scan.problem(
            folder, "a folder that can be read", error.strerror or "an error", "check its permissions"
        )
        return []
    good = []
    for entry in entries:
        if _is_utf8(entry.name):
            good.append(entry)
        else:
            scan.problem(entry.path, "a file with a UTF-8 name", "other bytes in its name", "rename it")
    return sorted(good, key=lambda entry: natural(entry.name))


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:  # surrogates stand for bytes that did not decode
        return False
    return True


def subfolders(folder: Path, scan: Scan) -> list[Path]:
    """Return the folders in `folder`, naturally sorted, hidden ones left out."""
    return [folder / entry.name for entry in _entries(folder, scan) if entry.is_dir()]


def images_in(
    folder: Path, scan: Scan, suffixes: frozenset[str] = IMAGE_SUFFIXES, deep: bool = False
) -> list[Path]:
    """Return the images in `folder`, naturally sorted.

    Hidden files and files of other kinds (`Thumbs.db`) are passed over; an entry that is named like an image
    and is none (a link loop, a folder) becomes a problem of `scan`.

    Args:
        folder: Where to look.
        scan: Takes the problems.
        suffixes: Lower-case suffixes; files may have them in upper case.
        deep: Look into subfolders too; links to folders are not followed, so that loops cannot trap us.
    """
    found: list[Path] = []
    for entry in _entries(folder, scan):
        path = folder / entry.name
        if deep and entry.is_dir(follow_symlinks=False):
            found += images_in(path, scan, suffixes, deep)
        elif path.suffix.lower() in suffixes:
            if path.is_file():
                found.append(path)
            else:
                kind = "a folder" if path.is_dir() else "a broken link or a link loop"
                scan.problem(path, "a file", kind, "remove it or put the file in its place")
    return found


def relative_name(path: Path, root: Path) -> str:
    """Return `path` relative to `root` in POSIX form."""
    return path.relative_to(root).as_posix()


def read_class_folders(
    folder: Path, classes: Iterable[str], scan: Scan, deep: bool = False
) -> list[tuple[str, int, Path]]:
    """Return (class, order, image) of a tree with one folder a class.

    `order` is the number in the file name where there is one, else the position in the sorted list. An empty class
    is a problem, a missing one a note: a reader does not decide how many classes are enough.
    """
    rows: list[tuple[str, int, Path]] = []
    for name in classes:
        if not (folder / name).is_dir():
            scan.note(folder / name, "a class folder", "nothing", "download it, or go on without this class")
            continue
        before = len(scan.problems)
        images = images_in(folder / name, scan, deep=deep)
        if not images and len(scan.problems) == before:
            scan.problem(
                folder / name, "a class folder with images", "an empty folder", "fill it or remove it"
            )
        for position, path in enumerate(images):
            number = number_in(path.stem)
            rows.append((name, position if number is None else number, path))
    return rows
