"""The same work on many images, in as many threads as there are cores, told as it goes on."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["in_threads"]

S = TypeVar("S")
T = TypeVar("T")


def in_threads(
    items: Sequence[S], function: Callable[[S], T], told: Callable[[int, int], None] | None = None
) -> list[T]:
    """Return what a function makes of each item, in their order.

    Args:
        items: N of them.
        function: Called in a thread.
        told: Called with (done, N) in the calling thread.
    """
    found: list[T] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, value in enumerate(pool.map(function, items), start=1):
            found.append(value)
            if told:
                told(done, len(items))
    return found
