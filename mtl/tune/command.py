"""What `mtl tune` does: plan, run, report, and run the best."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from mtl.config import Experiment
from mtl.progress import Reporter, Steps
from mtl.records import LearnedRecord
from mtl.run.backbone import check_backbones
from mtl.run.rendered import with_rendered_data
from mtl.runs import RunFolder
from mtl.tune.address import storage_address, without_password
from mtl.tune.lost import free_lost_trials
from mtl.tune.objective import inner_splits, run_trial
from mtl.tune.plan import Plan
from mtl.tune.report import RENDERED, write_study_report
from mtl.tune.settings import TuneSettings
from mtl.tune.space import decoded, suggest, with_values
from mtl.tune.study import best_experiment, claim_study, load_plan, open_study, save_plan
from mtl.tune.worker import Counts, Report, count, work

__all__ = ["Tuned", "join_study", "report_study", "start_study"]


@dataclass(frozen=True)
class Tuned:
    """What a study found.

    Attributes:
        folder: Of the study.
        counts: Trials that are done, and those that workers are still at.
        planned: Trials in all.
        number: Of the best trial.
        scores: Of the best trial, by metric.
        values: Of the best trial, by key of the configuration.
        storage: Where the study lives.
        outer: What the best configuration scored on the untouched test part, if it was run.
    """

    folder: Path
    counts: Counts
    planned: int
    number: int
    scores: Mapping[str, float]
    values: Mapping[str, Any]
    storage: str
    outer: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json` can write."""
        return vars(self) | {
            "folder": str(self.folder), "counts": vars(self.counts), "report": str(self.folder / "report.html"),
            "best": str(self.folder / "best.yaml"),
        }  # fmt: skip

    def to_text(self) -> str:
        """Return a few lines for a person."""
        score = ", ".join(f"{name} {value:.4f}" for name, value in self.scores.items())
        best = self.folder / "best.yaml"
        return "\n".join(
            [
                f"{self.counts.to_text(self.planned)}. Best: number {self.number}, {score} (inside the training part)",
                *([self.outer] if self.outer else []),
                f"Storage {self.storage}",
                f"Best configuration {best}  ({shlex.join(['mtl', 'run', '--config', str(best)])})",
                f"Report {self.folder / 'report.html'}",
            ]
        )


def start_study(settings: TuneSettings, runs: Path, *, apply: bool) -> Tuned:
    """Start a study or go on with it, and write its report.

    Args:
        settings: An experiment, and the plan of the study.
        runs: Folder of run folders.
        apply: Run the best configuration at the end.

    Raises:
        MtlError: If storage or run folder are not usable, or the work fails.
        StagesError: If data cannot be read or split.
    """
    plan, experiment = settings.plan(), settings.experiment()
    if plan.storage and "://" not in plan.storage:  # workers join from other folders
        plan = plan.model_copy(update={"storage": str(Path(plan.storage).resolve())})
    folder = runs / str(plan.study)
    plan = claim_study(folder, plan, experiment)
    study = open_study(folder, plan, experiment.seed)
    save_plan(folder, plan, experiment)
    return _run(study, folder, plan, experiment, apply, runs)


def join_study(folder: Path, storage: str | None, runs: Path, *, apply: bool) -> Tuned:
    """Add a worker to a study.

    Args:
        folder: Of the study.
        storage: Where the study lives, in place of what its plan says.
        runs: Folder of run folders.
        apply: Run the best configuration at the end.

    Raises:
        RunError: If there is no study.
    """
    plan, experiment = load_plan(folder, storage)
    return _run(open_study(folder, plan, experiment.seed), folder, plan, experiment, apply, runs)


def report_study(folder: Path, storage: str | None = None) -> Tuned:
    """Write the report of a study.

    Raises:
        RunError: If there is no study.
        FailedError: If no trial of it is done.
    """
    plan, experiment = load_plan(folder, storage)
    study = open_study(folder, plan, experiment.seed)
    free_lost_trials(study, plan.grace)  # or trials of the dead would be shown as running
    return _finish(study, folder, plan, experiment, None)


def _run(
    study: optuna.Study, folder: Path, plan: Plan, experiment: Experiment, apply: bool, runs: Path
) -> Tuned:
    with Reporter() as reporter:
        reporter.say(
            f"Storage {_shown(plan, folder)}; another worker: {shlex.join(['mtl', 'tune', '--join', str(folder)])}"
        )
        check_backbones(experiment)
        filled = with_rendered_data(experiment, reporter)
        run = RunFolder(folder)
        inner = inner_splits(filled, run, plan.folds, reporter)
        study.set_user_attr(RENDERED, any(data.rendered for data in inner.data.values()))

        def score(trial: optuna.Trial, report: Report, steps: Steps) -> tuple[tuple[float, ...], float]:
            chosen = with_values(filled, suggest(trial, plan.space))
            return run_trial(chosen, inner, run, trial.number, plan.metrics, report, steps)

        work(study, plan, score, reporter)
    outer = _apply(study, folder, plan, experiment, runs) if apply else None
    return _finish(study, folder, plan, experiment, outer)


def _finish(
    study: optuna.Study, folder: Path, plan: Plan, experiment: Experiment, outer: str | None
) -> Tuned:
    write_study_report(study, plan, experiment, folder, outer)
    best, _ = best_experiment(study, plan, experiment)
    return Tuned(
        folder, count(study), plan.trials, best.number, dict(zip(plan.metrics, best.values, strict=True)),
        decoded(best.params, plan.space), _shown(plan, folder), outer,
    )  # fmt: skip


def _shown(plan: Plan, folder: Path) -> str:
    return without_password(storage_address(plan.storage, folder))


def _apply(study: optuna.Study, folder: Path, plan: Plan, experiment: Experiment, runs: Path) -> str:
    """Run the best configuration and the one it began from, and compare them on the untouched test part."""
    from mtl.run.execute import execute

    _, best = best_experiment(study, plan, experiment)
    scores = {}
    for label, chosen in (("tuned", best), ("as it was", experiment)):
        named = chosen.model_copy(update={"name": f"{folder.name}-{label.replace(' ', '_')}"})
        result = execute(named, runs, f"mtl run --config {folder / 'best.yaml'}")
        last = next(iter(result.stages.values()))[-1]
        if isinstance(last, LearnedRecord) and last.evaluation:
            scores[label] = last.evaluation.headline
    texts = [
        f"{label}: accuracy {score['accuracy'].value:.3f}, macro F1 {score['macro_f1'].value:.3f} "
        f"[{score['macro_f1'].low:.3f}, {score['macro_f1'].high:.3f}]"
        for label, score in scores.items()
    ]
    gain = scores["tuned"]["macro_f1"].value - scores["as it was"]["macro_f1"].value
    verdict = "Tuning improved" if gain > 0 else "Tuning did not improve"
    return (
        f"{verdict} the untouched test part ({100 * gain:+.1f} points of macro F1; one split and seed). "
        + "; ".join(texts)
    )
