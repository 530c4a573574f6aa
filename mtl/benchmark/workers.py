"""Cells side by side, each in a process with its share of the cores."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mtl.benchmark.plan import BenchmarkSettings, Cell
from mtl.errors import FailedError
from mtl.progress import OnOneBar, Steps
from mtl.records import CellRecord
from stages.memory import keep_freed_memory

__all__ = ["run_in_workers"]

_told: Any = None
"""A worker's end of the pipe, and the lock that keeps messages whole."""


def run_in_workers(
    folder: Path, cells: Sequence[Cell], settings: BenchmarkSettings, workers: int, reporter: Steps
) -> Generator[tuple[Cell, CellRecord], None, None]:
    """Yield every cell with its result as it is done; closing the generator stops the workers.

    Args:
        folder: Of the benchmark.
        cells: To be run.
        settings: Of the benchmark, with data folders.
        workers: Processes, two or more.
        reporter: Gets one bar a worker.

    Raises:
        FailedError: If a worker was killed.
        StagesError: If data, weights or training fail in a cell.
    """
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    threads = max(1, (os.cpu_count() or 1) // workers)
    listener = threading.Thread(target=_listen, args=(reader, reporter), daemon=True)
    listener.start()
    with (
        _environment("OMP_NUM_THREADS", str(threads)),
        ProcessPoolExecutor(workers, context, _begin, ((writer, context.Lock()), threads)) as pool,
    ):
        futures: dict[Future[CellRecord], Cell] = {
            pool.submit(_work, folder, cell, settings): cell for cell in cells
        }
        waiting = set(futures)
        try:
            while waiting:
                ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in ready:
                    yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise FailedError(
                "Expected all workers to live, but one was killed, for want of memory perhaps; do lower --workers and run again"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            if any(not future.done() for future in futures):
                for process in multiprocessing.active_children():
                    process.terminate()
            writer.close()


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    # Read by OpenMP when a worker starts; torch's own setting comes too late for other libraries.
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _listen(reader: Any, reporter: Steps) -> None:
    workers: dict[int, int] = {}
    try:
        while True:
            process, done, total, text = reader.recv()
            reporter.step(f"worker {workers.setdefault(process, len(workers) + 1)}", done, total, text)
    except (EOFError, OSError):  # the last writer is gone
        reader.close()


def _begin(told: Any, threads: int) -> None:
    global _told
    import torch

    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    keep_freed_memory()
    torch.set_num_threads(threads)
    _told = told


def _end_with_the_parent() -> None:
    """Leave at once when the process that started this one is gone: nobody would take the result."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(folder: Path, cell: Cell, settings: BenchmarkSettings) -> CellRecord:
    from mtl.benchmark.cell import run_cell

    return run_cell(folder, cell, settings, OnOneBar(_Sender(), "worker", cell.name))


class _Sender:
    """Send a worker's steps to the process that shows them."""

    def step(self, name: str, done: float, total: int, text: str = "") -> None:
        """Tell of a step of this worker's bar, whatever its name here."""
        writer, lock = _told
        with lock:
            writer.send((os.getpid(), done, total, text))
