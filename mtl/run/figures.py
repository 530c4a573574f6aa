"""Figures of a run's report: each returns inline SVG or JPEG text."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np

from mtl.records import SourceRecord
from mtl.report.figures import INK, PALETTE, legend_above, new_figure, svg
from mtl.run.content import StageContent
from mtl.run.originals import original
from mtl.runs import Predictions
from stages.metrics import Evaluation

__all__ = ["confusion", "curves", "picture", "roc", "training_label"]

_THUMBNAIL = 132
_CURVES = (
    ("loss", (("train_loss", "training", PALETTE[1]), ("validation_loss", "validation", PALETTE[0]))),
    (
        "accuracy and macro F1",
        (
            ("train_accuracy", "training accuracy", PALETTE[1]),
            ("validation_accuracy", "validation", PALETTE[2]),
            ("validation_macro_f1", "macro F1", PALETTE[0]),
        ),
    ),
)


def curves(stage: StageContent) -> tuple[str, ...]:
    """Return figures of loss and of validation scores per epoch, the kept epoch marked; none that would be empty."""
    return tuple(filter(None, (_curve(stage, *part) for part in _CURVES)))


def _curve(stage: StageContent, title: str, series: Sequence[tuple[str, str, str]]) -> str | None:
    from matplotlib.ticker import MaxNLocator

    epochs = [int(row["epoch"]) + 1 for row in stage.history]
    lines = [
        (training_label(augmented=stage.augmented) if key == "train_accuracy" else label, colour, values)
        for key, label, colour in series
        if np.isfinite(values := [row.get(key, np.nan) for row in stage.history]).any()
    ]
    if not lines:
        return None
    figure, (axis,) = new_figure(1, 3.6, 2.7)
    for label, colour, values in lines:
        axis.plot(epochs, values, color=colour, label=label, marker="o", markersize=3)
    kept = stage.record.best_epoch + 1
    axis.axvline(kept, color="#999999", linewidth=1, linestyle=":", zorder=0)
    axis.set(xlabel="epoch (dotted: kept)", xlim=(min(epochs) - 0.5, max(epochs) + 0.5))
    highest = max(float(np.nanmax(np.where(np.isfinite(values), values, 0))) for _, _, values in lines)
    axis.set_ylim(0, 1.08 * highest or 1 if title == "loss" else 1.02)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.set_title(title, loc="left", fontsize=9)
    legend_above(axis, 2)
    last = ", ".join(f"{label} {values[-1]:.3f}" for label, _, values in lines)
    return svg(figure, f"{title} over {len(epochs)} epochs, epoch {kept} kept; in the last epoch {last}")


def training_label(*, augmented: bool) -> str:
    """Return what a legend calls the training accuracy: on which images it is measured."""
    return f"training ({'augmented' if augmented else 'plain'} images)"


def roc(predictions: Predictions, evaluation: Evaluation) -> str:
    """Return one-against-rest ROC curves with micro and macro averages."""
    from sklearn.metrics import roc_curve

    classes, scores = predictions.classes, predictions.probabilities
    truth = np.eye(len(classes), dtype=bool)[predictions.truth()]
    figure, (axis,) = new_figure(1, 3.6, 3.5)
    shown = [1] if len(classes) == 2 else range(len(classes))
    grid, means = np.linspace(0, 1, 201), []
    for k in shown:
        if 0 < truth[:, k].sum() < len(truth):
            rate, hits, _ = roc_curve(truth[:, k], scores[:, k])
            means.append(np.interp(grid, rate, hits))
            area = evaluation.per_class[k].auroc
            axis.plot(rate, hits, color=PALETTE[k % len(PALETTE)], label=f"{_short(classes[k])} {area:.2f}")
    if len(classes) > 2 and means:
        rate, hits, _ = roc_curve(truth.ravel(), scores.ravel())
        headline = evaluation.headline
        axis.plot(
            rate,
            hits,
            color=INK,
            linestyle="--",
            linewidth=1,
            label=f"micro {headline['micro_auroc'].value:.2f}",
        )
        macro = f"macro {headline['macro_auroc'].value:.2f}"
        axis.plot(grid, np.mean(means, axis=0), color=INK, linestyle=":", linewidth=1.2, label=macro)
    axis.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=0.8)
    axis.set(
        xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01)
    )
    axis.set_title("ROC, area under it", loc="left", fontsize=9)
    legend_above(axis, 2)
    areas = ", ".join(str(line.get_label()) for line in axis.lines[:-1])
    return svg(figure, f"ROC curves, area under each: {areas}")


def confusion(evaluation: Evaluation) -> str:
    """Return the confusion matrix: counts, and under them the share of the row."""
    counts = np.array(evaluation.confusion)
    rows = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, rows, out=np.zeros(counts.shape), where=rows > 0)
    size = max(3.4, 0.62 * len(counts) + 1.2)
    figure, (axis,) = new_figure(1, size, size * 0.94)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(len(counts)):
        for column in range(len(counts)):
            colour = "white" if shares[row, column] > 0.55 else INK
            text = f"{counts[row, column]}\n{shares[row, column]:.0%}"
            axis.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    names = [_short(name) for name in evaluation.classes]
    axis.set_xticks(
        range(len(names)),
        names,
        rotation=35 if len(names) > 3 else 0,
        ha="right" if len(names) > 3 else "center",
    )
    axis.set_yticks(range(len(names)), names)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set(xlabel="said", ylabel="true")
    axis.set_title("Confusion: images, % of row", loc="left", fontsize=9)
    right = int(np.trace(counts))
    return svg(figure, f"Confusion matrix of {', '.join(names)}: {right} of {counts.sum()} images are right")


def picture(name: str, sources: Sequence[SourceRecord]) -> str | None:
    """Return a thumbnail of an image as base64 JPEG, or None where it is no longer there.

    Args:
        name: Of the sample.
        sources: Where its data set lies; of several, the one that the name begins with.
    """
    from PIL import Image

    pixels = original(name, sources)
    if pixels is None:
        return None
    image = Image.fromarray(pixels)
    image.thumbnail((_THUMBNAIL * 2, _THUMBNAIL * 2))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82)
    return base64.b64encode(buffer.getvalue()).decode()


def _short(name: str) -> str:
    return name if len(name) <= 16 else name[:15] + "…"
