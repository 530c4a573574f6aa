"""What can be wrong with a file of a data set, said once and told in one line."""

from __future__ import annotations

import errno
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from stages.data.sample import Sample
from stages.errors import DataError

__all__ = ["BROKEN_ZIP", "BadFileError", "Problem", "Scan", "is_full", "show"]

BROKEN_ZIP = (
    OSError,
    ValueError,  # also of a checksum, a name, a header
    LookupError,
    EOFError,
    RuntimeError,  # encrypted; an unknown method or version, a `NotImplementedError`
    MemoryError,
    OverflowError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
"""What `zipfile` and `numpy` raise of a damaged zip archive or `.npz`; an `OSError` may be the disk's, see `is_full`."""


def is_full(error: BaseException) -> bool:
    """Say whether the disk that is written to is to blame, and not what was read."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def show(text: str | os.PathLike[str]) -> str:
    r"""Return `text` on one printable line: bytes that are no UTF-8 and control characters as `\xNN`."""
    raw = os.fspath(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in raw)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and what to do about it.

    Attributes:
        path: The file, folder or parameter, printable.
        expected: What it should be: "a readable image".
        got: What it is: "a truncated JPEG".
        todo: What to do, an imperative without the full stop: "download it again".
    """

    path: str
    expected: str
    got: str
    todo: str

    @property
    def what(self) -> str:
        """What is wrong, without the path."""
        return f"expected {self.expected}, got {self.got}"

    @property
    def message(self) -> str:
        """The whole sentence, one line."""
        return f"Expected `{self.path}` to be {self.expected}, but got {self.got}; do {self.todo}."


class BadFileError(DataError):
    """A `DataError` that still knows its parts, so that `mtl data check` can list many of them."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(slots=True)
class Scan:
    """What a reader found.

    Attributes:
        samples: The records, in any order.
        problems: What makes the data unfit for use; reading raises the first.
        notes: What the reader put right or passed over; worth a line in `mtl data check`, no more.
        expected: Images a class in the full set, where labels other than the usual ones were read.
    """

    samples: list[Sample] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    expected: Mapping[str, int] | None = None

    def problem(self, path: str | os.PathLike[str], expected: str, got: str, todo: str) -> None:
        """Add a problem; `path` is made printable here, `got` must be."""
        self.problems.append(Problem(show(path), expected, got, todo))

    def note(self, path: str | os.PathLike[str], expected: str, got: str, todo: str) -> None:
        """Add a note; `path` is made printable here, `got` must be."""
        self.notes.append(Problem(show(path), expected, got, todo))
