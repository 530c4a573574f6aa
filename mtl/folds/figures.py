"""Figures of a k-fold: each returns inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mtl.report.figures import PALETTE, new_figure, svg
from mtl.runs import by_epoch

__all__ = ["learning"]


def learning(histories: Sequence[Sequence[Mapping[str, float]]], label: str) -> str:
    """Return loss and accuracy by epoch, training and validation: the folds' mean with a band of one SD (paper A, Figure 11).

    Args:
        histories: Scores by epoch, of every fold.
        label: What the training accuracy is called.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_figure(2, 6.8, 2.7)
    series = (
        (0, "train_loss", "training", PALETTE[1]),
        (0, "validation_loss", "validation", PALETTE[0]),
        (1, "train_accuracy", label, PALETTE[1]),
        (1, "validation_accuracy", "validation", PALETTE[0]),
    )
    for place, key, name, colour in series:
        table = by_epoch(histories, key)
        seen = np.isfinite(table).any(axis=0)
        if not seen.any():
            continue
        epochs = np.arange(1, table.shape[1] + 1)[seen]
        mean, spread = np.nanmean(table[:, seen], axis=0), np.nanstd(table[:, seen], axis=0)
        axes[place].plot(epochs, mean, color=colour, marker="o", markersize=3, label=name)
        axes[place].fill_between(epochs, mean - spread, mean + spread, color=colour, alpha=0.15, linewidth=0)
    for axis, title in zip(axes, ("loss", "accuracy"), strict=True):
        axis.set_title(f"{title}, mean of folds", loc="left", fontsize=9)
        axis.set_xlabel("epoch of the last stage")
        axis.set_xlim(0.5, max(map(len, histories)) + 0.5)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.legend(frameon=False, fontsize=7.5)
    axes[0].set_ylim(bottom=0)
    axes[1].set_ylim(0, 1.02)
    return svg(
        figure, f"Loss and accuracy over {max(map(len, histories))} epochs, mean of {len(histories)} folds"
    )
