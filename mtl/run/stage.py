"""Make one stage: reuse it, resume it or train it, then score it and write it down."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtl.config import STAGE_FIELDS, Experiment
from mtl.errors import RunError
from mtl.progress import Steps
from mtl.runs import RunFolder, StageFolder, stage_key
from segmentation.files import write_json, write_table
from stages.assemble import Assembled, make_task
from stages.data.store import cache_folder
from stages.data.task import Task
from stages.imagenet import imagenet_backbone
from stages.learners.classical.colour import colour_baselines
from stages.learners.network.backbones import WeightRecord, create_backbone, load_state, match_state
from stages.learners.network.batches import task_part
from stages.learners.network.network import Network
from stages.learners.network.training import Trained, predict, train_stage
from stages.metrics import Evaluation, evaluate, paired_difference
from stages.settings import StageSettings
from stages.splits.split import Split

__all__ = ["Learner", "feature_bank", "imagenet_stage", "network_after"]

STAGE_NAMES: Mapping[int, str] = {1: "imagenet", **STAGE_FIELDS}


def imagenet_stage(experiment: Experiment, run: RunFolder, reporter: Steps, weights: str) -> StageFolder:
    """Return stage 1, finished.

    Args:
        experiment: Gives backbone and seed.
        run: Where to.
        reporter: Told about progress.
        weights: `auto`, `none` or a file.

    Raises:
        ModelError: If the weights cannot be had or do not fit.
    """
    # The seed matters to random weights alone; others are the same for every seed, and are shared.
    seed = experiment.seed if weights == "none" else 0
    key = stage_key("imagenet", experiment.backbone, _weights_identity(weights), seed)
    folder = run.stage(1, "imagenet", key)
    with folder.lock():
        if not folder.finished():
            reporter.step("stage 1  ImageNet weights", 0, 1)
            started = time.perf_counter()
            record = imagenet_backbone(experiment.backbone, weights, folder.path, seed)
            write_json(
                folder.path / "stage.json",
                {
                    "number": 1,
                    "name": "imagenet",
                    "key": key,
                    "weights": record.to_json(),
                    "seconds": time.perf_counter() - started,
                },
            )
    source = folder.record()["weights"]["source"]
    reporter.step("stage 1  ImageNet weights", 1, 1, source)
    return folder


def _weights_identity(weights: str) -> str:
    # A local file may change under the same name; its size and time are part of what it is.
    path = Path(weights)
    return f"{weights}|{path.stat().st_size}|{path.stat().st_mtime_ns}" if path.is_file() else weights


class Learner:
    """Train, score and write down one stage."""

    def __init__(self, experiment: Experiment, run: RunFolder, reporter: Steps) -> None:
        self.experiment = experiment
        self.run = run
        self.reporter = reporter

    def learn(
        self, number: int, settings: StageSettings, data: Assembled, split: Split, parent: StageFolder
    ) -> StageFolder:
        """Return the stage's folder, finished: reused, resumed or trained."""
        origin = parent.record()
        key = self._key(number, settings, data, split, origin)
        name = STAGE_NAMES[number]
        folder = self.run.stage(number, name, key)
        bar = f"stage {number}  {name.replace('_', ' ')}" + (
            f" after {_lineage(origin)}" if number > 2 else ""
        )
        with folder.lock():
            if folder.finished():
                self.reporter.step(bar, 1, 1, "reused")
                return folder
            task = make_task(data, split, settings, self.reporter.step)
            network, weights = network_after(parent, settings, task.classes, self.experiment)
            self.reporter.step(bar, 0, 1)
            trained = train_stage(
                network,
                task,
                settings,
                folder.path,
                self.experiment.seed,
                self.experiment.hardware,
                lambda done, total, text: self.reporter.step(bar, done, total, text),
                feature_bank(origin, settings, data),
            )
            write_json(folder.path / "learned.json", parent.learned().after(data.samples, split).parts)
            self._write(folder, number, key, settings, data, split, task, trained, origin, weights)
            (folder.path / "last.ckpt").unlink(missing_ok=True)
        return folder

    def _key(
        self, number: int, settings: StageSettings, data: Assembled, split: Split, origin: dict[str, Any]
    ) -> str:
        return stage_key(
            number,
            settings.model_dump(mode="json", exclude={"data": {"root"}, "split": {"folder"}}),
            data.fingerprint,
            split.to_json(),
            origin["key"],
            self.experiment.backbone,
            self.experiment.seed,
            self.experiment.hardware.precision,
            torch.__version__,
        )

    def _write(
        self,
        folder: StageFolder,
        number: int,
        key: str,
        settings: StageSettings,
        data: Assembled,
        split: Split,
        task: Task,
        trained: Trained,
        origin: dict[str, Any],
        weights: WeightRecord,
    ) -> None:
        header = list(dict.fromkeys(column for row in trained.history for column in row))
        write_table(
            folder.path / "history.csv",
            header,
            [[row.get(column, "") for column in header] for row in trained.history],
        )
        rows = task.rows["test"]
        evaluation, over_colour = None, None
        baselines: dict[str, Evaluation] = {}
        if len(rows):
            probabilities = predict(
                trained.network, task_part(task, "test"), self.experiment.evaluation.flips
            )
            evaluation = self._score(data, task, rows, probabilities)
            self._write_predictions(folder, data, rows, probabilities)
            if self.experiment.evaluation.baselines:
                baselines, over_colour = self._baselines(data, task, probabilities)
        parts = split.part_of()
        counts = {
            part: Counter(sample.label for sample in data.samples if parts.get(sample.name) == part)
            for part in task.rows
        }
        groups = {
            part: len(
                {sample.group or sample.name for sample in data.samples if parts.get(sample.name) == part}
            )
            for part in task.rows
        }
        write_json(
            folder.path / "stage.json",
            {
                "number": number,
                "name": STAGE_NAMES[number],
                "key": key,
                "parent": origin["key"],
                "lineage": [*origin.get("lineage", [1]), number],
                "weights": asdict(weights),
                "classes": data.classes,
                "head": settings.head.model_dump(mode="json"),
                "image_size": settings.image_size,
                "segment": settings.segment.model_dump(mode="json"),
                "fit": settings.fit,
                "train": settings.train.model_dump(mode="json"),
                "data": {
                    "dataset": data.dataset.name,
                    "root": str(settings.data.root),
                    "rendered": data.rendered,
                    "fingerprint": data.fingerprint,
                    "counts": counts,
                    "groups": groups,
                    "unit": data.unit,
                    "split": split.method,
                    "notes": [*data.notes, *split.notes],
                },
                "best_epoch": trained.best_epoch,
                "parameters": trained.parameters,
                "seconds": trained.seconds,
                "evaluation": evaluation.to_json() if evaluation else None,
                "baselines": {name: score.to_json() for name, score in baselines.items()},
                "over_colour": over_colour,
            },
        )

    def _score(
        self,
        data: Assembled,
        task: Task,
        rows: np.ndarray[Any, np.dtype[np.int64]],
        probabilities: np.ndarray[Any, np.dtype[np.float64]],
    ) -> Evaluation:
        return evaluate(
            task.labels[rows], probabilities, self._groups(data, rows), task.classes,
            resamples=self.experiment.evaluation.resamples, seed=self.experiment.seed,
        )  # fmt: skip

    def _baselines(
        self, data: Assembled, task: Task, probabilities: np.ndarray[Any, np.dtype[np.float64]]
    ) -> tuple[dict[str, Evaluation], dict[str, Any]]:
        """Score colour alone, and the model's lead over the better baseline on the same images."""
        train, test = task.rows["train"], task.rows["test"]
        votes = colour_baselines(
            task.images[train],
            task.labels[train],
            task.images[test],
            len(task.classes),
            seed=self.experiment.seed,
        )
        scores = {name: self._score(data, task, test, vote) for name, vote in votes.items()}
        best = max(scores, key=lambda name: scores[name].headline["macro_f1"].value)
        lead = paired_difference(
            task.labels[test], probabilities, votes[best], self._groups(data, test), "macro_f1",
            resamples=self.experiment.evaluation.resamples, seed=self.experiment.seed,
        )  # fmt: skip
        return scores, {"baseline": best, "macro_f1": asdict(lead)}

    @staticmethod
    def _groups(data: Assembled, rows: np.ndarray[Any, np.dtype[np.int64]]) -> list[str]:
        return [data.samples[row].group or data.samples[row].name for row in rows]

    def _write_predictions(
        self,
        folder: StageFolder,
        data: Assembled,
        rows: np.ndarray[Any, np.dtype[np.int64]],
        probabilities: np.ndarray[Any, np.dtype[np.float64]],
    ) -> None:
        header = ["name", "label", "group", "predicted", *(f"p_{name}" for name in data.classes)]
        table = []
        for row, scores in zip(rows, probabilities, strict=True):
            sample = data.samples[row]
            predicted = data.classes[int(scores.argmax())]
            table.append(
                [
                    sample.name,
                    sample.label,
                    sample.group or "",
                    predicted,
                    *(f"{score:.9g}" for score in scores),
                ]
            )
        write_table(folder.path / "predictions.csv", header, table)


def network_after(
    parent: StageFolder, settings: StageSettings, classes: tuple[str, ...], experiment: Experiment
) -> tuple[Network, WeightRecord]:
    """Return the network of a stage: its parent's backbone and a fresh head.

    Args:
        parent: The finished stage before it.
        settings: Of the stage.
        classes: Names of its classes.
        experiment: Gives backbone and seed.

    Raises:
        RunError: If the parent holds another backbone.
        ModelError: If its weights do not fit.
    """
    weights = WeightRecord(**parent.record()["weights"])
    if weights.backbone != experiment.backbone:
        raise RunError(
            f"Expected `--from` to hold weights of {experiment.backbone}, but it holds {weights.backbone}; do give --backbone {weights.backbone}"
        )
    torch.manual_seed(experiment.seed)
    backbone, _ = create_backbone(weights.backbone, "none", settings.head.pool)
    match_state(backbone, load_state(parent.weights), parent.path.name)
    return Network(backbone, weights, settings.head, classes), weights


def feature_bank(origin: dict[str, Any], settings: StageSettings, data: Assembled) -> Path | None:
    """Return the file for the features that runs may share, or None where the parent is not stage 1."""
    # Only what stage 1 holds is the same in many runs; another stage's weights are its own.
    if origin["number"] != 1 or "lineage" in origin:
        return None
    key = stage_key(
        origin["key"], origin["weights"], data.fingerprint, settings.image_size, settings.fit, settings.segment.model_dump(), settings.head.pool,
        torch.__version__,
    )  # fmt: skip
    return cache_folder() / "features" / f"{key}.npy"


def _lineage(origin: dict[str, Any]) -> str:
    return ",".join(map(str, origin.get("lineage", [1])))
