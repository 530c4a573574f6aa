"""Work on many images: several at once, large ones one at a time, results in order, bad files told and passed over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

from mtl.progress import Reporter, Steps
from mtl.segment.inputs import Job
from mtl.segment.methods import Tell
from mtl.segment.threads import at_once, single_threaded
from segmentation.errors import SegmentationError
from stages.errors import StagesError

__all__ = ["Large", "in_order"]

_LARGE = 8_000_000  # pixels
R = TypeVar("R")


class Large:
    """One large image at a time, lest several together run out of memory, with a bar of its tiles.

    Args:
        reporter: Shows the bar.
    """

    def __init__(self, reporter: Steps) -> None:
        self._reporter, self._lock = reporter, Lock()

    @contextmanager
    def hold(self, name: str, pixels: int) -> Iterator[Tell | None]:
        """Wait until it is this image's turn, and give who is to be told of its tiles; small ones wait for nobody."""
        if pixels <= _LARGE:
            yield None
            return
        with self._lock:
            yield lambda tiles, total: self._reporter.step(
                "tiles", tiles, max(total, 1), name if total else f"{name}: looking for cells"
            )


def in_order(
    jobs: Sequence[Job],
    work: Callable[[Job, Large], R],
    reporter: Reporter,
    bar: str,
    failed: dict[str, str],
    *,
    alone: bool,
) -> Iterator[R]:
    """Give what the work makes of each image, in their order.

    Args:
        jobs: Images.
        work: Called in a thread, of which PyTorch and OpenCV use no more than that one.
        reporter: Shows a bar, and images that failed.
        bar: Its name.
        failed: Gets the message by image that could not be read; nothing is given for it.
        alone: Whether the only image's error is raised instead.

    Raises:
        WriteError: If outputs cannot be written.
    """
    workers = min(len(jobs), at_once())
    with single_threaded(workers > 1) as begin:
        large = Large(reporter)
        pool = ThreadPoolExecutor(workers, initializer=begin)
        running = [pool.submit(work, job, large) for job in jobs]
        try:
            for number, (job, future) in enumerate(zip(jobs, running, strict=True), 1):
                try:
                    found = future.result()
                except (StagesError, SegmentationError, OSError) as error:
                    if alone:
                        raise
                    failed[job.name] = str(error)
                    reporter.say(f"{job.name}: {error}")
                else:
                    yield found
                reporter.step(bar, number, len(jobs), job.name)
        finally:
            pool.shutdown(cancel_futures=True)
