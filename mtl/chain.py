"""Run chains of stages: read, split, then every stage from its parent's weights; finished stages are reused."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtl.config import STAGE_FIELDS, Experiment, dump_config
from mtl.errors import ConfigError, RunError
from mtl.progress import Steps
from mtl.runs import RunFolder, StageFolder, environment, stage_key, write_json, write_text
from stages.backbones import WeightRecord, create_backbone, load_state, match_state
from stages.classical.colour import colour_baselines
from stages.data.assemble import Assembled, assemble, make_task, split_stages
from stages.data.chains import Learned
from stages.data.splits import Split
from stages.data.store import cache_folder
from stages.imagenet import imagenet_backbone
from stages.metrics import Evaluation, evaluate, paired_difference
from stages.network import Network
from stages.settings import StageSettings
from stages.training import Task, Trained, predict, train_stage

__all__ = ["run_experiment"]

STAGE_NAMES: Mapping[int, str] = {1: "imagenet", **STAGE_FIELDS}


def run_experiment(
    experiment: Experiment,
    run: RunFolder,
    command: str,
    reporter: Steps,
    start: StageFolder | None = None,
    *,
    scratch: bool = False,
) -> dict[str, list[StageFolder]]:
    """Run every chain of an experiment and write the run folder.

    Args:
        experiment: What to run.
        run: Where to.
        command: As typed, for the report.
        reporter: Shows progress.
        start: A finished stage to begin from, instead of stage 1.
        scratch: Let a chain that does not begin with 1 begin from random weights.

    Returns:
        The finished stages of every chain, by the chain's text such as `"1,2,3"`.

    Raises:
        ConfigError: If a chain starts from nothing.
        StagesError: If data, weights or training fail.
        KeyboardInterrupt: If stopped; the same call goes on.
    """
    for chain in experiment.chains():
        if chain[0] != 1 and start is None and not scratch:
            raise ConfigError(
                f"Expected `--stages {','.join(map(str, chain))}` to begin with 1, or `--from` to name a finished run; do add one"
            )
    write_text(run.path / "config.yaml", dump_config(experiment))
    first = start or _imagenet(experiment, run, reporter, experiment.weights)
    data, splits = _prepare(experiment, run, reporter, first.learned())
    done: dict[str, list[StageFolder]] = {}
    for chain in experiment.chains():
        parent = first if start or chain[0] == 1 else _imagenet(experiment, run, reporter, "none")
        folders = [parent]
        for number in chain:
            if number in data:
                settings = experiment.stage(number)
                parent = _Learner(experiment, run, reporter).learn(
                    number, settings, data[number], splits[number], parent
                )
                folders.append(parent)
        done[",".join(map(str, chain))] = folders
    write_json(
        run.path / "run.json",
        {
            "name": experiment.name,
            "command": command,
            "chains": {chain: [folder.path.name for folder in folders] for chain, folders in done.items()},
            "start": str(start.path) if start else None,
            "environment": environment(),
            "comparison": _compare(list(done.items()), experiment.evaluation.resamples, experiment.seed),
        },
    )
    return done


def _compare(chains: list[tuple[str, list[StageFolder]]], resamples: int, seed: int) -> dict[str, Any] | None:
    """Return the difference of two chains on the same test images, or None where there is nothing to compare."""
    ends = [(chain, folders[-1], folders[-1].record()) for chain, folders in chains]
    ends = ends[:2]
    if len(ends) != 2 or not all(record.get("evaluation") for _, _, record in ends):
        return None
    tables = [folder.read_table("predictions.csv") for _, folder, _ in ends]
    if [row["name"] for row in tables[0]] != [row["name"] for row in tables[1]]:
        return None
    classes = ends[0][2]["classes"]
    labels = np.array([classes.index(row["label"]) for row in tables[0]])
    groups = [row["group"] or row["name"] for row in tables[0]]
    first, second = (
        np.array([[float(row[f"p_{name}"]) for name in classes] for row in table]) for table in tables
    )
    differences = {
        metric: asdict(
            paired_difference(labels, first, second, groups, metric, resamples=resamples, seed=seed)
        )
        for metric in ("accuracy", "macro_f1")
    }
    return {"first": ends[0][0], "second": ends[1][0], **differences}


def _imagenet(experiment: Experiment, run: RunFolder, reporter: Steps, weights: str) -> StageFolder:
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


def _prepare(
    experiment: Experiment, run: RunFolder, reporter: Steps, learned: Learned
) -> tuple[dict[int, Assembled], dict[int, Split]]:
    numbers = sorted(
        {number for chain in experiment.chains() for number in chain if experiment.learns(number)}
    )
    data = {}
    for number in numbers:
        settings = experiment.stage(number)
        data[number] = assemble(settings.data, settings.split.near_duplicates, reporter.step)
    if not data:
        return {}, {}
    chosen = {number: experiment.stage(number).split for number in numbers}
    return split_stages(data, chosen, experiment.seed, run.path / "splits", reporter.step, learned)


class _Learner:
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
            network, weights = self._network(settings, task, parent, origin)
            self.reporter.step(bar, 0, 1)
            trained = train_stage(
                network,
                task,
                settings,
                folder.path,
                self.experiment.seed,
                self.experiment.hardware,
                lambda done, total, text: self.reporter.step(bar, done, total, text),
                _bank(origin, settings, data),
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

    def _network(
        self, settings: StageSettings, task: Task, parent: StageFolder, origin: dict[str, Any]
    ) -> tuple[Network, WeightRecord]:
        weights = WeightRecord(**origin["weights"])
        if weights.backbone != self.experiment.backbone:
            raise RunError(
                f"Expected `--from` to hold weights of {self.experiment.backbone}, but it holds {weights.backbone}; do give --backbone {weights.backbone}"
            )
        torch.manual_seed(self.experiment.seed)
        backbone, _ = create_backbone(weights.backbone, "none", settings.head.pool)
        match_state(backbone, load_state(parent.weights), parent.path.name)
        return Network(backbone, weights, settings.head, task.classes), weights

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
        folder.write_table(
            "history.csv", header, [[row.get(column, "") for column in header] for row in trained.history]
        )
        rows = task.rows["test"]
        evaluation, over_colour = None, None
        baselines: dict[str, Evaluation] = {}
        if len(rows):
            probabilities = predict(trained.network, task.part("test"), self.experiment.evaluation.flips)
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
        folder.write_table("predictions.csv", header, table)


def _bank(origin: dict[str, Any], settings: StageSettings, data: Assembled) -> Path | None:
    # Only what stage 1 holds is the same in many runs; another stage's weights are its own.
    if origin["number"] != 1 or "lineage" in origin:
        return None
    key = stage_key(
        origin["key"], origin["weights"], data.fingerprint, settings.image_size, settings.fit, settings.head.pool,
        torch.__version__,
    )  # fmt: skip
    return cache_folder() / "features" / f"{key}.npy"


def _lineage(origin: dict[str, Any]) -> str:
    return ",".join(map(str, origin.get("lineage", [1])))
