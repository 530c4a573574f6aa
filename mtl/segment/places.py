"""What to do where a folder of outputs cannot be written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtl.errors import WriteError

__all__ = ["advised"]


@contextmanager
def advised(folder: Path, flag: str) -> Iterator[None]:
    """Name the flag that chooses another place, where something in a folder cannot be written.

    Args:
        folder: Of outputs.
        flag: Of the command at work.

    Raises:
        WriteError: With the advice.
    """
    try:
        yield
    except WriteError as error:
        if str(folder) not in str(error) or flag in str(error):
            raise
        raise WriteError(f"{error}, or choose another place by {flag}") from error
