"""Make one stage: reuse it, resume it or train it, then score it and write it down."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from mtl.config import Experiment
from mtl.errors import RunError
from mtl.progress import Steps
from mtl.records import DataRecord, LearnedRecord, StageRecord, write_record
from mtl.run.content import learning_title
from mtl.run.scoring import Scorer, group_name, source_record, write_predictions
from mtl.run.trust import trust_record
from mtl.runs import RunFolder, StageFolder, follows, stage_key
from segmentation.cache import cache_folder
from segmentation.files import write_json, write_table
from stages import STAGES
from stages.assemble import Assembled, make_task
from stages.learners.at_rest import LearnerAtRest
from stages.learners.bags.model import BagLearner
from stages.learners.classical.colour import colour_baselines
from stages.learners.classical.model import ClassicalLearner
from stages.learners.model import Fitting, Floats, Learner, Model
from stages.learners.network.backbones import imagenet_backbone
from stages.learners.network.loading import backbone_fingerprint
from stages.learners.network.model import NetworkLearner, NetworkModel
from stages.learners.network.names import find_backbone
from stages.learners.network.training import Watch
from stages.learners.network.weights import WeightRecord
from stages.learners.stacked.model import StackedLearner
from stages.metrics import Evaluation
from stages.preprocess import Preprocess
from stages.preprocess.framing import cell_frame
from stages.settings import StageSettings
from stages.splits.split import Split
from stages.stacked_settings import STACKED
from stages.task import Task

__all__ = ["StageMaker", "imagenet_stage"]


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
    stage = STAGES[1]
    key = stage_key(stage.name, experiment.backbone, _weights_identity(weights), seed)
    folder = run.stage(1, stage.name, key)
    bar = f"stage 1  {stage.title} weights"
    with folder.lock():
        if not folder.finished():
            reporter.step(bar, 0, 1)
            started = time.perf_counter()
            record = imagenet_backbone(experiment.backbone, weights, folder.weights, seed)
            seconds = time.perf_counter() - started
            told = StageRecord(
                number=1, name=stage.name, key=key, weights=record, seconds=seconds, backbone=backbone_fingerprint(folder.weights)
            )  # fmt: skip
            write_record(folder.path / "stage.json", told)
    reporter.step(bar, 1, 1, folder.record().weights.source)
    return folder


def _weights_identity(weights: str) -> str:
    # A local file may change under the same name; its size and time are part of what it is.
    path = Path(weights)
    return f"{weights}|{path.stat().st_size}|{path.stat().st_mtime_ns}" if path.is_file() else weights


@dataclass(frozen=True)
class _Bar:
    """Tell a stage's own bar; picklable, so that processes of a training may have it."""

    reporter: Steps
    name: str

    def __call__(self, done: int, total: int, text: str) -> None:
        self.reporter.step(self.name, done, total, text)


class StageMaker:
    """Makes the stages of one experiment in one run folder.

    Args:
        experiment: What is run.
        run: Where stages are kept.
        reporter: Told about progress.
    """

    def __init__(self, experiment: Experiment, run: RunFolder, reporter: Steps) -> None:
        self.experiment = experiment
        self.run = run
        self.reporter = reporter

    def make(self, number: int, data: Assembled, split: Split, parent: StageFolder) -> StageFolder:
        """Return the stage's folder, finished: reused, resumed or trained.

        Args:
            number: 1 (continued), 2 or 3.
            data: Assembled for the stage.
            split: Of the data.
            parent: The finished stage before it.

        Raises:
            StagesError: If data, weights or training fail.
            KeyboardInterrupt: If stopped; the same call goes on.
        """
        settings, origin = self.experiment.stage(number), parent.record()
        stage = STAGES[number]
        key = self._key(number, settings, data, split, origin)
        folder = self.run.stage(number, stage.name, key)
        bar = f"stage {number}  {learning_title(number)}" + (
            f" after {','.join(map(str, origin.lineage))}" if number > 2 else ""
        )
        with folder.lock():
            if folder.finished():
                self.reporter.step(bar, 1, 1, "reused")
                return folder
            task = make_task(data, split, Preprocess.of_stage(settings), self.reporter.step)
            self.reporter.step(bar, 0, 1)
            told, flips = _Bar(self.reporter, bar), self.experiment.evaluation.flips
            learner = self.learner(number, data, task.preprocess, parent, told, flips=flips)
            model, fitting = learner.fit(task, folder.path)
            if follows():
                folder.wait()
                return folder
            if not fitting.private:
                self._measure(number, data, task, folder, model, fitting)
                model.save(folder.path)
            write_json(folder.path / "learned.json", parent.learned().after(data.samples, split).parts)
            write_record(
                folder.path / "stage.json",
                _Scoring(self.experiment, folder, data, split, task).record(
                    number, key, origin, model, fitting
                ),
            )
            (folder.path / "last.ckpt").unlink(missing_ok=True)
        return folder

    def _measure(
        self, number: int, data: Assembled, task: Task, folder: StageFolder, model: Model, fitting: Fitting
    ) -> None:
        """Give the model what training and validation part tell besides its weights: how sure it may be, how cells are cut."""
        judged = fitting.held_out or model
        said = judged.calibrate(task)
        model.calibration = judged.calibration
        if said is not None:  # what ensembles and thresholds are chosen on
            watched = [data.samples[row] for row in task.rows["validation"]]
            write_predictions(folder.path / "validation.csv", watched, data.classes, judged.calibrated(said))
        if number == 2:
            model.frame = cell_frame([data.samples[row] for row in task.rows["train"]])

    def learner(
        self,
        number: int,
        data: Assembled,
        preprocess: Preprocess,
        parent: StageFolder,
        progress: Callable[[int, int, str], None] | None = None,
        watch: Watch | None = None,
        *,
        flips: bool = False,
    ) -> Learner:
        """Return what learns a stage: the one place that picks it.

        Args:
            number: 1 (continued), 2 or 3.
            data: Assembled for the stage.
            preprocess: Fitted on the training part.
            parent: The finished stage before it.
            progress: Told about every step.
            watch: Looks at every validation, where there are epochs.
            flips: Whether a network averages over mirror images.

        Raises:
            RunError: If the parent holds another backbone, or none where one is needed.
        """
        settings, origin = self.experiment.stage(number), parent.record()
        if settings.needs_backbone:
            self._check_backbone(number, parent)
        at_rest = _at_rest(settings)
        if at_rest is not None:
            return at_rest(
                settings, origin.weights, parent.weights, self.experiment.seed, self.experiment.hardware, progress
            )  # fmt: skip
        bank = _feature_bank(origin, settings, data, preprocess)
        return NetworkLearner(
            settings, origin.weights, parent.weights, self.experiment.seed, self.experiment.hardware, flips, progress, bank, watch
        )  # fmt: skip

    def _check_backbone(self, number: int, parent: StageFolder) -> None:
        origin = parent.record()
        if not parent.weights.is_file():
            raise RunError(
                f"Expected {parent.path} to leave a backbone to stage {number}, but its learner is no network; do begin from a stage before it"
            )
        if origin.weights.backbone != find_backbone(self.experiment.backbone):
            raise RunError(
                f"Expected `--from` to hold weights of {self.experiment.backbone}, but it holds {origin.weights.backbone}; "
                f"do give --backbone {origin.weights.backbone}"
            )

    def _key(
        self, number: int, settings: StageSettings, data: Assembled, split: Split, origin: StageRecord
    ) -> str:
        # What a learner does not look at decides nothing: two chains share a stage on features that know no backbone.
        who = "bags" if settings.bagging is not None else settings.learner
        unasked = _UNASKED.get(who, ("head", "augment", "train", "stacked", "unit", "bags"))
        return stage_key(
            number,
            settings.model_dump(
                mode="json",
                exclude={
                    "data": {"root": True, "sources": {"__all__": {"root"}}},
                    "split": {"folder"},
                    "preprocess": True,
                    **dict.fromkeys(unasked, True),
                },
            ),
            data.fingerprint,
            split.to_json(),
            *((origin.key, self.experiment.backbone) if settings.needs_backbone else ()),
            self.experiment.seed,
            self.experiment.hardware.precision,
            self.experiment.evaluation.model_dump(mode="json"),
            Preprocess.of_stage(settings).key,
            torch.__version__,
        )


_UNASKED = {
    "bags": ("learner", "head", "augment", "train", "classical", "stacked"),
    "network": ("learner", "classical", "stacked", "unit", "bags"),
    STACKED: ("head", "augment", "train", "classical", "unit", "bags"),
}
"""Settings that each learner does not look at; of the classical ones see `_key`."""


@dataclass(frozen=True)
class _Scoring:
    """Score a trained stage and make its record."""

    experiment: Experiment
    folder: StageFolder
    data: Assembled
    split: Split
    task: Task

    def record(
        self, number: int, key: str, origin: StageRecord, model: Model, fitting: Fitting
    ) -> LearnedRecord:
        """Write tables of history and predictions, and return `stage.json`."""
        header = list(dict.fromkeys(column for row in fitting.history for column in row))
        rows = [[row.get(column, "") for column in header] for row in fitting.history]
        write_table(self.folder.path / "history.csv", header, rows)
        evaluation, over_colour, trust = None, None, None
        baselines: dict[str, Evaluation] = {}
        tested = self.task.rows["test"]
        device, precision = "", ""
        if len(tested):
            raw, features = model.prepared_answers(self.task.images[tested])
            votes = model.calibrated(raw)
            far = model.distances(self.task.images[tested], features)
            trust = trust_record(model, raw, far, self.task.labels[tested])
            samples = [self.data.samples[row] for row in tested]
            scorer = Scorer(self.experiment, samples, self.data.classes)
            evaluation = scorer.evaluate(votes)
            write_predictions(self.folder.path / "predictions.csv", samples, self.data.classes, votes)
            if self.experiment.evaluation.baselines:
                baselines, over_colour = scorer.against_colour(votes, self._colour())
        if isinstance(model, NetworkModel) and len(tested):
            device, precision = model.inference.device, model.inference.precision
        return LearnedRecord(
            number=number, name=STAGES[number].name, key=key, parent=origin.key, start=origin.backbone, lineage=tuple(dict.fromkeys((*origin.lineage, number))),
            weights=origin.weights, seconds=fitting.seconds, backbone=backbone_fingerprint(self.folder.weights) if self.folder.weights.is_file() else None, classes=self.data.classes, settings=self.experiment.stage(number),
            data=self._data(origin.weights), best_epoch=fitting.best_epoch, parameters=fitting.parameters, device=device, precision=precision,
            evaluation=evaluation, baselines=baselines, over_colour=over_colour, trust=trust,
        )  # fmt: skip

    def _data(self, weights: WeightRecord) -> DataRecord:
        parts = self.split.part_of()
        members = {
            part: [sample for sample in self.data.samples if parts.get(sample.name) == part]
            for part in self.task.rows
        }
        sources = self.data.sources
        return DataRecord(
            dataset=self.data.name,
            sources=tuple(
                source_record(
                    source,
                    [one for one in self.data.samples if len(sources) == 1 or one.source == source.name],
                )
                for source in sources
            ),
            rendered=self.data.rendered,
            fingerprint=self.data.fingerprint,
            counts={part: Counter(sample.label for sample in own) for part, own in members.items()},
            groups={part: len({group_name(sample) for sample in own}) for part, own in members.items()},
            unit=self.data.unit,
            split=self.split.method,
            notes=(*self.data.notes, *self.split.notes, *_seen(weights, self.data)),
        )

    def _colour(self) -> dict[str, Floats]:
        train, test = self.task.rows["train"], self.task.rows["test"]
        images, labels = self.task.images, self.task.labels[train]
        return colour_baselines(
            images[train], labels, images[test], len(self.task.classes), seed=self.experiment.seed
        )


def _at_rest(settings: StageSettings) -> type[LearnerAtRest] | None:
    """Return what learns a stage on a backbone at rest or on none; None for a network that is trained."""
    if settings.bagging is not None:
        return BagLearner
    if settings.learner == "network":
        return None
    return StackedLearner if settings.learner == STACKED else ClassicalLearner


def _seen(weights: WeightRecord, data: Assembled) -> list[str]:
    """Return a sentence for the report where the backbone may have been pretrained on the very images that test it."""
    seen = [source.dataset.name for source in data.sources if source.dataset.name in weights.pretrained_on]
    return [
        f"{weights.backbone} may have been pretrained on {name}: these images may not be new to it."
        for name in seen
    ]


def _feature_bank(
    origin: StageRecord, settings: StageSettings, data: Assembled, preprocess: Preprocess
) -> Path | None:
    """Return the file for the features that runs may share, or None where the parent has learned."""
    # Only what stage 1 holds is the same in many runs; another stage's weights are its own.
    if isinstance(origin, LearnedRecord):
        return None
    key = stage_key(
        origin.key, origin.weights.model_dump(mode="json"), data.fingerprint, preprocess.key, settings.head.pool, torch.__version__
    )  # fmt: skip
    return cache_folder() / "features" / f"{key}.npy"
