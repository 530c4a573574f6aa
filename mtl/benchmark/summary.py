"""From the cells of a benchmark to its verdict and report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mtl.benchmark.plan import BenchmarkSettings, Design
from mtl.benchmark.runner import run_benchmark
from mtl.comparison.compare import Compared, ImageTests, Splits, compare_predictions, compare_scores
from mtl.comparison.files import Written, write_comparison
from mtl.comparison.report import ComparisonContent, PaperRow
from mtl.comparison.tables import Predictions, Scores, read_predictions
from mtl.progress import Reporter
from mtl.records import CellRecord, LearnedRecord
from mtl.run.empty import began_alike, empty_comparison
from mtl.runs import StageFolder, by_epoch, environment

__all__ = ["benchmark_and_report", "summarise"]

Results = Sequence[CellRecord]

_PAPER = tuple(
    PaperRow(table, method, score)
    for table, scores in (
        ("Table II, normal or leukaemia", (0.978, 0.981, 0.996)),
        ("Table III, 4 classes", (0.8733, 0.9000, 0.9467)),
    )
    for method, score in zip(("InceptionV3", "Xception", "InceptionResNetV2"), scores, strict=True)
)


def benchmark_and_report(settings: BenchmarkSettings, folder: Path, workers: int, command: str) -> Written:
    """Run a benchmark, judge it, and write its report.

    Args:
        settings: As given.
        folder: Of the benchmark.
        workers: Cells side by side.
        command: As typed.

    Raises:
        MtlError: If the design cannot be run.
        StagesError: If data, weights or training fail.
    """
    with Reporter() as reporter:
        results = run_benchmark(settings, folder, workers, reporter)
    return write_comparison(summarise(results, settings.benchmark, folder, command), folder / "report")


def summarise(results: Results, design: Design, folder: Path, command: str) -> ComparisonContent:
    """Return what the report of a benchmark says.

    Args:
        results: `cell.json` of every cell, in the order of the plan.
        design: Of the benchmark.
        folder: Of the benchmark.
        command: As typed.

    Raises:
        StatisticsError: If the scores permit no test.
    """
    metric = design.metric
    backbones = list(dict.fromkeys(result.backbone for result in results))
    compared = tuple(_chains(results, backbone, design, len(backbones) > 1) for backbone in backbones)
    several = () if len(backbones) < 3 else (_backbones(results, backbones, design),)
    chains = list(results[0].chains)
    last = StageFolder(folder / "stages" / results[0].chains[chains[0]].stage).learned_record()
    return ComparisonContent(
        name=" against ".join(reversed(chains))
        if len(chains) == 2
        else f"{len(chains)} {'variants' if design.variants else 'chains'}",
        metric=metric.replace("_", " "),
        verdicts=tuple(verdict for part in (*compared, *several) for verdict in part.verdicts),
        notes=tuple(_notes(results, design, last)),
        rendered=last.data.rendered,
        compared=(*compared, *several),
        images=tuple(_images(results, backbones[0], folder)),
        runs=tuple(_runs(results, metric)),
        convergence={
            "training loss": _losses(results, folder, "train_loss"),
            "validation loss": _losses(results, folder, "validation_loss"),
        },
        published=_PAPER,
        ours=_ours(results, last.classes),
        command=command,
        environment=environment(),
    )


def _table(results: Results, backbone: str, metric: str) -> Scores:
    chosen = [result for result in results if result.backbone == backbone]
    names = tuple(chosen[0].chains)
    values = np.array([[result.chains[name].scores[metric] for name in names] for result in chosen])
    return Scores(names, values, tuple(map(_where, chosen)), 100.0)


def _splits(results: Results, design: Design) -> Splits:
    if design.folds:
        return Splits(folds=design.folds)
    trained, tested = (
        round(float(np.mean([getattr(result, key) for result in results]))) for key in ("trained", "tested")
    )
    return Splits(counts=(trained, tested))


def _chains(results: Results, backbone: str, design: Design, several: bool) -> Compared:
    what = "chains" if len(design.chains) > 1 else "variants"
    title = f"{design.metric.replace('_', ' ')} of the {what}" + (f", {backbone}" if several else "")
    scores = _table(results, backbone, design.metric)
    compared = compare_scores(scores, _splits(results, design), design.rope, title)
    verdicts = zip(compared.pairs, compared.verdicts, strict=True)
    chosen = [result for result in results if result.backbone == backbone]
    said = tuple(
        _verdict(chosen, pair.first_name, pair.second_name, verdict, design) for pair, verdict in verdicts
    )
    return replace(compared, verdicts=said)


def _verdict(results: Results, first: str, second: str, verdict: str, design: Design) -> str:
    """Return the verdict on two systems, what is empty about it before it."""
    systems = design.systems()
    if systems[first].variant != systems[second].variant:
        return verdict
    starts = [(result.chains[first].start, result.chains[second].start) for result in results]
    same = sum(began_alike(one, other) for one, other in starts)
    empty = empty_comparison(first, second, same, len(starts))
    return verdict if empty is None else empty if same == len(starts) else f"{empty}. {verdict}"


def _backbones(results: Results, backbones: Sequence[str], design: Design) -> Compared:
    """Compare the backbones by the longest chain, under the first variant."""
    chain = max(design.systems().items(), key=lambda one: len(one[1].chain))[0]
    columns = []
    for backbone in backbones:
        table = _table(results, backbone, design.metric)
        columns.append(table.values[:, table.names.index(chain)])
    rows = _table(results, backbones[0], design.metric).rows
    scores = Scores(tuple(backbones), np.stack(columns, axis=1), rows, 100.0)
    return compare_scores(scores, _splits(results, design), design.rope, f"Backbones, chain {chain}")


def _notes(results: Results, design: Design, last: LearnedRecord) -> list[str]:
    data = last.data
    kind = " (rendered smears, not patient data)" if data.rendered else ""
    how = f"{design.repeats} times {design.folds} folds" if design.folds else f"{design.repeats} hold-outs"
    trained, tested = (
        float(np.mean([getattr(result, key) for result in results])) for key in ("trained", "tested")
    )
    notes = [
        f"Data of the last stage: {data.dataset}{kind}, {', '.join(last.classes)}.",
        f"Splits: {how}, {data.split.partition(',')[0].partition(' 1 of')[0]}; on average {trained:.0f} images train and {tested:.0f} are tested. Unit: {data.unit}.",
        *data.notes,
    ]
    if design.draw:
        notes.append(f"Every repeat is scored on {design.draw} test images drawn at random, as in paper A.")
    systems = list(results[0].chains)
    colour = [[result.chains[name].colour.get(design.metric) for name in systems] for result in results]
    if not any(None in row for row in colour):
        # A variant may show other colours: segmented cells, say.
        alone = float(np.array(colour, np.float64).mean(axis=0).max())
        best = max(
            (float(np.mean([result.chains[name].scores[design.metric] for result in results])), name)
            for name in systems
        )
        text = f"Colour alone, without any shape, reaches {100 * alone:.1f} points on the same splits; the best of ours ({best[1]}) {100 * best[0]:.1f}."
        notes.append(text if best[0] > alone else text + " The networks do not beat colour here.")
    return notes


def _images(results: Results, backbone: str, folder: Path) -> list[ImageTests]:
    """Compare the first two chains on the images of the first repeat, folds pooled: every image counts once."""
    cells = [result for result in results if result.repeat == 0 and result.backbone == backbone]
    names = list(cells[0].chains)[:2]
    pooled = []
    for name in names:
        rows: dict[str, Any] = {}
        for cell in cells:
            path = folder / "stages" / cell.chains[name].stage / "predictions.csv"
            rows |= read_predictions(path).rows
        pooled.append(Predictions(f"{name}, first repeat", rows))
    return [compare_predictions(pooled[1], pooled[0])]


def _runs(results: Results, metric: str) -> list[tuple[str, ...]]:
    shown = tuple(dict.fromkeys((metric, "accuracy", "macro_f1")))
    rows: list[tuple[str, ...]] = [
        (
            "split",
            "seed",
            "backbone",
            "system" if len(results[0].chains) > 2 else "chain",
            *(name.replace("_", " ").replace("f1", "F1") for name in shown),
            "colour alone",
            "s",
            "stage",
        )
    ]
    for result in results:
        for chain, entry in result.chains.items():
            scores, colour = entry.scores, entry.colour.get(metric)
            rows.append(
                (
                    _where(result), str(result.seed), result.backbone, chain, *(f"{scores[name]:.4f}" for name in shown),
                    "–" if colour is None else f"{colour:.4f}",
                    f"{entry.seconds:.0f}", entry.stage,
                )
            )  # fmt: skip
    return rows


def _losses(results: Results, folder: Path, column: str) -> dict[str, npt.NDArray[np.float64]]:
    found: dict[str, npt.NDArray[np.float64]] = {}
    for chain in results[0].chains:
        stages = [StageFolder(folder / "stages" / result.chains[chain].stage) for result in results]
        table = by_epoch([stage.history() for stage in stages], column)
        if table.shape[1] and np.isfinite(table).any(axis=0).all():
            found[chain] = table
    return found


def _ours(results: Results, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return our mean accuracy beside paper A's tables: the healthy class against all others, and four classes."""
    tables: dict[str, dict[str, float]] = {_PAPER[0].table: {}, _PAPER[-1].table: {}}
    for chain in results[0].chains:
        entries = [result.chains[chain] for result in results]
        detection = [entry.detection for entry in entries if entry.detection is not None]
        if len(detection) == len(entries):
            tables[_PAPER[0].table][chain] = float(np.mean(detection))
        if len(classes) == 4:  # else there is nothing to lay beside FAB
            tables[_PAPER[-1].table][chain] = float(np.mean([entry.scores["accuracy"] for entry in entries]))
    return tables


def _where(result: CellRecord) -> str:
    return f"{result.repeat + 1}.{result.fold + 1}"
