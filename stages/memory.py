"""Keep freed memory in the process: on a processor, PyTorch asks for the same large blocks at every layer."""

from __future__ import annotations

import ctypes
import os

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_KEPT = 1 << 30  # bytes
_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed blocks of up to 1 GiB for the next request instead of giving them back.

    As it comes, it maps every block above some MiB anew, and the kernel clears each of its pages on first touch. Training
    `tf_efficientnet_lite0` spent 30 % of its time on that, its inference 45 % (docs/results.md). Results do not change.

    Returns:
        Whether it was told; not so with another C library, or where the user has set one of glibc's own variables.
    """
    if any(name in os.environ for name in _SETTINGS):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no glibc
        return False
    return all(mallopt(option, _KEPT) == 1 for option in (_MMAP_THRESHOLD, _TRIM_THRESHOLD))
