"""Run one cell of a benchmark, in this process or in a worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mtl.benchmark.plan import BenchmarkSettings, Cell, System, cell_key, experiment_of, variants_of
from mtl.errors import RunError
from mtl.progress import Steps
from mtl.records import CellRecord, ChainScores, write_record
from mtl.run.chain import run_experiment
from mtl.runs import Predictions, RunFolder, StageFolder
from stages.metrics import Evaluation, evaluate

__all__ = ["healthy_class", "run_cell"]

_METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "macro_auroc", "ece")


def run_cell(folder: Path, cell: Cell, settings: BenchmarkSettings, steps: Steps) -> CellRecord:
    """Train and test all chains under all variants on one split.

    Args:
        folder: Of the benchmark; cells share its stages, so a chain's beginning is trained once.
        cell: Which split, seed and backbone.
        settings: Of the benchmark, with data folders.
        steps: Told about progress.

    Returns:
        `cell.json`: seed, split sizes, and of every chain its scores, those of colour alone and where its stage lies.

    Raises:
        RunError: If variants were not tested on the same images.
        StagesError: If data, weights or training fail.
        KeyboardInterrupt: If stopped; the same call goes on.
    """
    design = settings.benchmark
    place, trained = folder / "cells" / cell.name, {}
    for variant, chosen in variants_of(experiment_of(cell, settings), design.variants).items():
        run = RunFolder(place / variant if variant else place, folder / "stages")
        for chain, stages in run_experiment(chosen, run, "", steps, scratch=True).items():
            trained[System(chain, variant)] = stages
    done = {name: trained[system] for name, system in design.systems().items()}
    _check_alike(done)
    counts = next(iter(done.values()))[-1].learned_record().data.counts
    result = CellRecord(
        key=cell_key(cell, settings),
        repeat=cell.repeat,
        fold=cell.fold,
        backbone=cell.backbone,
        seed=cell.seed,
        trained=sum(counts["train"].values()),
        tested=sum(counts["test"].values()),
        chains={name: _scores(stages, cell, design.draw) for name, stages in done.items()},
    )
    write_record(place / "cell.json", result)
    return result


def _check_alike(done: Mapping[str, list[StageFolder]]) -> None:
    tested = {name: set(stages[-1].predictions().names) for name, stages in done.items()}
    (first, images), *others = tested.items()
    for name, own in others:
        if own != images:
            raise RunError(
                f"Expected {first} and {name} to be tested on the same images, but {len(own ^ images)} stand in one alone; "
                "do leave settings that change the split out of --variant"
            )


def healthy_class(classes: Sequence[str]) -> str | None:
    """Return the class without leukaemia, if one is called so."""
    return next((name for name in classes if name.casefold() in ("normal", "benign", "healthy")), None)


def _scores(stages: list[StageFolder], cell: Cell, draw: int) -> ChainScores:
    record, predictions = stages[-1].learned_record(), stages[-1].predictions()
    scores = _points(record.evaluation)
    if draw:
        scores |= _drawn(predictions, draw, cell.seed)
    best = record.over_colour.baseline if record.over_colour else None
    return ChainScores(
        stage=stages[-1].path.name,
        start=record.start,
        seconds=sum(stage.record().seconds for stage in stages),
        scores=scores,
        detection=_detection(predictions),
        colour=_points(record.baselines[best]) if best else {},
    )


def _points(evaluation: Evaluation | None) -> dict[str, float]:
    return {name: evaluation.headline[name].value for name in _METRICS} if evaluation else {}


def _drawn(predictions: Predictions, count: int, seed: int) -> dict[str, float]:
    """Score on `count` test images drawn at random, as paper A's ten runs of 150 (II-G); the draw is the cell's."""
    chosen = np.random.default_rng(seed).permutation(len(predictions.names))[:count]
    votes = predictions.probabilities[chosen]
    return _points(evaluate(predictions.truth()[chosen], votes, None, predictions.classes, resamples=1))


def _detection(predictions: Predictions) -> float | None:
    """Return the accuracy of telling the healthy class from all others (paper A, Table II); None without one."""
    healthy = healthy_class(predictions.classes)
    if healthy is None:
        return None
    pairs = list(zip(predictions.labels, predictions.predicted, strict=True))
    return sum((label == healthy) == (said == healthy) for label, said in pairs) / len(pairs)
