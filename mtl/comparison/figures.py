"""Figures of comparisons: each returns inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mtl.report.figures import INK, PALETTE, legend_above, new_figure, svg
from mtl.statistics import Comparison, NemenyiResult

__all__ = ["convergence", "critical_difference", "differences", "paired"]

Floats = npt.NDArray[np.float64]


def paired(values: Floats, names: Sequence[str], points: float) -> str:
    """Return a dot plot of every split's scores, those of one split joined by a line.

    Args:
        values: (J, K).
        names: Of the K methods.
        points: Points in one unit.
    """
    figure, (axis,) = new_figure(1, max(3.2, 1.3 * len(names) + 1.2), 3.4)
    shown = values * points
    places = np.arange(len(names))
    for row in shown:
        rises = row[-1] >= row[0]
        axis.plot(places, row, color=PALETTE[0] if rises else PALETTE[1], linewidth=0.8, alpha=0.55)
    for place in places:
        axis.scatter(np.full(len(shown), place), shown[:, place], color=INK, s=14, zorder=3)
        axis.hlines(shown[:, place].mean(), place - 0.16, place + 0.16, color=INK, linewidth=2)
    axis.set_xticks(places, [name if len(name) <= 22 else f"{name[:21]}…" for name in names])
    axis.set_xlim(-0.5, len(names) - 0.5)
    axis.set_ylabel("score, points")
    axis.set_title("Every split: a dot a method, joined (blue: rises)", loc="left", fontsize=9)
    means = ", ".join(f"{name} {mean:.1f}" for name, mean in zip(names, shown.mean(axis=0), strict=True))
    return svg(figure, f"Scores of {len(shown)} splits in points; mean of {means}")


def differences(pair: Comparison, values: Floats, points: float) -> str:
    """Return the posterior of the mean difference with the ROPE, the differences of the splits under it.

    Args:
        pair: The comparison.
        values: First minus second of every split, (J,).
        points: Points in one unit.
    """
    from scipy import stats

    figure, (axis,) = new_figure(1, 3.8, 3.4)
    bayes = pair.bayes
    shown = values * points
    rope = bayes.rope * points
    reach = max(float(np.abs(shown).max(initial=0)), rope, 0.5)
    if np.isfinite(bayes.scale) and bayes.scale > 0:
        reach = max(reach, abs(bayes.mean * points) + 4 * bayes.scale * points)
        grid = np.linspace(-reach * 1.08, reach * 1.08, 401)
        density = stats.t.pdf(grid / points, bayes.df, bayes.mean, bayes.scale)
        axis.plot(grid, density / density.max(), color=PALETTE[0])
        axis.fill_between(grid, density / density.max(), color=PALETTE[0], alpha=0.15, linewidth=0)
    axis.axvspan(-rope, rope, color="#E69F00", alpha=0.18, linewidth=0, label=f"practically equal: ±{rope:g}")
    axis.axvline(0, color="#999999", linewidth=0.8)
    jitter = np.random.default_rng(0).uniform(-0.06, 0.06, len(shown))
    axis.scatter(shown, jitter - 0.16, color=INK, s=13, alpha=0.8, label="splits")
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    axis.set_xlim(-reach * 1.1, reach * 1.1)
    axis.set_ylim(-0.32, 1.25)
    axis.set_xlabel(f"{pair.first_name} minus {pair.second_name}, points")
    axis.set_title("Posterior of the mean difference (correlated t)", loc="left", fontsize=9)
    legend_above(axis)
    return svg(
        figure,
        f"Posterior of the mean difference, {pair.first_name} minus {pair.second_name}: centre {bayes.mean * points:+.2f} points, "
        f"practically equal within {rope:g}; {len(shown)} splits under it",
    )


def convergence(series: Mapping[str, Floats], title: str) -> str:
    """Return the mean loss per epoch of every chain with a band of one standard deviation (paper A, Figure 9).

    Args:
        series: Losses (cells, epochs) by chain; NaN behind an early end.
        title: What loss it is.
    """
    from matplotlib.ticker import MaxNLocator

    figure, (axis,) = new_figure(1, 3.8, 3.0)
    for place, (chain, losses) in enumerate(series.items()):
        epochs = np.arange(1, losses.shape[1] + 1)
        mean, spread = np.nanmean(losses, axis=0), np.nanstd(losses, axis=0)
        colour = PALETTE[place % len(PALETTE)]
        axis.plot(epochs, mean, color=colour, marker="o", markersize=3, label=f"{chain} ({len(losses)} runs)")
        axis.fill_between(epochs, mean - spread, mean + spread, color=colour, alpha=0.15, linewidth=0)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.set(xlabel="epoch of the last stage", ylabel="loss")
    axis.set_ylim(0, 1.08 * max(float(np.nanmax(losses)) for losses in series.values()) or 1)
    axis.set_xlim(0.5, max(losses.shape[1] for losses in series.values()) + 0.5)
    axis.set_title(title, loc="left", fontsize=9)
    legend_above(axis, 2)
    return svg(
        figure, f"{title} per epoch of the last stage, mean and standard deviation of {', '.join(series)}"
    )


def critical_difference(result: NemenyiResult) -> str:
    """Return the critical-difference diagram (Demsar 2006): methods by mean rank, those that do not differ under one bar."""
    count = len(result.names)
    figure, (axis,) = new_figure(1, 6.2, 1.3 + 0.24 * count)
    half = (count + 1) // 2
    depth = 0.55 * half + 0.5
    axis.set_xlim(0.6, count + 0.4)
    axis.set_ylim(-depth - 0.15 * len(result.cliques), 1.1)
    axis.invert_xaxis()
    axis.hlines(0, 1, count, color=INK, linewidth=1)
    for tick in range(1, count + 1):
        axis.vlines(tick, 0, 0.09, color=INK, linewidth=1)
        axis.text(tick, 0.15, str(tick), ha="center", va="bottom", fontsize=8)
    axis.hlines(0.75, count - result.critical_difference, count, color=INK, linewidth=1.5)
    axis.text(
        count,
        0.82,
        f"critical difference {result.critical_difference:.2f}",
        fontsize=8,
        ha="left",
        va="bottom",
    )
    for place, (name, rank) in enumerate(zip(result.names, result.ranks, strict=True)):
        best = place < half
        level = -0.55 * (place + 1 if best else count - place) - 0.12 * len(result.cliques)
        edge = 0.75 if best else count + 0.25
        axis.plot([rank, rank, edge], [0, level, level], color=INK, linewidth=0.8)
        axis.text(
            edge, level, f" {name} {rank:.2f} ", ha="left" if best else "right", va="center", fontsize=8
        )
    for bar, clique in enumerate(result.cliques):
        ranks = [result.ranks[result.names.index(name)] for name in clique]
        axis.hlines(-0.14 * (bar + 1), min(ranks) - 0.04, max(ranks) + 0.04, color=PALETTE[1], linewidth=3)
    axis.set_axis_off()
    listed = ", ".join(f"{name} {rank:.2f}" for name, rank in zip(result.names, result.ranks, strict=True))
    return svg(
        figure, f"Critical difference {result.critical_difference:.2f} of mean ranks, 1 is best: {listed}"
    )
