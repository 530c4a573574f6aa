"""The report of a k-fold: page, Markdown, JSON, and a table of all scores, from the same content."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtl.folds.content import FoldsContent, ModelFolds, Score
from mtl.folds.pool import write_pooled
from mtl.folds.tables import SPREAD, Table, model_tables, overview_tables, plain
from mtl.report.page import render_page
from segmentation.files import finite, write_json, write_table, write_text

__all__ = ["FoldsWritten", "folds_html", "folds_markdown", "headline", "write_folds"]


@dataclass(frozen=True)
class FoldsWritten:
    """A k-fold and where its report lies.

    Attributes:
        content: What it says.
        folder: Holds `report.html`, `report.md`, `report.json`, `scores.csv` and the predictions.
        predictions: Pooled, a file a backbone.
    """

    content: FoldsContent
    folder: Path
    predictions: tuple[Path, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json` can write."""
        found: dict[str, Any] = finite(self.content.to_json())
        return found | {
            "report": str(self.folder / "report.html"),
            "predictions": [str(path) for path in self.predictions],
        }

    def to_text(self) -> str:
        """Return the result in a sentence, the tables, what must be known, and where the files are."""
        parts = [headline(self.content, model) for model in self.content.models]
        parts += [plain(table) for table in overview_tables(self.content)]
        for model in self.content.models:
            if len(self.content.models) > 1:
                parts.append(f"== {model.backbone} ==")
            parts += [plain(table) for table in model_tables(model)]
        parts.append("\n".join(f"- {note}" for note in self.content.notes))
        files = ", ".join(path.name for path in self.predictions)
        parts.append(
            f"Report {self.folder / 'report.html'} (also .md and .json; scores.csv and {files} beside it)"
        )
        return "\n\n".join(parts)


def headline(content: FoldsContent, model: ModelFolds) -> str:
    """Return the result of one backbone in one plain sentence."""
    kind = "rendered smears, not patient data" if content.rendered else content.dataset
    evaluation, f1 = model.evaluation, model.score("macro", "f1")
    accuracy = model.score("all", "accuracy")
    return (
        f"{content.count}-fold of chain {content.chain}, {model.backbone}, on {evaluation.n} images of {evaluation.groups} groups "
        f"({kind}), each predicted once: accuracy {_told(accuracy)}, macro F1 {_told(f1)}."
    )


def folds_html(content: FoldsContent) -> str:
    """Return the page: styles and figures inside, nothing loaded from elsewhere."""
    from markupsafe import Markup

    from mtl.folds.figures import learning
    from mtl.run.figures import confusion, roc, training_label

    views = [
        {
            "model": model,
            "headline": headline(content, model),
            "tables": model_tables(model),
            "confusion": Markup(confusion(model.evaluation)),  # noqa: S704 - our own SVG
            "roc": Markup(roc(model.pooled.predictions, model.evaluation)),  # noqa: S704
            "curves": Markup(learning(model.histories, training_label(augmented=model.augmented)))  # noqa: S704
            if model.histories
            else None,
        }
        for model in content.models
    ]
    return render_page(
        "mtl.folds", content=content, views=views, overview=overview_tables(content), spread=SPREAD
    )


def folds_markdown(content: FoldsContent) -> str:
    """Return sentences and tables as Markdown."""
    lines = [f"# {content.count}-fold of chain {content.chain}", ""]
    lines += [headline(content, model) + "\n" for model in content.models]
    lines += [f"- {note}" for note in content.notes] + [""]
    for table in overview_tables(content):
        lines += _markdown(table, "##")
    for model in content.models:
        lines += [f"## {model.backbone}", ""]
        for table in model_tables(model):
            lines += _markdown(table, "###")
    return "\n".join([*lines, f"    {content.command}", ""])


def write_folds(content: FoldsContent, folder: Path) -> FoldsWritten:
    """Write report, scores and pooled predictions into a folder.

    Raises:
        WriteError: If it cannot be written.
    """
    several = len(content.models) > 1
    predictions = []
    for model in content.models:
        own = "-" + re.sub(r"[^\w.-]+", "_", model.backbone) if several else ""
        predictions.append(folder / f"predictions{own}.csv")
        write_pooled(model.pooled, predictions[-1])
    header = ("backbone", "over", "class", "metric", "pooled", "low", "high", "mean", "sd", "folds")
    rows = [
        (model.backbone, one.kind, one.label, one.metric, *map(_cell, _numbers(one)), len(one.defined))
        for model in content.models
        for one in model.scores
    ]
    write_table(folder / "scores.csv", header, rows)
    write_json(folder / "report.json", content.to_json())
    write_text(folder / "report.md", folds_markdown(content))
    write_text(folder / "report.html", folds_html(content))
    return FoldsWritten(content, folder, tuple(predictions))


def _markdown(table: Table, level: str) -> list[str]:
    def line(row: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in row) + " |"

    rule = "|---|" + "---:|" * (len(table.header) - 1)
    note = [table.note, ""] if table.note else []
    return [f"{level} {table.title}", "", line(table.header), rule, *map(line, table.rows), "", *note]


def _told(score: Score) -> str:
    value = score.pooled
    reach = f" [{value.low:.3f}, {value.high:.3f}]" if math.isfinite(value.low) else ""
    return f"{value.value:.3f}{reach} (folds {score.mean:.3f} ± {score.sd:.3f})"


def _numbers(score: Score) -> tuple[float, ...]:
    return (score.pooled.value, score.pooled.low, score.pooled.high, score.mean, score.sd)


def _cell(value: float) -> str:
    return f"{value:.6f}" if math.isfinite(value) else ""
