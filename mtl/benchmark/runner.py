"""Run all cells of a benchmark, several at a time; stop it at any moment and start it again."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path

from mtl.benchmark.plan import BenchmarkSettings, Cell, Design, cell_key, cells_of, variants_of
from mtl.benchmark.workers import run_in_workers
from mtl.loading import dump_settings
from mtl.progress import OnOneBar, Reporter
from mtl.records import CellRecord, read_record
from mtl.run.backbone import check_backbones
from mtl.run.rendered import with_rendered_data
from mtl.runs import RunFolder
from segmentation.files import write_json, write_text

__all__ = ["run_benchmark"]


def run_benchmark(
    settings: BenchmarkSettings, folder: Path, workers: int, reporter: Reporter
) -> list[CellRecord]:
    """Run every cell that is not done yet and return the results of all, in the order of the plan.

    Args:
        settings: As given.
        folder: Of the benchmark, made if missing: `cells/`, `stages/`, `config.yaml`.
        workers: Processes side by side; each gets its share of the cores.
        reporter: Shows progress, and a line for every cell as it is done.

    Raises:
        MtlError: If the design cannot be run.
        StagesError: If data, weights or training fail in a cell; cells that are done stay.
        KeyboardInterrupt: If stopped; the same call goes on.
    """
    design = settings.benchmark
    run = RunFolder(folder)
    with run.lock():
        run.claim("benchmark")
        settings = settings.model_copy(update={"stages": design.chains[0], "against": design.chains[1:]})
        for variant in variants_of(settings, design.variants).values():
            check_backbones(variant, design.backbones)
        settings = with_rendered_data(settings, reporter)
        write_text(folder / "config.yaml", dump_settings(settings))
        cells = cells_of(settings)
        done = _finished(folder, cells, settings)
        if done:
            reporter.say(f"{len(done)} of {len(cells)} cells are done already")
        for cell in cells:
            if cell in done:
                reporter.say(_line(cell, done[cell], design))
        todo = [cell for cell in cells if cell not in done]
        reporter.step("cells", len(done), len(cells))
        with closing(_results(folder, todo, settings, min(workers, len(todo)), reporter)) as found:
            for cell, result in found:
                done[cell] = result
                reporter.say(_line(cell, result, design))
                reporter.step("cells", len(done), len(cells))
        results = [done[cell] for cell in cells]
        write_json(folder / "results.json", [result.model_dump(mode="json") for result in results])
    return results


def _finished(folder: Path, cells: Sequence[Cell], settings: BenchmarkSettings) -> dict[Cell, CellRecord]:
    found = {}
    for cell in cells:
        path = folder / "cells" / cell.name / "cell.json"
        result = read_record(path, CellRecord) if path.is_file() else None
        if result and result.key == cell_key(cell, settings):
            found[cell] = result
    return found


def _results(
    folder: Path,
    cells: Sequence[Cell],
    settings: BenchmarkSettings,
    workers: int,
    reporter: Reporter,
) -> Generator[tuple[Cell, CellRecord], None, None]:
    if not cells:
        return
    if workers <= 1:
        from mtl.benchmark.cell import run_cell

        for cell in cells:
            yield cell, run_cell(folder, cell, settings, OnOneBar(reporter, "cell", cell.name))
        return
    yield from run_in_workers(folder, cells, settings, workers, reporter)


def _line(cell: Cell, result: CellRecord, design: Design) -> str:
    metric = design.metric
    scores = "  ".join(f"{chain} {entry.scores[metric]:.3f}" for chain, entry in result.chains.items())
    parts = [] if design.alone else [f"repeat {cell.repeat + 1}/{design.repeats}"]
    where = " ".join([*parts, *([f"fold {cell.fold + 1}/{design.folds}"] if design.folds else [])])
    several = f"  {cell.backbone}" if len(design.backbones) > 1 else ""
    values = [entry.scores[metric] for entry in result.chains.values()]
    lead = f"  difference {100 * (values[0] - values[1]):+.1f}" if len(values) > 1 else ""
    colour = next(iter(result.chains.values())).colour.get(metric)
    alone = f"  colour alone {colour:.3f}" if colour is not None else ""
    return f"{where}{several}  {metric}: {scores}{lead}{alone}"
