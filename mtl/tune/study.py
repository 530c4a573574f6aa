"""A study and its folder: `plan.json`, `config.yaml`, and the storage that they name."""

from __future__ import annotations

import warnings
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState
from pydantic import ValidationError

from mtl.config import Experiment, load_config
from mtl.errors import ConfigError, FailedError, RunError
from mtl.loading import dump_settings
from mtl.tune.address import without_password
from mtl.tune.plan import METRICS, Plan
from mtl.tune.sampling import PRUNERS, SeededByTrial
from mtl.tune.space import decoded, with_values
from mtl.tune.storage import open_storage
from mtl.tune.worker import count
from segmentation.files import write_text

__all__ = ["best_experiment", "check_same_study", "load_plan", "open_study", "save_plan"]


def check_same_study(folder: Path, plan: Plan, experiment: Experiment) -> Plan:
    """Return the plan, with the storage that the folder names if none is given.

    Raises:
        ConfigError: If the folder holds another study.
    """
    if not (folder / "plan.json").is_file():
        return plan
    known, configured = load_plan(folder)
    if not plan.same_study(known) or dump_settings(configured) != dump_settings(experiment):
        raise ConfigError(
            f"Expected {folder} to hold the same study, but its space, stage, data or settings differ; do choose another --study"
        )
    return plan if plan.storage else plan.model_copy(update={"storage": known.storage})


def save_plan(folder: Path, plan: Plan, experiment: Experiment) -> None:
    """Write down what joining workers need: `plan.json`, without the password of its storage, and `config.yaml`."""
    storage = without_password(plan.storage) if plan.storage else None
    write_text(
        folder / "plan.json", plan.model_copy(update={"storage": storage}).model_dump_json(indent=1) + "\n"
    )
    write_text(folder / "config.yaml", dump_settings(experiment))


def load_plan(folder: Path, storage: str | None = None) -> tuple[Plan, Experiment]:
    """Read back what `save_plan` wrote.

    Args:
        folder: Of the study.
        storage: Where the study lives, in place of what is written down: with a password, or at a new address.

    Raises:
        RunError: If there is no study.
    """
    path = folder / "plan.json"
    if not path.is_file():
        raise RunError(
            f"Expected {folder} to be the folder of a study, but it has no plan.json; do give the folder that `mtl tune` printed"
        )
    try:
        plan = Plan.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise RunError(
            f"Expected {path} to be the plan of a study, but it cannot be read; do start the study again in another folder"
        ) from error
    if storage:
        plan = plan.model_copy(update={"storage": storage})
    return plan, load_config(str(folder / "config.yaml"))


def open_study(folder: Path, plan: Plan, seed: int) -> optuna.Study:
    """Open the study of a folder, made if missing.

    Args:
        folder: Of the study.
        plan: Of the study.
        seed: Of the experiment; the sampler's.

    Raises:
        ConfigError: If the storage cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = open_storage(plan.storage, folder, plan.grace)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(
            study_name=plan.study, storage=storage, load_if_exists=True, directions=[METRICS[m] for m in plan.metrics],
            sampler=SeededByTrial(plan.sampler, seed),
            pruner=PRUNERS[plan.pruner]() if len(plan.metrics) == 1 else optuna.pruners.NopPruner(),
        )  # fmt: skip
        study.set_metric_names([metric.replace("_", " ") for metric in plan.metrics])
    return study


def best_experiment(
    study: optuna.Study, plan: Plan, experiment: Experiment
) -> tuple[FrozenTrial, Experiment]:
    """Return the best trial and the configuration that it stands for; of a Pareto front the one best by the first metric.

    Raises:
        FailedError: If no trial is done.
    """
    _check_any(study, plan)
    front = study.best_trials
    sign = 1 if study.directions[0] == optuna.study.StudyDirection.MAXIMIZE else -1
    best = max(front, key=lambda trial: sign * trial.values[0])
    return best, with_values(experiment, decoded(best.params, plan.space))


def _check_any(study: optuna.Study, plan: Plan) -> None:
    if study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        return
    trials, counts = study.get_trials(deepcopy=False), count(study)
    reasons = [trial.user_attrs["reason"] for trial in trials if "reason" in trial.user_attrs]
    why = f"; the last one failed: {reasons[-1]}" if reasons else ""
    if counts.running:
        then = "wait for those that run, then `mtl tune report` writes the report"
    elif counts.done < plan.trials:
        then = "start the same `mtl tune` again"
    else:
        then = "mend that and raise --trials, or choose another --study"
    raise FailedError(
        f"Expected the study {study.study_name} to have a trial with a score, but got {counts.to_text(plan.trials)}{why}; do {then}"
    )
