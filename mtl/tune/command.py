"""What `mtl tune` does: plan, run, report, and run the best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from mtl.config import Experiment, load_config
from mtl.errors import ConfigError
from mtl.progress import Reporter
from mtl.records import LearnedRecord
from mtl.tune.report import write_study_report
from mtl.tune.space import decoded, default_space, read_space
from mtl.tune.storage import storage_text, without_password
from mtl.tune.study import Plan, best_experiment, load_plan, open_study, run_study, save_plan

__all__ = ["Tuned", "join_study", "report_study", "start_study"]


@dataclass(frozen=True)
class Tuned:
    """What a study found.

    Attributes:
        folder: Of the study.
        trials: How many it has.
        number: Of the best trial.
        scores: Of the best trial, by metric.
        values: Of the best trial, by key of the configuration.
        storage: Where the study lives.
        outer: What the best configuration scored on the untouched test part, if it was run.
    """

    folder: Path
    trials: int
    number: int
    scores: Mapping[str, float]
    values: Mapping[str, Any]
    storage: str
    outer: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json` can write."""
        return vars(self) | {"folder": str(self.folder), "report": str(self.folder / "report.html")}

    def to_text(self) -> str:
        """Return a few lines for a person."""
        score = ", ".join(f"{name} {value:.4f}" for name, value in self.scores.items())
        return "\n".join(
            [
                f"Best of {self.trials} trials: number {self.number}, {score} (inside the training part)",
                *([self.outer] if self.outer else []),
                f"Storage {self.storage}",
                f"Best configuration {self.folder / 'best.yaml'}  (mtl run --config {self.folder / 'best.yaml'})",
                f"Report {self.folder / 'report.html'}",
            ]
        )


def start_study(
    config: str,
    given: Mapping[str, Any],
    sets: Iterable[str],
    runs: Path,
    name: str | None,
    *,
    apply: bool,
    search: Path | None,
    **more: Any,
) -> Tuned:
    """Start a study or go on with it, and write its report.

    Args:
        config: YAML file or known name.
        given: Dotted keys and values, as flags give them.
        sets: `a.b=c` texts.
        runs: Folder of run folders.
        name: Of the study; the configuration's with `-study` if None.
        apply: Run the best configuration at the end.
        search: File with the search space, or None for the default one.
        more: The other fields of `Plan`.

    Raises:
        MtlError: If flags, space, storage or run folder are not usable.
        StagesError: If data cannot be read or split.
    """
    stage = more["stage"]
    chain = {"2": "1,2"}.get(stage)
    experiment = load_config(config, {**given, "against": (), **({"stages": chain} if chain else {})}, sets)
    if stage in ("2", "3") and experiment.stages[-1] != int(stage):
        raise ConfigError(
            f"Expected the chain to end with stage {stage}, but it is {','.join(map(str, experiment.stages))}; do change --stage"
        )
    if more["storage"] and "://" not in more["storage"]:
        more["storage"] = str(Path(more["storage"]).resolve())  # workers join from other folders
    plan = Plan(seed=experiment.seed, space=(), **more)
    plan.check()
    space = read_space(search, experiment) if search else default_space(experiment, stage)
    plan = Plan(**(vars(plan) | {"space": space}))
    folder = runs / (name or f"{experiment.name}-study")
    storage_text(plan.storage, folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_plan(folder, plan, experiment)
    return _run(folder, plan, experiment, apply, runs)


def join_study(folder: Path, apply: bool, runs: Path) -> Tuned:
    """Add a worker to a study.

    Raises:
        RunError: If there is no study.
    """
    plan, experiment = load_plan(folder)
    return _run(folder, plan, experiment, apply, runs)


def report_study(folder: Path) -> Tuned:
    """Write the report of a study.

    Raises:
        RunError: If there is no study, or no trial of it is done.
    """
    plan, experiment = load_plan(folder)
    return _finish(open_study(folder, plan), folder, plan, experiment, None)


def _run(folder: Path, plan: Plan, experiment: Experiment, apply: bool, runs: Path) -> Tuned:
    with Reporter() as reporter:
        reporter.say(
            f"Storage {without_password(storage_text(plan.storage, folder))}; another worker: mtl tune --join {folder}"
        )
        study = run_study(folder, plan, experiment, reporter)
    outer = _apply(study, folder, plan, experiment, runs) if apply else None
    return _finish(study, folder, plan, experiment, outer)


def _finish(
    study: optuna.Study, folder: Path, plan: Plan, experiment: Experiment, outer: str | None
) -> Tuned:
    write_study_report(study, plan, experiment, folder, outer)
    best, _ = best_experiment(study, plan, experiment)
    return Tuned(
        folder, len(study.get_trials(deepcopy=False)), best.number, dict(zip(plan.metrics, best.values, strict=True)),
        decoded(best.params, plan.space), without_password(storage_text(plan.storage, folder)), outer,
    )  # fmt: skip


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
