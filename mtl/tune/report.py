"""The report of a study: one HTML file, without network."""

from __future__ import annotations

import io
import math
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from mtl.config import Experiment, dump_config
from mtl.report.figures import INK, PALETTE, new_figure, svg
from mtl.runs import environment, write_text
from mtl.tune.space import decoded
from mtl.tune.storage import BEAT
from mtl.tune.study import TRAINED, Plan, best_experiment

__all__ = ["overhead", "write_study_report"]


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
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    best, chosen = best_experiment(study, plan, experiment)
    chosen = chosen.model_copy(update={"name": f"{experiment.name}-tuned"})
    write_text(
        folder / "best.yaml",
        f"# The best of {len(study.trials)} trials of study {study.study_name}.\n{dump_config(chosen)}",
    )
    trials = study.get_trials(deepcopy=False)
    pictures = {title: Markup(text) for title, text in _figures(study, plan).items()}  # noqa: S704 - our own SVG
    environment_ = Environment(
        loader=PackageLoader("mtl", "report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )  # fmt: skip
    page = environment_.get_template("study.html.j2").render(
        name=study.study_name,
        plan=plan,
        best=best,
        values=decoded(best.params, plan.space),
        outer=outer,
        counts=Counter(_state(trial) for trial in trials),
        rows=[_row(trial, plan) for trial in sorted(trials, key=lambda trial: trial.number)],
        keys=[parameter.key for parameter in plan.space],
        pictures=pictures,
        spent=overhead(study),
        config=dump_config(chosen),
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


def _figures(study: optuna.Study, plan: Plan) -> dict[str, str]:
    from optuna.visualization import matplotlib as views

    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    metric = plan.metrics[0]
    target: Callable[[FrozenTrial], float] | None = (
        (lambda trial: trial.values[0]) if len(plan.metrics) > 1 else None
    )
    found = {"History": _history(study, plan), "Timeline": _timeline(study)}
    if len(plan.metrics) == 2:
        found["Pareto front"] = _pareto(study, plan)
    if len(done) < 2:
        return found
    options: dict[str, Any] = {"target": target, "target_name": metric.replace("_", " ")}
    if len({tuple(sorted(trial.params.items(), key=str)) for trial in done}) > 1:
        importances = _importances(study, target)
        if importances:
            found["Importances (fANOVA)"] = importances
        found["Parallel coordinates"] = _drawn(
            lambda: views.plot_parallel_coordinate(study, **options), 9.0, 4.2
        )
        found["Slice"] = _drawn(lambda: views.plot_slice(study, **options), 12.0, 2.9)
    return found


def _drawn(draw: Callable[[], Any], width: float, height: float) -> str:
    """Return one of Optuna's own matplotlib figures as SVG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    with (
        warnings.catch_warnings(),
        mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "mtl", "font.size": 7}),
    ):
        warnings.simplefilter("ignore")
        pyplot.style.use("default")
        axes = np.atleast_1d(draw())
        figure = axes.flat[0].figure
        figure.set_size_inches(width, height)
        for axis in figure.axes:
            axis.set_title(axis.get_title(), fontsize=8)
            axis.set_xlabel(axis.get_xlabel().rpartition(".")[2], fontsize=7)
            for label in axis.get_xticklabels():
                label.set_rotation(30)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
        pyplot.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _history(study: optuna.Study, plan: Plan) -> str:
    figure, (axis,) = new_figure(1, 6.0, 2.9)
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    numbers = np.array([trial.number for trial in done])
    values = np.array([trial.values[0] for trial in done])
    if len(done):
        best = (
            np.maximum.accumulate(values)
            if study.directions[0].name == "MAXIMIZE"
            else np.minimum.accumulate(values)
        )
        axis.scatter(numbers, values, color=PALETTE[0], s=14, label="trial")
        axis.step(numbers, best, where="post", color=PALETTE[1], label="best so far")
        axis.legend(frameon=False, fontsize=7.5)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.PRUNED,)):
        if trial.intermediate_values:
            axis.scatter(
                trial.number, max(trial.intermediate_values.values()), color="#bbbbbb", s=10, marker="x"
            )
    axis.set(xlabel="trial (crosses: pruned)", ylabel=plan.metrics[0].replace("_", " "))
    return svg(figure)


def _timeline(study: optuna.Study) -> str:
    figure, (axis,) = new_figure(1, 6.0, 2.9)
    colours = {
        "done": PALETTE[0],
        "pruned": "#bbbbbb",
        "failed": PALETTE[1],
        "interrupted": PALETTE[4],
        "running": PALETTE[2],
    }
    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.datetime_start]
    begin = min((trial.datetime_start.timestamp() for trial in trials if trial.datetime_start), default=0.0)
    for trial in trials:
        start = trial.datetime_start.timestamp() if trial.datetime_start else begin
        end = (
            trial.datetime_complete.timestamp()
            if trial.datetime_complete
            else float(trial.user_attrs.get(BEAT, start))
        )
        axis.barh(
            trial.number, (end - start) / 60, left=(start - begin) / 60, color=colours.get(_state(trial), INK)
        )
    for name in dict.fromkeys(_state(trial) for trial in trials):
        axis.barh([], [], color=colours.get(name, INK), label=name)
    axis.invert_yaxis()
    axis.set(xlabel="minutes", ylabel="trial")
    axis.legend(frameon=False, fontsize=7.5)
    return svg(figure)


def _importances(study: optuna.Study, target: Callable[[FrozenTrial], float] | None) -> str | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = optuna.importance.get_param_importances(
                study, target=target, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
            )
    except (ValueError, RuntimeError):  # all values equal: nothing matters
        return None
    names = list(found)[::-1]
    figure, (axis,) = new_figure(1, 6.0, 0.6 + 0.28 * len(names))
    axis.barh(range(len(names)), [found[name] for name in names], color=PALETTE[0])
    axis.set_yticks(range(len(names)), names)
    axis.set_xlabel("share of the variance")
    return svg(figure)


def _pareto(study: optuna.Study, plan: Plan) -> str:
    figure, (axis,) = new_figure(1, 4.6, 3.4)
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    front = sorted(study.best_trials, key=lambda trial: trial.values[1])
    axis.scatter(
        [t.values[1] for t in done], [t.values[0] for t in done], color="#bbbbbb", s=14, label="trial"
    )
    axis.plot(
        [t.values[1] for t in front],
        [t.values[0] for t in front],
        color=PALETTE[1],
        marker="o",
        markersize=4,
        label="front",
    )
    for trial in front:
        axis.annotate(
            str(trial.number),
            (trial.values[1], trial.values[0]),
            fontsize=7,
            xytext=(4, 4),
            textcoords="offset points",
        )
    axis.set(xlabel=plan.metrics[1].replace("_", " "), ylabel=plan.metrics[0].replace("_", " "))
    axis.legend(frameon=False, fontsize=7.5)
    return svg(figure)


def _state(trial: FrozenTrial) -> str:
    if trial.state == TrialState.FAIL:
        return "failed" if "reason" in trial.user_attrs else "interrupted"
    return {"COMPLETE": "done", "PRUNED": "pruned", "RUNNING": "running"}.get(
        trial.state.name, trial.state.name.lower()
    )


def _row(trial: FrozenTrial, plan: Plan) -> Sequence[str]:
    values = trial.values if trial.state == TrialState.COMPLETE else [math.nan] * len(plan.metrics)
    shown = decoded(trial.params, plan.space)
    seconds = trial.duration.total_seconds() if trial.duration else math.nan
    return (
        str(trial.number), _state(trial), *("–" if math.isnan(value) else f"{value:.4f}" for value in values),
        "–" if math.isnan(seconds) else f"{seconds:.0f}",
        *(f"{shown[p.key]:.3g}" if isinstance(shown.get(p.key), float) else str(shown.get(p.key, "–")) for p in plan.space),
        str(trial.user_attrs.get("reason", "")),
    )  # fmt: skip
