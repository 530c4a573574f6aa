"""The report of a segmentation training: one HTML file, without network."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mtl.report.figures import PALETTE, new_figure, svg
from mtl.report.page import render_page
from mtl.segment.data import Masked, load_pair
from mtl.segment.drawing import outlined
from mtl.segment.evaluate import BASELINE, METHODS, NETWORK, UNTRAINED, Row, mean_dice
from segmentation.files import write_text
from segmentation.masks import read_mask
from stages.errors import StagesError

__all__ = ["write_segment_report"]

_SCORES = (
    ("nucleus_dice", "nucleus Dice", 3), ("cell_dice", "cell Dice", 3), ("nucleus_iou", "nucleus IoU", 3), ("cell_iou", "cell IoU", 3),
    ("cell_success", "IoU > 0.8", 3), ("cell_boundary_f1", "border F1", 3), ("cell_hd95", "HD95 px", 1),
    ("instances_precision", "precision", 3), ("instances_recall", "recall", 3), ("instances_pq", "PQ", 3), ("instances_aji", "AJI", 3),
)  # fmt: skip
_EACH = 3
_SIDE = 480


def write_segment_report(
    folder: Path,
    plan: Mapping[str, Any],
    masked: Masked,
    rows: Sequence[Row],
    history: Sequence[Mapping[str, Any]],
    parts: Mapping[str, Any],
    environment: Mapping[str, str],
) -> Path:
    """Write `report.html`.

    Args:
        folder: The run folder.
        plan: Flags of the training.
        masked: All samples.
        rows: Scores by image.
        history: Loss and validation score by fold and step.
        parts: Of `mtl.segment.evaluate.summarise`.
        environment: What it ran on.

    Returns:
        The report.
    """
    from markupsafe import Markup

    page = render_page(
        "mtl.segment",
        name=folder.name,
        plan=plan,
        masked=masked,
        parts=parts,
        titles={part: "Held out" if part == "held out" else f"Data set {part}" for part in parts},
        methods=METHODS,
        scores=_SCORES,
        best={part: _best(found["methods"]) for part, found in parts.items()},
        curves=Markup(_curves(history)),  # noqa: S704 - our own SVG
        galleries={part: _gallery(folder, masked, rows, part) for part in parts},
        environment=environment,
    )
    write_text(folder / "report.html", page)
    return folder / "report.html"


def _best(methods: Mapping[str, Any]) -> dict[str, str]:
    """Return the best mean of every score, as it is printed: equals are equally bold."""
    best = {}
    for key, _, digits in _SCORES:
        pick = min if key == "cell_hd95" else max
        best[key] = f"{pick(told['mean'][key] for told in methods.values()):.{digits}f}"
    return best


def _curves(history: Sequence[Mapping[str, Any]]) -> str:
    figure, axes = new_figure(2, 8.2, 2.8)
    for fold in sorted({row["fold"] for row in history}):
        own = [row for row in history if row["fold"] == fold]
        steps = [row["step"] for row in own]
        for axis, key in zip(axes, ("loss", "validation_dice"), strict=True):
            values = [np.nan if row[key] is None else row[key] for row in own]
            colour = PALETTE[(fold - 1) % len(PALETTE)]
            axis.plot(steps, values, color=colour, marker="o", markersize=3, label=f"fold {fold}")
    for axis, title in zip(axes, ("training loss", "validation: mean Dice of nucleus and cell"), strict=True):
        axis.set_title(title, loc="left", fontsize=9)
        axis.set_xlabel("step")
        axis.set_ylim(bottom=0)
    scores = [row["validation_dice"] for row in history if row["validation_dice"] is not None]
    axes[1].set_ylim(max(min(scores, default=0.0) - 0.1, 0.0), 1.01)
    if len({row["fold"] for row in history}) > 1:
        axes[1].legend(frameon=False, fontsize=8)
    return svg(figure)


def _gallery(folder: Path, masked: Masked, rows: Sequence[Row], part: str) -> dict[str, list[dict[str, Any]]]:
    rivals = {(row.fold, row.name, row.method): row for row in rows}
    # A part that every fold tests would show each image as often.
    first: dict[str, Row] = {}
    for row in rows:
        if row.part == part and row.method == NETWORK:
            first.setdefault(row.name, row)
    ranked = sorted(first.values(), key=mean_dice)
    samples = {sample.name: sample for sample in (*masked.train, *masked.test)}
    middle = max((len(ranked) - _EACH) // 2, 0)
    chosen = {
        "worst": ranked[:_EACH],
        "median": ranked[middle : middle + _EACH],
        "best": ranked[-_EACH:][::-1],
    }
    seen: set[str] = set()
    galleries: dict[str, list[dict[str, Any]]] = {}
    for title, members in chosen.items():
        galleries[title] = []
        for row in members:
            if row.name in seen:
                continue
            seen.add(row.name)
            others = {
                method: mean_dice(rivals[row.fold, row.name, method]) for method in (UNTRAINED, BASELINE)
            }
            galleries[title].append(
                {"row": row, "dice": mean_dice(row), "others": others, "picture": _picture(folder, samples[row.name], row)}
            )  # fmt: skip
    return galleries


def _picture(folder: Path, sample: Any, row: Row) -> str | None:
    try:
        image, truth = load_pair(sample)
        found = read_mask(folder / row.file, shape=truth.shape)
    except (StagesError, ValueError):
        return None
    factor = _SIDE / max(truth.shape)
    if factor < 1:
        size = max(round(truth.shape[1] * factor), 1), max(round(truth.shape[0] * factor), 1)
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        truth, found = (
            np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST), np.uint8)
            for mask in (truth, found)
        )
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(outlined(image, found, truth=truth)).save(buffer, "JPEG", quality=85)
    return base64.b64encode(buffer.getvalue()).decode()
