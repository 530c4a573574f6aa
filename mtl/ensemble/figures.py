"""Figures of an ensemble: each returns inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mtl.report.figures import PALETTE, legend_above, new_figure, svg

__all__ = ["accuracy_coverage"]


def accuracy_coverage(curves: Mapping[str, Sequence[tuple[float, float, float]]], threshold: float) -> str:
    """Return accuracy of the answers over the share of images that are answered.

    Args:
        curves: Threshold, coverage and accuracy, by method; the ensemble first.
        threshold: Of the ensemble, marked where it is above 0.
    """
    figure, (axis,) = new_figure(1, 4.6, 3.2)
    for place, (name, points) in enumerate(curves.items()):
        colour = PALETTE[place % len(PALETTE)]
        axis.plot(
            [one[1] for one in points], [one[2] for one in points], color=colour, linewidth=2 if not place else 1.2,
            label=name if len(name) < 28 else f"{name[:27]}…",
        )  # fmt: skip
        if not place and threshold:
            mark = min(points, key=lambda one: abs(one[0] - threshold))
            axis.scatter([mark[1]], [mark[2]], color=colour, s=30, zorder=3)
    axis.set(xlabel="share of the test images that are answered", ylabel="right of the answers")
    axis.set_xlim(left=min(one[1] for points in curves.values() for one in points) - 0.02, right=1.01)
    axis.set_title("Accuracy and coverage", loc="left", fontsize=9)
    legend_above(axis, 2)
    ends = ", ".join(f"{name} {points[0][2]:.3f}" for name, points in curves.items())
    return svg(
        figure, f"Accuracy of the answers over the share of images answered; where all are answered: {ends}"
    )
