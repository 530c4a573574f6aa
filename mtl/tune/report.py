"""The report of a study: one HTML file, without network."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from mtl.config import Experiment
from mtl.loading import dump_settings
from mtl.report.page import render_page
from mtl.runs import environment
from mtl.tune.figures import importances_note, study_figures, trial_state
from mtl.tune.plan import Plan, short_key
from mtl.tune.space import decoded
from mtl.tune.study import best_experiment
from mtl.tune.worker import TRAINED, count
from segmentation.files import write_text

__all__ = ["RENDERED", "overhead", "write_study_report"]

RENDERED = "rendered"
"""Whether images of the study are rendered smears."""


def write_study_report(
    study: optuna.Study, plan: Plan, experiment: Experiment, folder: Path, outer: str | None = None
) -> Path:
    """Write `report.html` and `best.yaml` of a study.

    Args:
        study: With a trial that is done.
        plan: Of the study.
        experiment: The configuration that trials change.
        folder: Of the study.
        outer: What the best configuration scored on the untouched test part, if it was run.

    Returns:
        The report.

    Raises:
        RunError: If no trial is done.
    """
    from markupsafe import Markup

    best, chosen = best_experiment(study, plan, experiment)
    chosen = chosen.model_copy(update={"name": f"{experiment.name}-tuned"})
    write_text(
        folder / "best.yaml",
        f"# The best of study {study.study_name}, {count(study).to_text(plan.trials)}.\n{dump_settings(chosen)}",
    )
    trials = study.get_trials(deepcopy=False)
    pictures = {title: Markup(text) for title, text in study_figures(study, plan).items()}  # noqa: S704 - our own SVG
    page = render_page(
        "mtl.tune",
        name=study.study_name,
        plan=plan,
        best=best,
        values=decoded(best.params, plan.space),
        outer=outer,
        rendered=study.user_attrs.get(RENDERED, False),
        progress=count(study).to_text(plan.trials),
        again=shlex.join(["mtl", "run", "--config", str(folder / "best.yaml")]),
        importances=importances_note(study),
        counts=Counter(trial_state(trial) for trial in trials),
        rows=[_row(trial, plan) for trial in sorted(trials, key=lambda trial: trial.number)],
        keys=[short_key(key).replace("_", " ") for key in plan.space],
        pictures=pictures,
        spent=overhead(study),
        config=dump_settings(chosen),
        environment=environment(),
    )
    write_text(folder / "report.html", page)
    return folder / "report.html"


def overhead(study: optuna.Study) -> float | None:
    """Return the share of the time of a study that is neither training nor prediction: sampling, storage, bookkeeping.

    None unless all trials are done, one after the other: a pruned trial does not say how long it trained, and workers overlap.
    """
    trials = study.get_trials(deepcopy=False)
    spans = sorted(
        (
            trial.datetime_start.timestamp(),
            trial.datetime_complete.timestamp(),
            float(trial.user_attrs.get(TRAINED, math.nan)),
        )
        for trial in trials
        if trial.datetime_start and trial.datetime_complete
    )
    if len(spans) < 2 or len(spans) < len(trials) or any(b[0] < a[1] for a, b in pairwise(spans)):
        return None
    share = 1 - sum(trained for _, _, trained in spans) / (spans[-1][1] - spans[0][0])
    return None if math.isnan(share) else share


def _row(trial: FrozenTrial, plan: Plan) -> Sequence[str]:
    values = trial.values if trial.state == TrialState.COMPLETE else [math.nan] * len(plan.metrics)
    shown = decoded(trial.params, plan.space)
    seconds = trial.duration.total_seconds() if trial.duration else math.nan
    return (
        str(trial.number), trial_state(trial), *("–" if math.isnan(value) else f"{value:.4f}" for value in values),
        "–" if math.isnan(seconds) else f"{seconds:.0f}",
        *(f"{shown[key]:.3g}" if isinstance(shown.get(key), float) else str(shown.get(key, "–")) for key in plan.space),
        str(trial.user_attrs.get("reason", "")),
    )  # fmt: skip
