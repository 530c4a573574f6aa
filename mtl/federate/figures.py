"""Figures of a federation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mtl.federate.compare import FEDERATED, Compared
from mtl.federate.pick import Picked
from mtl.report.figures import INK, PALETTE, legend_above, new_figure, svg
from stages.metrics import Interval

__all__ = ["picked_figure", "privacy_figure", "rounds_figure"]


def rounds_figure(history: Sequence[Mapping[str, float]], best: int) -> str:
    """Return the curve a round: training loss, and scores over all clients' validation parts.

    Args:
        history: A row a round.
        best: Whose weights were kept, from 1.
    """
    figure, axes = new_figure(2, 7.6, 2.7)
    rounds = [row["round"] for row in history]
    for axis, title, columns in (
        (axes[0], "Loss", (("train_loss", "training"), ("validation_loss", "validation"))),
        (axes[1], "Validation", (("validation_macro_f1", "macro F1"), ("validation_accuracy", "accuracy"))),
    ):
        axis.set_title(title, loc="left")
        drawn = False
        for colour, (column, name) in zip(PALETTE, columns, strict=False):
            values = [row.get(column, float("nan")) for row in history]
            if any(value == value for value in values):
                axis.plot(rounds, values, color=colour, label=name, marker="o", markersize=3, linewidth=1.4)
                drawn = True
        axis.axvline(best, color="#999999", linewidth=1, linestyle=":")
        axis.set_xlabel("round (dotted: kept)")
        axis.locator_params(axis="x", integer=True)
        if drawn:
            legend_above(axis, 2)
    return svg(figure)


def privacy_figure(compared: Compared) -> str:
    """Return macro F1 against epsilon, with the systems without privacy as lines."""
    figure, axes = new_figure(1, 6.4, 3.1)
    axis = axes[0]
    axis.set_title("Accuracy against privacy", loc="left")
    kinds = list(dict.fromkeys(one.about for one in compared.systems if one.epsilon is not None))
    for shift, (colour, kind) in enumerate(zip(PALETTE, kinds, strict=False)):
        own = [one for one in compared.systems if one.about == kind]
        scores = [one.evaluation.headline["macro_f1"] for one in own]
        at = [(one.epsilon or 0) * (1 + 0.04 * shift) for one in own]
        values = [score.value for score in scores]
        axis.errorbar(
            at,
            values,
            yerr=_reach(scores),
            color=colour,
            label=kind,
            marker="o",
            markersize=4,
            linewidth=1.4,
            capsize=3,
        )
    for style, name in (("-", FEDERATED), ("--", "centralised"), (":", "alone")):
        value = compared.named(name).evaluation.headline["macro_f1"].value
        axis.axhline(value, color=INK, linewidth=1, linestyle=style, label=name)
    axis.set_xscale("log", base=2)
    ticks = sorted({one.epsilon for one in compared.systems if one.epsilon is not None})
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.set_xlabel("epsilon of each client (95 % intervals over groups)")
    axis.set_ylabel("macro F1")
    legend_above(axis, 3)
    return svg(figure)


def picked_figure(picked: Sequence[Picked]) -> str:
    """Return macro F1 of every backbone in one place and federated, the best on the validation part on top."""
    figure, axes = new_figure(1, 6.4, 1.2 + 0.35 * len(picked))
    axis = axes[0]
    axis.set_title("On the test part", loc="left")
    rows = {one.backbone: row for row, one in enumerate(reversed(picked))}
    ways = (
        ("in one place", 0.1, {one.backbone: one.central for one in picked}),
        ("federated", -0.1, {one.backbone: one.federated for one in picked}),
    )
    for colour, (name, shift, scores) in zip(PALETTE, ways, strict=False):
        known = {rows[one]: scored.headline["macro_f1"] for one, scored in scores.items() if scored}
        axis.errorbar(
            [score.value for score in known.values()],
            [row + shift for row in known],
            xerr=_reach(known.values()),
            color=colour,
            label=name,
            marker="o",
            markersize=4,
            linestyle="none",
            linewidth=1.4,
            capsize=3,
        )
    axis.set_yticks(list(rows.values()), list(rows))
    axis.set_ylim(-0.5, len(rows) - 0.5)
    axis.set_xlabel("macro F1 (95 % intervals over groups)")
    legend_above(axis, 2)
    return svg(figure)


def _reach(scores: Iterable[Interval]) -> list[list[float]]:
    """Return how far intervals go below and above their values, (2, N), as error bars want it."""
    known = list(scores)
    return [[score.value - score.low for score in known], [score.high - score.value for score in known]]
