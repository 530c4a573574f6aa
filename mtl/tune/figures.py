"""Figures of a study, each inline SVG.

Importances are Optuna's own plot. The others are ours, because Optuna's show less: its history has no pruned trials and draws the
best value as a slope where it jumps; its timeline calls a trial that failed and one whose worker died the same; its Pareto front
does not number its trials; its parallel coordinates and slices print the labels of eight keys over one another.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
from optuna.trial import FrozenTrial, TrialState

from mtl.report.figures import INK, PALETTE, legend_above, new_figure, svg
from mtl.tune.plan import Parameter, Plan, short_key

__all__ = ["importances_note", "study_figures", "trial_state"]

_COLOURS = "viridis"
_ENOUGH = 10
"""Trials from which on shares of the variance mean something."""
_COLUMNS = 4


def study_figures(study: optuna.Study, plan: Plan) -> dict[str, str]:
    """Return the figures of a study as SVG, by title: those that need two different trials only where there are."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    target: Callable[[FrozenTrial], float] | None = (
        (lambda trial: trial.values[0]) if len(plan.metrics) > 1 else None
    )
    found = {"History": _history(study, plan), "Timeline": _timeline(study)}
    if len(plan.metrics) == 2:
        found["Pareto front"] = _pareto(study, plan)
    if _differ(done):
        importances = None if importances_note(study) else _importances(study, target)
        if importances:
            found["Importances (fANOVA)"] = importances
        found["Parallel coordinates"] = _parallel(done, plan)
        found["Slice"] = _slice(done, plan)
    return found


def importances_note(study: optuna.Study) -> str:
    """Return why there is no figure of importances, or nothing if there is one."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(done) >= _ENOUGH:
        return ""
    return f"No importances (fANOVA): {len(done)} trials are done, and fewer than {_ENOUGH} say nothing about which key matters."


def _differ(done: Sequence[FrozenTrial]) -> bool:
    return len({str(sorted(trial.params.items())) for trial in done}) > 1


def trial_state(trial: FrozenTrial) -> str:
    """Return done, pruned, failed (by itself), interrupted (stopped, or its worker died), running or waiting."""
    if trial.state == TrialState.FAIL:
        return "failed" if "reason" in trial.user_attrs else "interrupted"
    return {"COMPLETE": "done", "PRUNED": "pruned", "RUNNING": "running"}.get(
        trial.state.name, trial.state.name.lower()
    )


def _positions(
    done: Sequence[FrozenTrial], key: str, parameter: Parameter
) -> tuple[npt.NDArray[np.float64], list[float], list[str]]:
    """Return where each trial stands on a parameter's axis, from 0 to 1, and the axis's ticks."""
    values = [trial.params.get(key) for trial in done]
    if parameter.choices:
        texts = [
            f"[{', '.join(map(str, one))}]" if isinstance(one, tuple) else str(one)
            for one in parameter.choices
        ]
        reach = max(len(texts) - 1, 1)
        places = [texts.index(str(value)) / reach if str(value) in texts else np.nan for value in values]
        return np.array(places), [place / reach for place in range(len(texts))], texts
    scale: Callable[[Any], Any] = np.log if parameter.log else float
    least, most = parameter.reach
    low, high = float(scale(least)), float(scale(most))
    places = [np.nan if value is None else (float(scale(value)) - low) / (high - low) for value in values]
    middle = float(np.sqrt(least * most)) if parameter.log else (least + most) / 2
    return np.array(places), [0, 0.5, 1], [f"{one:.3g}" for one in (least, middle, most)]


def _parallel(done: Sequence[FrozenTrial], plan: Plan) -> str:
    from matplotlib import colormaps

    figure, (axis,) = new_figure(1, max(5.0, 1.1 * (len(plan.space) + 1)), 3.6)
    scores = np.array([trial.values[0] for trial in done])
    spread = float(np.ptp(scores)) or 1.0
    columns = [_positions(done, *entry)[0] for entry in plan.space.items()] + [
        (scores - scores.min()) / spread
    ]
    for trial in np.argsort(scores if plan.directions[0] == "maximize" else -scores):
        colour = colormaps[_COLOURS](float((scores[trial] - scores.min()) / spread))
        axis.plot(
            range(len(columns)), [column[trial] for column in columns], color=colour, linewidth=1, alpha=0.8
        )
    ticks = [_positions(done, *entry)[1:] for entry in plan.space.items()]
    ticks.append(([0, 1], [f"{scores.min():.3f}", f"{scores.max():.3f}"]))
    for place, (heights, texts) in enumerate(ticks):
        axis.axvline(place, color="#bbbbbb", linewidth=0.8, zorder=0)
        for height, text in zip(heights, texts, strict=True):
            axis.text(place + 0.03, height, text, fontsize=8, va="center", color=INK,
                      bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5})  # fmt: skip
    names = [_short(key) for key in plan.space] + [plan.metrics[0].replace("_", " ")]
    axis.set_xticks(range(len(columns)), names, rotation=25, ha="right")
    axis.set_yticks([])
    axis.spines[["left", "bottom"]].set_visible(False)
    axis.set_xlim(-0.2, len(columns) - 0.4)
    return svg(
        figure, f"Parallel coordinates of {len(done)} trials: a line a trial through {', '.join(names)}"
    )


def _slice(done: Sequence[FrozenTrial], plan: Plan) -> str:
    from matplotlib.figure import Figure

    rows = -(-len(plan.space) // _COLUMNS)
    figure = Figure(figsize=(8.6, 2.0 * rows), layout="constrained")
    grid = figure.subplots(rows, _COLUMNS, squeeze=False, sharey=True).flat
    scores = np.array([trial.values[0] for trial in done])
    numbers = [trial.number for trial in done]
    for axis, (key, parameter) in zip(grid, plan.space.items(), strict=False):
        places, heights, texts = _positions(done, key, parameter)
        axis.scatter(places, scores, c=numbers, cmap=_COLOURS, s=12)
        axis.set_xticks(heights, texts, fontsize=6.5, rotation=20 if parameter.choices else 0)
        axis.set_title(_short(key), loc="left", fontsize=8)
    for axis in grid:
        axis.set_visible(False)
    for axis in figure.axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=7, colors=INK)
    figure.supylabel(f"{plan.metrics[0].replace('_', ' ')} (later trials lighter)", fontsize=8)
    return svg(
        figure,
        f"{plan.metrics[0].replace('_', ' ')} of {len(done)} trials by {', '.join(map(_short, plan.space))}",
    )


def _history(study: optuna.Study, plan: Plan) -> str:
    from matplotlib.ticker import MaxNLocator

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
        legend_above(axis)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.PRUNED,)):
        if trial.intermediate_values:
            axis.scatter(
                trial.number, max(trial.intermediate_values.values()), color="#bbbbbb", s=10, marker="x"
            )
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.set(xlabel="trial (crosses: pruned)", ylabel=plan.metrics[0].replace("_", " "))
    return svg(
        figure,
        f"{plan.metrics[0].replace('_', ' ')} of {len(done)} trials that are done, and the best so far",
    )


def _timeline(study: optuna.Study) -> str:
    from matplotlib.patches import Patch
    from matplotlib.ticker import MaxNLocator

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
        end = trial.datetime_complete.timestamp() if trial.datetime_complete else time.time()
        axis.barh(
            trial.number,
            (end - start) / 60,
            left=(start - begin) / 60,
            color=colours.get(trial_state(trial), INK),
        )
    names = list(dict.fromkeys(trial_state(trial) for trial in trials))
    axis.invert_yaxis()
    axis.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.set(xlabel="minutes", ylabel="trial")
    handles = [Patch(color=colours.get(name, INK), label=name) for name in names]
    legend_above(axis, 5, handles=handles)
    return svg(figure, f"When each of {len(trials)} trials ran, in minutes: {', '.join(names)}")


def _importances(study: optuna.Study, target: Callable[[FrozenTrial], float] | None) -> str | None:
    from matplotlib import pyplot, rc_context

    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    with rc_context(), warnings.catch_warnings():  # Optuna's plots change the style of all figures
        warnings.simplefilter("ignore")
        try:
            axis = optuna.visualization.matplotlib.plot_param_importances(
                study, evaluator=evaluator, target=target, target_name="first metric"
            )
        except (ValueError, RuntimeError):  # all values equal: nothing matters
            return None
        axis.set_title("", loc="left")
        axis.set(ylabel="", facecolor="none")
        axis.set_xlabel("share of the variance", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.legend_ = None
        for text in axis.texts:
            text.set_fontsize(8)
        figure = pyplot.gcf()
        figure.set(size_inches=(6.0, 0.8 + 0.28 * len(axis.patches)), layout_engine="constrained")
        picture = svg(figure, "Share of the variance of the first metric that each key explains (fANOVA)")
        pyplot.close(figure)
    return picture


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
    legend_above(axis)
    return svg(figure, f"Pareto front of {' and '.join(plan.metrics)}: {len(front)} of {len(done)} trials")


def _short(key: str) -> str:
    stage, _, _ = key.partition(".")
    return f"{short_key(key).replace('_', ' ')} ({stage.replace('_', ' ')})"
