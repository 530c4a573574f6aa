"""What all figures share: palette, axes, legends, and SVG for a page."""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["INK", "PALETTE", "legend_above", "new_figure", "svg"]

# Okabe & Ito (2008): told apart by all common kinds of colour vision.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A6F00", "#555555")
INK = "#333333"


def new_figure(columns: int, width: float, height: float) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure of so many inches and its axes side by side, in the house's style."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color("#999999")
        axis.tick_params(labelsize=8, colors=INK)
        axis.xaxis.label.set(size=8, color=INK)
        axis.yaxis.label.set(size=8, color=INK)
    return figure, axes


def legend_above(axis: Axes, columns: int = 3, **more: Any) -> None:
    """Give axes a legend between title and frame, where it covers nothing that is drawn.

    Args:
        axis: With its title, if it has one.
        columns: Entries side by side.
        more: Of `Axes.legend`, such as `handles`.
    """
    legend = axis.legend(
        loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=columns, frameon=False, fontsize=7.5,
        borderaxespad=0, handlelength=1.4, columnspacing=1.2, **more,
    )  # fmt: skip
    rows = -(-len(legend.get_texts()) // columns)
    axis.set_title(axis.get_title(loc="left"), loc="left", fontsize=9, pad=8 + 12 * rows)


def svg(figure: Figure, alt: str = "") -> str:
    """Return a figure as SVG text that is the same for the same figure; a `$` in it is a dollar, not a formula.

    Args:
        figure: The figure.
        alt: What it shows, for who cannot see it; titles and labels of its axes if not given.
    """
    import matplotlib
    from matplotlib.text import Text

    for label in figure.findobj(Text):
        # Names are data and may hold dollars and backslashes; the formulae that matplotlib writes on its axes stay.
        if isinstance(label, Text) and label.get_text() and not label.get_text().startswith(r"$\mathdefault"):
            label.set_parse_math(False)
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "font.family": "sans-serif", "svg.hashsalt": "mtl"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    said = html.escape(" ".join((alt or _said(figure)).split()))
    return f'<svg role="img" aria-label="{said}"' + text[text.index("<svg") + 4 :]


def _said(figure: Figure) -> str:
    axes = [axis for axis in figure.axes if axis.get_visible()]
    named = [
        (axis.get_title(loc="left") or axis.get_title(), axis.get_ylabel(), axis.get_xlabel())
        for axis in axes
    ]
    return "Figure: " + "; ".join(", ".join(filter(None, names)) for names in named)
