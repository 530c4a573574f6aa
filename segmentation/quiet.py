"""Silence of the library that Pillow reads TIFF files by: what is wrong with a file is said in a sentence of ours."""

from __future__ import annotations

import ctypes
import functools
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

__all__ = ["hush_libtiff"]


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
