"""Run a paper: its networks, its ensemble and colour alone, each on splits over groups and on the paper's own over images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtl.config import Experiment
from mtl.ensemble.command import make_ensemble
from mtl.ensemble.settings import EnsembleSettings
from mtl.progress import OnOneBar, Reporter
from mtl.reproduce.plan import KINDS, Kind, Sizes, experiment_for, scale
from mtl.reproduce.published import Paper
from mtl.reproduce.scores import Said, said_of
from mtl.reproduce.settings import ReproduceSettings
from mtl.run.backbone import check_backbones, weights_lacking
from mtl.run.chain import prepare, run_experiment
from mtl.run.rendered import with_rendered_data
from mtl.run.scoring import group_name
from mtl.run.stage import imagenet_stage
from mtl.runs import Predictions, RunFolder, StageFolder, stage_key
from stages.assemble import Assembled, make_task
from stages.errors import ModelError
from stages.learners.classical.colour import colour_baselines
from stages.preprocess import Preprocess
from stages.splits.chains import Learned
from stages.splits.split import Split

__all__ = ["COLOUR", "Done", "PaperRun"]

COLOUR = "colour alone"
_FOREST = "random forest on colour histogram"


@dataclass
class Done:
    """What was run.

    Attributes:
        said: What every system said, by system, kind and split.
        votes: Of the ensemble's members, by kind: a list over splits of their predictions in order.
        sentences: What the ensembles' reports say of choosing on the test part, by kind.
        data: What the last stage learned from, by kind, in words.
        rendered: Whether its images are rendered smears.
    """

    said: dict[str, dict[Kind, list[Said]]] = field(default_factory=dict)
    votes: dict[Kind, list[tuple[Predictions, ...]]] = field(default_factory=dict)
    sentences: dict[Kind, list[str]] = field(default_factory=dict)
    data: dict[Kind, str] = field(default_factory=dict)
    rendered: bool = False

    def add(self, system: str, kind: Kind, said: Said) -> None:
        """Add a split."""
        self.said.setdefault(system, {kind: [] for kind in KINDS})[kind].append(said)


class PaperRun:
    """One paper in one folder.

    Args:
        name: Of the paper.
        paper: What it prints.
        settings: Of the command.
        roots: Folder of the data set of every stage; None for rendered smears.
        folder: Where to; finished stages in it are not trained again.
        minutes: Budget of this paper; 0 for its own sizes.
        reporter: Shows progress.
    """

    def __init__(
        self, name: str, paper: Paper, settings: ReproduceSettings, roots: Mapping[str, Path | None], folder: Path,
        minutes: float, reporter: Reporter,
    ) -> None:  # fmt: skip
        self.name, self.paper, self.settings, self.roots = name, paper, settings, roots
        self.folder, self.reporter = folder, reporter
        whole = Sizes(None, None, None, 1, float("nan"))
        self.base = experiment_for(paper, roots, whole, "groups", 0, settings.seed)
        self.backbones, self.missing = self._had()
        self.sizes = scale(list(self.backbones.values()), self.base, minutes)
        self.backbones = self._fitting()
        self.members = self._members()

    def run(self, command: str) -> Done:
        """Run everything; what is finished is reused.

        Args:
            command: As typed.

        Raises:
            StagesError: If data or training fail.
            KeyboardInterrupt: If stopped; the same call goes on.
        """
        done, bar = Done(), f"reproduce {self.name}"
        total = len(KINDS) * self.sizes.splits * (len(self.backbones) + 1)
        step = 0
        for kind in KINDS:
            for split in range(self.sizes.splits):
                self.reporter.step(bar, step, total, f"{kind}, split {split + 1}: {COLOUR}")
                done.add(COLOUR, kind, self._colour(kind, split, done))
                step += 1
                stages: dict[str, StageFolder] = {}
                for system, backbone in self.backbones.items():
                    self.reporter.step(bar, step, total, f"{kind}, split {split + 1}: {system}")
                    stages[system] = self._network(kind, split, backbone)
                    done.add(system, kind, said_of(stages[system].predictions()))
                    step += 1
                if self.members:
                    self._ensemble(kind, split, [stages[one] for one in self.members], done, command)
        self.reporter.step(bar, total, total)
        return done

    @property
    def ensemble(self) -> str:
        """What the ensemble is called; empty where there is none."""
        if self.paper.ensemble is None or not self.members:
            return ""
        return " + ".join(self.members)

    def _experiment(self, kind: Kind, split: int, **more: Any) -> Experiment:
        found = experiment_for(self.paper, self.roots, self.sizes, kind, split, self.settings.seed, **more)
        return with_rendered_data(found, self.reporter)

    def _had(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the backbones whose weights can be had, by the paper's name, and why the others cannot."""
        systems, weights = self.paper.systems, self.settings.weights
        base = self.base.model_copy(update={"weights": weights})
        run = RunFolder(self.folder / "runs" / "weights", stages=self.folder / "stages")
        bar = OnOneBar(self.reporter, f"weights for {self.name}")
        if weights == "none" and self.settings.stand_in:
            missing = dict.fromkeys(systems, "not pretrained: --weights none")
        else:
            lacking = weights_lacking(base, systems.values(), run, bar)
            missing = {system: lacking[name] for system, name in systems.items() if name in lacking}
        found = {system: name for system, name in systems.items() if system not in missing}
        if missing:
            for name in self.settings.stand_in:
                imagenet_stage(base.model_copy(update={"backbone": name}), run, bar, weights)
                found[f"{name} (stand-in)"] = name
        return found, missing

    def _fitting(self) -> dict[str, str]:
        """Return the backbones that take the planned size; the others are told of."""
        kept = {}
        for system, backbone in self.backbones.items():
            try:
                check_backbones(self._sized(backbone))
            except ModelError as error:
                self.missing[system] = str(error)
            else:
                kept[system] = backbone
        return kept

    def _sized(self, backbone: str) -> Experiment:
        return experiment_for(
            self.paper, self.roots, self.sizes, "groups", 0, self.settings.seed, backbone=backbone
        )

    def _members(self) -> tuple[str, ...]:
        if self.paper.ensemble is None:
            return ()
        spare = [name for name in self.backbones if name not in self.paper.systems]
        members = [
            one if one in self.backbones else spare.pop(0) if spare else ""
            for one in self.paper.ensemble.members
        ]
        return tuple(members) if all(members) else ()

    def _place(self, kind: Kind, split: int, what: str) -> RunFolder:
        return RunFolder(self.folder / "runs" / f"{kind}-{split}-{what}", stages=self.folder / "stages")

    def _network(self, kind: Kind, split: int, backbone: str) -> StageFolder:
        experiment = self._experiment(kind, split, backbone=backbone, weights=self.settings.weights)
        run = self._place(kind, split, backbone.replace("/", "_").replace(":", "_"))
        bar = OnOneBar(self.reporter, f"{self.name}: {kind}, split {split + 1}", backbone)
        (stages,) = run_experiment(experiment, run, "", bar).values()
        return stages[-1]

    def _prepared(self, kind: Kind, split: int) -> tuple[Experiment, Assembled, Split]:
        experiment = self._experiment(kind, split)
        bar = OnOneBar(self.reporter, f"{self.name}: {kind}, split {split + 1}", COLOUR)
        data, splits = prepare(experiment, self._place(kind, split, "colour"), bar, Learned())
        last = max(data)
        return experiment, data[last], splits[last]

    def _colour(self, kind: Kind, split: int, done: Done) -> Said:
        import numpy as np

        experiment, data, parts = self._prepared(kind, split)
        stage = experiment.stage(experiment.stages[-1])
        task = make_task(data, parts, Preprocess.of_stage(stage))
        train, test = task.rows["train"], task.rows["test"]
        votes = colour_baselines(
            task.images[train], task.labels[train], task.images[test], len(task.classes), seed=experiment.seed
        )[_FOREST]
        samples = [data.samples[row] for row in test]
        done.rendered |= data.rendered
        done.data[kind] = (
            f"{data.name}{' (rendered smears, not patient data)' if data.rendered else ''}: {len(train)} images train, {len(test)} test; "
            f"groups: {data.unit}; {parts.method}"
        )
        said = votes.argmax(axis=1).astype(np.int64)
        groups = tuple(map(group_name, samples))
        return Said(data.classes, task.labels[test], said, groups)

    def _ensemble(
        self, kind: Kind, split: int, stages: Sequence[StageFolder], done: Done, command: str
    ) -> None:
        if self.paper.ensemble is None:
            return
        key = stage_key([stage.path.name for stage in stages])[:6]  # another budget has other members
        settings = EnsembleSettings(
            name=f"{kind}-{split}-ensemble-{key}", rule=self.paper.ensemble.rule, resamples=self.settings.resamples,
            seed=self.settings.seed, copies=False,
        )  # fmt: skip
        bar = OnOneBar(self.reporter, f"{self.name}: {kind}, split {split + 1}", "ensemble")
        made = make_ensemble([stage.path for stage in stages], settings, self.folder / "runs", command, bar)
        main = made.content.main
        done.add(self.ensemble, kind, said_of(main.test, main.chosen.threshold if main.chosen else 0.0))
        done.votes.setdefault(kind, []).append(tuple(stage.predictions() for stage in stages))
        done.sentences.setdefault(kind, []).append(made.content.selection.sentence)
