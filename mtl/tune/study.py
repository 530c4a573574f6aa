"""Run a study: trials one after the other, by as many workers as join; stop it and start it again."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from mtl.config import Experiment, load_config
from mtl.errors import ConfigError, RunError
from mtl.loading import dump_settings
from mtl.progress import Reporter
from mtl.run.rendered import with_rendered_data
from mtl.runs import RunFolder, read_json, write_json, write_text
from mtl.tune.space import Parameter, Space, decoded, suggest, with_values
from mtl.tune.storage import beating, free_stuck_trials, open_storage, retry
from segmentation.errors import TrainingError
from stages.errors import StagesError

__all__ = [
    "PRUNERS",
    "SAMPLERS",
    "Plan",
    "best_experiment",
    "counted",
    "load_plan",
    "open_study",
    "run_study",
    "save_plan",
]

SAMPLERS: Mapping[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True),
    "cmaes": lambda seed: optuna.samplers.CmaEsSampler(seed=seed),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "nsga2": lambda seed: optuna.samplers.NSGAIISampler(seed=seed),
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed),
}
PRUNERS: Mapping[str, Callable[[], optuna.pruners.BasePruner]] = {
    "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1),
    "hyperband": optuna.pruners.HyperbandPruner,
    "halving": optuna.pruners.SuccessiveHalvingPruner,
    "none": optuna.pruners.NopPruner,
}
INTERRUPTED = "interrupted"
TRAINED = "trained"
"""Seconds of a trial that training and prediction took."""


@dataclass(frozen=True)
class Plan:
    """Everything that workers of one study must agree on.

    Attributes:
        stage: `2`, `3` or `chain`: whose settings are searched.
        trials: In all, by all workers.
        folds: Inner folds; 1 for an inner hold-out.
        metrics: One, or two for a Pareto front.
        sampler: A key of `SAMPLERS`.
        pruner: A key of `PRUNERS`.
        seed: Of the sampler.
        storage: Database URL, journal file, or None for `study.sqlite` in the study's folder.
        space: What is searched.
    """

    stage: str
    trials: int
    folds: int
    metrics: tuple[str, ...]
    sampler: str
    pruner: str
    seed: int
    storage: str | None
    space: Space

    @property
    def directions(self) -> list[str]:
        """`maximize` or `minimize` for every metric."""
        from mtl.tune.objective import METRICS

        return [METRICS[metric] for metric in self.metrics]

    def check(self) -> None:
        """Refuse what cannot be run.

        Raises:
            ConfigError: One line that names the flag.
        """
        from mtl.tune.objective import METRICS

        for flag, value, known in (
            ("--stage", self.stage, ("2", "3", "chain")),
            ("--sampler", self.sampler, tuple(SAMPLERS)),
            ("--pruner", self.pruner, tuple(PRUNERS)),
            *(("--metric", metric, tuple(METRICS)) for metric in self.metrics),
        ):
            if value not in known:
                raise ConfigError(
                    f"Expected `{flag}` to be one of {', '.join(known)}, but got {value!r}; do choose one"
                )
        if not 1 <= len(set(self.metrics)) == len(self.metrics) <= 2:
            raise ConfigError(
                f"Expected `--metric` to be one or two different ones, but got {', '.join(self.metrics)}; do change it"
            )
        if len(self.metrics) == 2 and self.sampler in ("cmaes",):
            raise ConfigError(
                "Expected `--sampler` to be tpe, nsga2, gp or random for two metrics, but got 'cmaes'; do choose one"
            )
        if self.trials < 1 or self.folds < 1:
            raise ConfigError(
                f"Expected `--trials` and `--folds` to be 1 or more, but got {self.trials} and {self.folds}; do change it"
            )


def save_plan(folder: Path, plan: Plan, experiment: Experiment) -> None:
    """Write down what joining workers need: `plan.json` and `config.yaml`.

    Raises:
        ConfigError: If the folder holds another study.
    """
    value = json.loads(json.dumps(vars(plan) | {"space": [vars(one) for one in plan.space]}))
    path = folder / "plan.json"
    if path.is_file():
        known = read_json(path) | {"trials": plan.trials}
        same = known == value and (folder / "config.yaml").read_text("utf-8") == dump_settings(experiment)
        if not same:
            raise ConfigError(
                f"Expected {folder} to hold the same study, but its space, stage, data or settings differ; do choose another --study"
            )
    write_json(path, value)
    write_text(folder / "config.yaml", dump_settings(experiment))


def load_plan(folder: Path) -> tuple[Plan, Experiment]:
    """Read back what `save_plan` wrote.

    Raises:
        RunError: If there is no study.
    """
    if not (folder / "plan.json").is_file():
        raise RunError(
            f"Expected {folder} to be the folder of a study, but it has no plan.json; do give the folder that `mtl tune` printed"
        )
    value = read_json(folder / "plan.json")
    space = tuple(
        Parameter(
            **(one | {"choices": tuple(tuple(c) if isinstance(c, list) else c for c in one["choices"])})
        )
        for one in value["space"]
    )
    plan = Plan(**(value | {"metrics": tuple(value["metrics"]), "space": space}))
    return plan, load_config(str(folder / "config.yaml"))


def open_study(folder: Path, plan: Plan) -> optuna.Study:
    """Open the study of a folder, made if missing.

    Raises:
        ConfigError: If the storage cannot be opened.
    """
    from mtl.tune.objective import METRICS

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = open_storage(plan.storage, folder)
    # Every worker needs another seed, or all would propose the same; alone, a resumed study goes on differently than it began.
    seed = plan.seed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(
            study_name=folder.name, storage=storage, load_if_exists=True, directions=[METRICS[m] for m in plan.metrics],
            pruner=PRUNERS[plan.pruner]() if len(plan.metrics) == 1 else optuna.pruners.NopPruner(),
        )  # fmt: skip
        study.sampler = SAMPLERS[plan.sampler](seed + len(study.get_trials(deepcopy=False)))
        study.set_metric_names([metric.replace("_", " ") for metric in plan.metrics])
    return study


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that count: done, pruned or failed by themselves; not those that were interrupted or whose worker died."""
    return [
        trial
        for trial in study.get_trials(
            deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        )
        if trial.state != TrialState.FAIL or "reason" in trial.user_attrs
    ]


def run_study(folder: Path, plan: Plan, experiment: Experiment, reporter: Reporter) -> optuna.Study:
    """Run trials until the study has as many as planned, together with any other worker.

    Args:
        folder: Of the study.
        plan: What is searched, and how.
        experiment: The configuration that trials change.
        reporter: Shows progress, and a line for every trial.

    Raises:
        MtlError: If the study cannot be run.
        StagesError: If the data cannot be read or split.
        KeyboardInterrupt: If stopped; the running trial is recorded as interrupted and tried again by the next worker.
    """
    from mtl.tune.objective import inner_splits, run_trial

    plan.check()
    study = open_study(folder, plan)
    run = RunFolder(folder)
    experiment = with_rendered_data(experiment, reporter)
    inner = inner_splits(experiment, run, plan.folds, reporter)
    while True:
        for number in free_stuck_trials(study):
            reporter.say(f"trial {number} was stuck: its worker shows no life; its values are tried again")
        done = len(counted(study))
        reporter.step("trials", done, plan.trials)
        running = len(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))
        if done + running >= plan.trials:
            break
        trial = study.ask()
        beat = beating(trial)
        steps = _Steps(reporter, beat)

        def report(
            step: int, score: float, trial: optuna.Trial = trial, beat: Callable[[], None] = beat
        ) -> None:
            beat()
            if len(plan.metrics) == 1:
                trial.report(score, step)
                if trial.should_prune():
                    raise optuna.TrialPruned

        started = time.perf_counter()
        try:
            chosen = with_values(experiment, suggest(trial, plan.space))
            values, trained = run_trial(chosen, inner, run, trial.number, plan.metrics, report, steps)
            trial.set_user_attr(TRAINED, trained)
            study.tell(trial, list(values))
            said = "  ".join(f"{name} {value:.4f}" for name, value in zip(plan.metrics, values, strict=True))
        except optuna.TrialPruned:
            study.tell(trial, state=TrialState.PRUNED)
            said = "pruned"
        except KeyboardInterrupt:
            trial.set_user_attr(INTERRUPTED, True)
            study.tell(trial, state=TrialState.FAIL)
            retry(study, study.trials[trial.number])
            raise
        except (StagesError, TrainingError, MemoryError, RuntimeError) as error:
            # One trial's values may need more memory than there is, or diverge; the others go on.
            reason = " ".join(str(error).split())[:500] or type(error).__name__
            trial.set_user_attr("reason", reason)
            study.tell(trial, state=TrialState.FAIL)
            said = f"failed: {reason}"
        reporter.say(
            f"trial {trial.number}  {said}  ({time.perf_counter() - started:.0f} s)  {_short(trial.params)}"
        )
    reporter.step("trials", min(done, plan.trials), plan.trials)
    _check_any(study)
    return study


def best_experiment(
    study: optuna.Study, plan: Plan, experiment: Experiment
) -> tuple[FrozenTrial, Experiment]:
    """Return the best trial and the configuration that it stands for; of a Pareto front the one best by the first metric.

    Raises:
        RunError: If no trial is done.
    """
    _check_any(study)
    front = study.best_trials
    sign = 1 if study.directions[0] == optuna.study.StudyDirection.MAXIMIZE else -1
    best = max(front, key=lambda trial: sign * trial.values[0])
    return best, with_values(experiment, decoded(best.params, plan.space))


def _check_any(study: optuna.Study) -> None:
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not done:
        reasons = [
            trial.user_attrs["reason"]
            for trial in study.get_trials(deepcopy=False)
            if "reason" in trial.user_attrs
        ]
        why = f"; the last one failed: {reasons[-1]}" if reasons else ""
        raise RunError(
            f"Expected the study {study.study_name} to have a trial that is done, but it has none{why}; do run more trials"
        )


class _Steps:
    """Pass a trial's progress on, and keep its heart beating."""

    def __init__(self, reporter: Reporter, beat: Callable[[], None]) -> None:
        self.reporter = reporter
        self.beat = beat

    def step(self, name: str, done: int, total: int, text: str = "") -> None:
        """Tell of a step."""
        self.beat()
        self.reporter.step(
            "trial", min(done, total - 1) if total > 1 else 0, max(total, 1), f"{name}  {text}"
        )


def _short(values: Mapping[str, Any]) -> str:
    return " ".join(
        f"{key.rpartition('.')[2]}={value:.3g}"
        if isinstance(value, float)
        else f"{key.rpartition('.')[2]}={value}"
        for key, value in values.items()
    )
