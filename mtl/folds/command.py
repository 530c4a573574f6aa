"""`mtl run --folds` and `mtl benchmark` with one chain: run the folds as cells of a benchmark, then report them together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mtl.benchmark.plan import BenchmarkSettings
from mtl.benchmark.runner import run_benchmark
from mtl.folds.content import FoldsContent, ModelFolds, model_folds
from mtl.folds.pool import pool
from mtl.folds.report import FoldsWritten, write_folds
from mtl.progress import Reporter
from mtl.records import CellRecord, LearnedRecord
from mtl.run.content import learner_name
from mtl.runs import StageFolder, environment

__all__ = ["folds_and_report", "summarise_folds"]

_ENOUGH = 20


def folds_and_report(settings: BenchmarkSettings, folder: Path, workers: int, command: str) -> FoldsWritten:
    """Cross-validate one chain and write the report.

    Args:
        settings: Of one chain, with folds.
        folder: Where to; finished folds in it are not run again.
        workers: Folds side by side.
        command: As typed.

    Raises:
        MtlError: If the design cannot be run.
        StagesError: If data, weights or training fail; folds that are done stay.
        KeyboardInterrupt: If stopped; the same call goes on.
    """
    with Reporter() as reporter:
        results = run_benchmark(settings, folder, workers, reporter)
    return write_folds(summarise_folds(results, settings, folder, command), folder)


def summarise_folds(
    results: Sequence[CellRecord], settings: BenchmarkSettings, folder: Path, command: str
) -> FoldsContent:
    """Return what the report of a k-fold says.

    Args:
        results: `cell.json` of every fold and backbone.
        settings: Of one chain, with folds.
        folder: Holds the stages.
        command: As typed.

    Raises:
        RunError: If a table of a stage is damaged.
    """
    chain = next(iter(results[0].chains))
    by_backbone: dict[str, list[StageFolder]] = {}
    for result in results:
        place = folder / "stages" / result.chains[chain].stage
        by_backbone.setdefault(result.backbone, []).append(StageFolder(place))
    last = next(iter(by_backbone.values()))[0].learned_record()
    network = last.settings.learner == "network"
    models = tuple(
        model_folds(
            learner_name(last.settings, backbone),
            pool([stage.predictions() for stage in stages]),
            [stage.history() for stage in stages] if network else [],
            augmented=last.settings.train.policy != "frozen",
            resamples=settings.evaluation.resamples,
            seed=settings.seed,
        )
        for backbone, stages in by_backbone.items()
    )
    return FoldsContent(
        chain=chain,
        count=settings.benchmark.folds,
        dataset=last.data.dataset,
        rendered=last.data.rendered,
        unit=last.data.unit,
        models=models,
        notes=tuple(_notes(results, models, last)),
        command=command,
        environment=environment(),
    )


def _notes(results: Sequence[CellRecord], models: Sequence[ModelFolds], last: LearnedRecord) -> list[str]:
    data, whole = last.data, models[0].evaluation
    kind = " (rendered smears, not patient data)" if data.rendered else ""
    block = last.settings.split.method == "block"
    trained = float(np.mean([result.trained for result in results]))
    dealt = "Blocks of equal length along each class's numbers" if block else "Whole groups"
    notes = [
        f"Data: {data.dataset}{kind}, {', '.join(last.classes)}; unit of the folds: {data.unit}. {dealt} are dealt to folds, and no "
        "group is on two sides in any fold or stage of the chain.",
        f"Pooled: one table of all {whole.n} predictions, each of a network that has not seen the image's group; {trained:.0f} images "
        "trained it on average. Beside it the mean and the standard deviation over the folds' own scores.",
        "The SD over folds says how much folds differ. It is not a standard error, and dividing it by the root of the number of folds "
        "gives no interval: folds share most of their training images (Bengio & Grandvalet 2004).",
        "Intervals are of a bootstrap over groups of the pooled predictions: they hold what other test groups would change, and not "
        "what another training would.",
        "A class of which a fold tests no image is left out of that fold's averages, and its own mean is over the other folds. A class "
        "that is never called has precision and F1 of 0, and counts.",
    ]
    absent = [f"fold {number} tests no {label}" for number, label in models[0].absent]
    if absent:
        notes.append(f"Absent: {', '.join(absent)}.")
    if models[0].pooled.again:
        notes.append(
            f"{models[0].pooled.again} images were tested in two folds, since their class is smaller than the number of folds; what the "
            "first of them said counts."
        )
    if whole.groups < _ENOUGH:
        notes.append(f"Only {whole.groups} groups were tested: intervals over so few are too narrow.")
    return [*notes, *_colour(results, models), *data.notes]


def _colour(results: Sequence[CellRecord], models: Sequence[ModelFolds]) -> list[str]:
    first = [result for result in results if result.backbone == models[0].backbone]
    alone = [next(iter(result.chains.values())).colour.get("macro_f1") for result in first]
    values = [value for value in alone if value is not None and np.isfinite(value)]
    if not values:
        return []
    best = max(models, key=lambda model: model.score("macro", "f1").mean)
    mean = best.score("macro", "f1").mean
    text = f"Colour alone, without any shape, reaches macro F1 {np.mean(values):.3f} on the same folds (mean); {best.backbone} {mean:.3f}."
    return [text if mean > np.mean(values) else f"{text} The network does not beat colour here."]
