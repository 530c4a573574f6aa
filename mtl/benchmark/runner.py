"""Run all cells of a benchmark, several at a time; stop it at any moment and start it again."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mtl.benchmark.plan import Cell, Design, cell_key, cells_of
from mtl.config import Experiment, dump_config
from mtl.errors import RunError
from mtl.progress import Reporter
from mtl.rendered import with_rendered_data
from mtl.runs import RunFolder, read_json, write_json, write_text

__all__ = ["run_benchmark"]

_END = ("", "", 0, 0, "")


def run_benchmark(
    experiment: Experiment, design: Design, folder: Path, workers: int, metric: str, reporter: Reporter
) -> list[dict[str, Any]]:
    """Run every cell that is not done yet and return the results of all, in the order of the plan.

    Args:
        experiment: The configuration as given.
        design: Chains, repeats, folds, backbones.
        folder: Of the benchmark, made if missing: `cells/`, `stages/`, `config.yaml`, `design.json`.
        workers: Processes side by side; each gets its share of the cores.
        metric: Shown in the live table.
        reporter: Shows progress, and a line for every cell as it is done.

    Raises:
        MtlError: If the design cannot be run.
        StagesError: If data, weights or training fail in a cell; cells that are done stay.
        KeyboardInterrupt: If stopped; the same call goes on.
    """
    design.check()
    run = RunFolder(folder)
    with run.lock():
        experiment = with_rendered_data(
            experiment.model_copy(update={"stages": design.chains[0], "against": design.chains[1:]}), reporter
        )
        write_text(folder / "config.yaml", dump_config(experiment))
        cells = cells_of(design, experiment)
        done = _finished(folder, cells, design, experiment)
        if done:
            reporter.say(f"{len(done)} of {len(cells)} cells are done already")
        for cell in cells:
            if cell in done:
                reporter.say(_line(cell, done[cell], design, metric))
        todo = [cell for cell in cells if cell not in done]
        reporter.step("cells", len(done), len(cells))
        for cell, result in _results(folder, todo, design, experiment, min(workers, len(todo)), reporter):
            done[cell] = result
            reporter.say(_line(cell, result, design, metric))
            reporter.step("cells", len(done), len(cells))
        results = [done[cell] for cell in cells]
        write_json(folder / "results.json", results)
    return results


def _finished(
    folder: Path, cells: Sequence[Cell], design: Design, experiment: Experiment
) -> dict[Cell, dict[str, Any]]:
    found = {}
    for cell in cells:
        path = folder / "cells" / cell.name / "cell.json"
        result = read_json(path) if path.is_file() else None
        if result and result["key"] == cell_key(cell, design, experiment):
            found[cell] = result
    return found


def _results(
    folder: Path,
    cells: Sequence[Cell],
    design: Design,
    experiment: Experiment,
    workers: int,
    reporter: Reporter,
) -> Iterator[tuple[Cell, dict[str, Any]]]:
    if not cells:
        return
    if workers <= 1:
        from mtl.benchmark.cell import run_cell

        for cell in cells:
            yield cell, run_cell(folder, cell, design, experiment, reporter)
        return
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    threads = max(1, (os.cpu_count() or 1) // workers)
    with (
        _one_thread(threads),
        ProcessPoolExecutor(workers, context, _begin, (queue, threads)) as pool,
        _listening(queue, reporter),
    ):
        futures: dict[Future[dict[str, Any]], Cell] = {
            pool.submit(_work, folder, cell, design, experiment): cell for cell in cells
        }
        open_ones = set(futures)
        try:
            while open_ones:
                ready, open_ones = wait(open_ones, return_when=FIRST_EXCEPTION, timeout=1)
                for future in ready:
                    yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise RunError(
                "Expected all workers to live, but one was killed, for want of memory perhaps; do lower --workers and run again"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children() if open_ones else ():
                process.terminate()


@contextmanager
def _one_thread(threads: int) -> Iterator[None]:
    # Read by OpenMP when a worker starts; torch's own setting comes too late for other libraries.
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


@contextmanager
def _listening(queue: Any, reporter: Reporter) -> Iterator[None]:
    def listen() -> None:
        while (said := queue.get()) != _END:
            reporter.step(*said[1:2], *said[2:])

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield
    finally:
        queue.put(_END)
        thread.join(timeout=5)


_queue: Any = None


def _begin(queue: Any, threads: int) -> None:
    global _queue
    import torch

    torch.set_num_threads(threads)
    _queue = queue


def _work(folder: Path, cell: Cell, design: Design, experiment: Experiment) -> dict[str, Any]:
    from mtl.benchmark.cell import run_cell

    return run_cell(folder, cell, design, experiment, _Sender(cell.name))


class _Sender:
    """Send a worker's steps to the process that shows them, one bar a worker."""

    def __init__(self, cell: str) -> None:
        self.cell = cell

    def step(self, name: str, done: int, total: int, text: str = "") -> None:
        """Tell of a step."""
        # The last step of one thing is not the end of the worker's bar.
        worker = f"worker {multiprocessing.current_process().name.rpartition('-')[2]}"
        _queue.put(
            (
                self.cell,
                worker,
                min(done, total - 1) if total > 1 else 0,
                max(total, 1),
                f"{self.cell}: {name}  {text}",
            )
        )


def _line(cell: Cell, result: dict[str, Any], design: Design, metric: str) -> str:
    scores = "  ".join(f"{chain} {entry['scores'][metric]:.3f}" for chain, entry in result["chains"].items())
    where = f"repeat {cell.repeat + 1}/{design.repeats}" + (
        f" fold {cell.fold + 1}/{design.folds}" if design.folds else ""
    )
    several = f"  {cell.backbone}" if len(design.backbones) > 1 else ""
    first, second = (entry["scores"][metric] for entry in list(result["chains"].values())[:2])
    colour = next(iter(result["chains"].values()))["colour"].get(metric)
    alone = f"  colour alone {colour:.3f}" if colour is not None else ""
    return f"{where}{several}  {metric}: {scores}  difference {100 * (first - second):+.1f}{alone}"
