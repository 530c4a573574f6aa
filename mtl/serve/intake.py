"""What comes in from outside: bytes with a name. Nothing is believed, and every refusal is one sentence."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from mtl.errors import MtlError
from mtl.segment.inputs import Job, unique_stems
from mtl.serve.settings import Limits
from segmentation.files import write_bytes
from stages.data.images import check_header
from stages.data.problems import BROKEN_ZIP, show
from stages.data.tree import IMAGE_SUFFIXES
from stages.errors import DataError

__all__ = ["Intake", "RefusedError", "take_in"]

_ARCHIVE = b"PK\x03\x04"


class RefusedError(MtlError):
    """An upload is refused whole.

    Args:
        sentence: Why.
        status: Of HTTP.
    """

    def __init__(self, sentence: str, status: int = 422) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class Intake:
    """What was taken.

    Attributes:
        images: Files of names of ours, each with the name that it came with.
        failed: Sentence by name of what was not.
    """

    images: list[Job] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def take_in(uploads: Iterable[tuple[str, BinaryIO]], folder: Path, limits: Limits) -> Intake:
    """Save images, and those in archives, under names of ours.

    Args:
        uploads: Name and content of each; a name may hold folders, which stand for patients.
        folder: Existing, gets the files.
        limits: What is taken at once.

    Returns:
        What was taken, and what was not: something that is no image beside others does not hinder them.

    Raises:
        RefusedError: If there is too much, a name leads out of its folder, or there is no image.
    """
    paths: dict[str, Path] = {}
    failed: dict[str, str] = {}
    left = limits.megabytes * 1_000_000
    for name, data in _each(uploads, limits):
        left -= len(data)
        if left < 0:
            raise RefusedError(
                f"Expected {limits.megabytes} MB of images at most, but got more; do send fewer at a time",
                413,
            )
        if name in paths or name in failed:
            raise RefusedError(f"Expected every name once, but got {name!r} twice; do rename one of them")
        path = folder / f"{len(paths):05}{PurePosixPath(name).suffix.lower()}"
        try:
            _save(path, name, data, limits)
        except DataError as error:
            failed[name] = str(error).replace(str(path), name)
            path.unlink(missing_ok=True)
        else:
            paths[name] = path
    if not paths:
        raise RefusedError(
            next(iter(failed.values()), "Expected an image or more, but got none; do choose files")
        )
    stems = unique_stems(list(paths))
    return Intake(
        [Job(path, name, stem) for (name, path), stem in zip(paths.items(), stems, strict=True)], failed
    )


def _each(uploads: Iterable[tuple[str, BinaryIO]], limits: Limits) -> Iterator[tuple[str, bytes]]:
    count = 0
    for name, stream in uploads:
        begin = stream.read(len(_ARCHIVE))
        stream.seek(0)
        inside = _unpacked(name, stream, limits) if begin == _ARCHIVE else iter([(name, stream.read())])
        for own, data in inside:
            count += 1
            if count > limits.files:
                raise RefusedError(
                    f"Expected {limits.files} files at most, but got more; do send fewer at a time", 413
                )
            yield _checked(own), data


def _unpacked(name: str, stream: BinaryIO, limits: Limits) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(stream) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            # Told before anything is unpacked, so that a bomb is not set off.
            if len(entries) > limits.files:
                raise RefusedError(
                    f"Expected {limits.files} files at most, but {_checked(name)} holds {len(entries)}; do send fewer at a time",
                    413,
                )
            if sum(entry.file_size for entry in entries) > limits.megabytes * 1_000_000:
                raise RefusedError(
                    f"Expected {limits.megabytes} MB of images at most, but {_checked(name)} unpacks to more; do send fewer at a time",
                    413,
                )
            for entry in entries:
                if not PurePosixPath(entry.filename).name.startswith(".") and not entry.filename.startswith(
                    "__MACOSX"
                ):
                    yield entry.filename, archive.read(entry)
    except BROKEN_ZIP as error:
        raise RefusedError(
            f"Expected {_checked(name)} to be a whole archive without a password, but it cannot be read; do pack it again"
        ) from error


def _checked(name: str) -> str:
    """Return a name that stays where it is."""
    path = PurePosixPath(name.replace("\\", "/"))
    if (
        path.is_absolute()
        or ".." in path.parts
        or not path.name
        or ":" in path.parts[0]
        or not name.isprintable()
        or len(name) > 240
    ):
        raise RefusedError(
            f"Expected names of files that stay in their folder, but got {show(name)[:80]!r}; do rename it"
        )
    return path.as_posix()


def _save(path: Path, name: str, data: bytes, limits: Limits) -> None:
    if path.suffix not in IMAGE_SUFFIXES:
        raise DataError(
            f"Expected {name} to be an image ({', '.join(sorted(IMAGE_SUFFIXES))}), but it is called otherwise; do convert it"
        )
    write_bytes(path, data, durable=False)
    width, height = check_header(path)
    if width * height > limits.pixels:
        raise DataError(
            f"Expected {name} to have {limits.pixels:,} pixels at most, but it has {width}x{height} px; do cut it into tiles"
        )
