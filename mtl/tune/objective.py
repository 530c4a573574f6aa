"""One trial: a chain with other settings, scored on grouped folds inside the training part."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mtl.config import Experiment
from mtl.progress import Steps
from mtl.run.chain import prepare
from mtl.run.stage import StageMaker, imagenet_stage
from mtl.runs import RunFolder
from mtl.tune.worker import Report
from stages.assemble import Assembled, make_split, make_task
from stages.metrics import evaluate
from stages.preprocess import Preprocess
from stages.splits.chains import Learned, split_chain, tie_stages
from stages.splits.split import Part, Split, check_split

__all__ = ["Inner", "inner_splits", "run_trial"]

_SEEN = {"accuracy": "validation_accuracy"} | dict.fromkeys(
    ("macro_f1", "balanced_accuracy", "macro_auroc"), "validation_macro_f1"
)
"""What a validation shows of a metric, for pruning; nothing for the others, which are then never pruned."""


@dataclass(frozen=True)
class Inner:
    """The data of a study: assembled once, and split inside the training part.

    Attributes:
        data: By stage number.
        folds: Split of every stage, a fold each; the test part of the last stage is what a trial is scored on.
    """

    data: Mapping[int, Assembled]
    folds: tuple[Mapping[int, Split], ...]


def inner_splits(experiment: Experiment, run: RunFolder, folds: int, steps: Steps) -> Inner:
    """Read and split the data; what the experiment tests on is left out before any fold is dealt.

    Args:
        experiment: The chain in question.
        run: Gets the lists of the outer split.
        folds: Inner folds, 2 or more; 1 for a single inner hold-out of a quarter.
        steps: Told about progress.

    Raises:
        DataError: If data cannot be read or split.
    """
    data, outer = prepare(experiment, run, steps, Learned())
    target = max(data)
    kept = {}
    for number, stage in data.items():
        parts = outer[number].part_of()
        kept[number] = [
            sample for sample in stage.samples if parts.get(sample.name) in ("train", "validation")
        ]
    tied = tie_stages(kept)

    def make(number: int, forced: Mapping[str, Part] | None, fold: int) -> Split:
        settings = experiment.stage(number).split
        if settings.method in ("official", "files", "kfold", "leave-one-source-out"):
            settings = settings.model_copy(update={"method": "grouped"})
        if number == target:
            share = 1 / folds if folds > 1 else 0.25
            update: dict[str, Any] = {"test": share, "validation": 0.0, "offset": fold / max(folds, 1)}
            if folds > 1 and settings.method == "grouped":
                update |= {"method": "kfold", "folds": folds, "fold": fold}
            settings = settings.model_copy(update=update)
        return make_split(tied[number], settings, experiment.seed, data[number].unit, forced, "")

    found = []
    for fold in range(max(folds, 1)):
        chosen = split_chain(tied, target, partial(make, fold=fold))
        check_split(chosen[target], tied[target])
        found.append(chosen)
    return Inner(data, tuple(found))


def run_trial(
    experiment: Experiment,
    inner: Inner,
    run: RunFolder,
    number: int,
    metrics: tuple[str, ...],
    report: Report,
    steps: Steps,
) -> tuple[tuple[float, ...], float]:
    """Train and score one trial.

    Args:
        experiment: With the trial's values.
        inner: Data and inner folds.
        run: Of the study; stages before the last are kept there and reused where nothing in them changed.
        number: Of the trial.
        metrics: What is returned, of `mtl.tune.plan.METRICS`.
        report: Called with (step, score) after every validation; may raise to prune.
        steps: Told about progress.

    Returns:
        Every metric, mean over the folds; and the seconds that training and prediction took.
    """
    folder = run.path / "trials" / str(number)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        found = [
            _run_fold(experiment, inner, run, folder, fold, metrics, report, steps)
            for fold in range(len(inner.folds))
        ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    values = tuple(float(np.mean([scores[metric] for scores, _ in found])) for metric in metrics)
    return values, sum(seconds for _, seconds in found)


def _run_fold(
    experiment: Experiment,
    inner: Inner,
    run: RunFolder,
    folder: Path,
    fold: int,
    metrics: tuple[str, ...],
    report: Report,
    steps: Steps,
) -> tuple[dict[str, float], float]:
    *before, last = experiment.stages
    parent = imagenet_stage(experiment, run, steps, experiment.weights)
    maker = StageMaker(experiment, run, steps)
    begun = time.perf_counter()
    for stage in before:
        if stage in inner.data:
            parent = maker.make(stage, inner.data[stage], inner.folds[fold][stage], parent)
    learned = time.perf_counter() - begun
    settings, data, split = experiment.stage(last), inner.data[last], inner.folds[fold][last]
    # Here the inner test part is what validates: it picks the epoch and scores the trial.
    task = make_task(data, replace(split, validation=split.test, test=()), Preprocess.of_stage(settings))
    history: list[float] = []

    def watch(epoch: int, scores: Mapping[str, float]) -> None:
        if metrics[0] not in _SEEN:
            return
        history.append(scores[_SEEN[metrics[0]]])
        report(fold * settings.train.epochs + epoch, max(history))

    def told(done: int, total: int, text: str) -> None:
        steps.step(f"stage {last}", done, total, text)

    model, fitting = maker.learner(last, data, task.preprocess, parent, told, watch).fit(task, folder)
    for file in folder.iterdir():
        file.unlink()
    rows = task.rows["validation"]
    model.prepared_probabilities(task.images[rows[:1]])  # what is chosen once is not inference time
    started = time.perf_counter()
    votes = model.prepared_probabilities(task.images[rows])
    seconds = time.perf_counter() - started
    headline = evaluate(task.labels[rows], votes, None, task.classes, resamples=1).headline
    scores = {name: headline[name].value for name in metrics if name in headline}
    return scores | {"milliseconds": 1000 * seconds / len(rows)}, learned + fitting.seconds + seconds
