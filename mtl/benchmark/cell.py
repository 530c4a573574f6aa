"""Run one cell of a benchmark, in this process or in a worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mtl.benchmark.plan import BenchmarkSettings, Cell, cell_key, experiment_of
from mtl.progress import Steps
from mtl.run.chain import run_experiment
from mtl.runs import RunFolder, StageFolder, write_json
from stages.metrics import evaluate

__all__ = ["run_cell"]

_METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "macro_auroc", "ece")


def run_cell(folder: Path, cell: Cell, settings: BenchmarkSettings, steps: Steps) -> dict[str, Any]:
    """Train and test all chains on one split.

    Args:
        folder: Of the benchmark; cells share its stages, so a chain's beginning is trained once.
        cell: Which split, seed and backbone.
        settings: Of the benchmark, with data folders.
        steps: Told about progress.

    Returns:
        `cell.json`: seed, split sizes, and of every chain its scores, those of colour alone and where its stage lies.

    Raises:
        StagesError: If data, weights or training fail.
        KeyboardInterrupt: If stopped; the same call goes on.
    """
    chosen = experiment_of(cell, settings)
    run = RunFolder(folder / "cells" / cell.name, folder / "stages")
    done = run_experiment(chosen, run, "", steps, scratch=True)
    chains = {chain: _scores(stages, cell, settings.benchmark.draw) for chain, stages in done.items()}
    counts = next(iter(done.values()))[-1].record()["data"]["counts"]
    result = {
        "key": cell_key(cell, settings),
        "repeat": cell.repeat,
        "fold": cell.fold,
        "backbone": cell.backbone,
        "seed": cell.seed,
        "trained": sum(counts["train"].values()),
        "tested": sum(counts["test"].values()),
        "chains": chains,
    }
    write_json(run.path / "cell.json", result)
    return result


def _scores(stages: list[StageFolder], cell: Cell, draw: int) -> dict[str, Any]:
    record = stages[-1].record()
    headline = record["evaluation"]["headline"]
    scores = {name: headline[name]["value"] for name in _METRICS}
    if draw:
        scores |= _drawn(stages[-1], record["classes"], draw, cell.seed)
    best = record["over_colour"]["baseline"] if record["over_colour"] else None
    colour = record["baselines"][best]["headline"] if best else {}
    return {
        "stage": stages[-1].path.name,
        "seconds": sum(stage.record()["seconds"] for stage in stages),
        "scores": scores,
        "detection": _detection(stages[-1], record["classes"]),
        "colour": {name: colour[name]["value"] for name in _METRICS if name in colour},
    }


def _drawn(stage: StageFolder, classes: list[str], count: int, seed: int) -> dict[str, float]:
    """Score on `count` test images drawn at random, as paper A's ten runs of 150 (II-G); the draw is the cell's."""
    rows = stage.read_table("predictions.csv")
    chosen = np.random.default_rng(seed).permutation(len(rows))[:count]
    labels = np.array([classes.index(rows[row]["label"]) for row in chosen])
    votes = np.array([[float(rows[row][f"p_{name}"]) for name in classes] for row in chosen])
    headline = evaluate(labels, votes, None, classes, resamples=1).headline
    return {name: headline[name].value for name in _METRICS}


def _detection(stage: StageFolder, classes: list[str]) -> float | None:
    """Return the accuracy of telling the healthy class from all others (paper A, Table II); None without one."""
    healthy = next((name for name in classes if name.casefold() in ("normal", "benign", "healthy")), None)
    if healthy is None or len(classes) < 3:
        return None
    rows = stage.read_table("predictions.csv")
    return sum((row["label"] == healthy) == (row["predicted"] == healthy) for row in rows) / len(rows)
