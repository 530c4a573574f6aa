"""The tables of a k-fold in the layout that papers print, as text; page, terminal and Markdown show the same ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mtl.folds.content import FoldsContent, Kind, ModelFolds, Score
from mtl.report.tables import Table
from stages.confusion import RATES

__all__ = ["SPREAD", "model_tables", "overview_tables"]

SPREAD = "mean ± SD"
"""Begins the rows that say how the folds differ."""

_HEAD = {"precision": "precision", "recall": "recall", "specificity": "specificity", "f1": "F1", "accuracy": "accuracy",
         "auroc": "AUROC"}  # fmt: skip


def overview_tables(content: FoldsContent) -> list[Table]:
    """Return all backbones side by side, as paper A's Tables II and III."""
    how = f"{content.count}-fold cross-validation"
    healthy = content.models[0].healthy
    classes = content.models[0].evaluation.classes
    tables = []
    if healthy is not None:
        tables.append(
            _models(
                content,
                f"Detection: {healthy} or not, {how}",
                "detection",
                f"The layout of paper A's Table II. Precision, recall and F1 are those of all that is not {healthy}.",
            )
        )
    tables.append(
        _models(
            content,
            f"Classification: {len(classes)} classes, {how}",
            "macro",
            "The layout of paper A's Table III and paper B's Table 1. Precision, recall and F1 are means over the classes.",
        )
    )
    return tables


def model_tables(model: ModelFolds) -> list[Table]:
    """Return what is said of one backbone: all classes, each class, areas under the ROC, confusion, folds."""
    return [_whole(model), _classes(model), _areas(model), _confusion(model), _folds(model)]


def _models(content: FoldsContent, title: str, kind: Kind, note: str) -> Table:
    rows = []
    for model in content.models:
        accuracy = model.score("detection" if kind == "detection" else "all", "accuracy")
        scores = [accuracy, *(model.score(kind, name) for name in ("precision", "recall", "f1"))]
        rows += _pair(model.backbone, scores)
    return Table(title, ("model", "accuracy", "precision", "recall", "F1-score"), tuple(rows), note)


def _whole(model: ModelFolds) -> Table:
    chosen: list[tuple[str, Score]] = [("accuracy", model.score("all", "accuracy"))]
    kinds: tuple[Kind, Kind] = ("macro", "weighted")
    for kind in kinds:
        chosen += [
            (f"{kind} {_HEAD[name]}", model.score(kind, name))
            for name in ("precision", "recall", "specificity", "f1")
        ]
    rows = tuple(
        (name, _number(score.pooled.value), _reach(score), _number(score.mean), _number(score.sd))
        for name, score in chosen
    )
    return Table(
        "Over all classes", ("score", "pooled", "95 % interval", "mean of folds", "SD of folds"), rows
    )


def _classes(model: ModelFolds) -> Table:
    rows: list[tuple[str, ...]] = []
    for row in model.evaluation.per_class:
        own = [model.score("class", name, row.label) for name in RATES]
        rows += _pair(row.label, own, str(row.n))
    kinds: tuple[Kind, Kind] = ("macro", "weighted")
    for kind in kinds:
        rows += _pair(f"{kind} average", [model.score(kind, name) for name in RATES], str(model.evaluation.n))
    return Table(
        "Every class against the rest",
        ("class", "n", *(_HEAD[name] for name in RATES)),
        tuple(rows),
        "Recall is also called sensitivity. Accuracy is that of one class against the rest, which counts every image that is "
        "neither of the class nor called so as right: it is high where there are many classes.",
    )


def _areas(model: ModelFolds) -> Table:
    chosen = [(name, model.score("class", "auroc", name)) for name in model.evaluation.classes]
    chosen += [
        ("micro average", model.score("micro", "auroc")),
        ("macro average", model.score("macro", "auroc")),
    ]
    rows = tuple(
        (
            name,
            _number(score.pooled.value),
            _reach(score),
            _number(score.mean),
            _number(score.sd),
            str(len(score.defined)),
        )
        for name, score in chosen
    )
    return Table(
        "Area under the ROC curve, one against the rest",
        ("class", "pooled", "95 % interval", "mean of folds", "SD of folds", "folds"),
        rows,
        "Pooled, probabilities of different networks are ranked against one another; the mean of folds ranks each network's own.",
    )


def _confusion(model: ModelFolds) -> Table:
    counts = np.array(model.evaluation.confusion)
    rows = []
    for name, row in zip(model.evaluation.classes, counts, strict=True):
        cells = (f"{count} ({count / row.sum():.1%})" if count else "0" for count in row)
        rows.append((name, *cells))
    return Table(
        "Confusion matrix of all folds",
        ("true, down; said, across", *model.evaluation.classes),
        tuple(rows),
        "The layout of paper A's Table IV: images, and their share of the row.",
    )


def _folds(model: ModelFolds) -> Table:
    chosen: list[tuple[Kind, str]] = [("all", "accuracy"), ("macro", "precision"), ("macro", "recall"), ("macro", "f1"), ("macro", "auroc")]  # fmt: skip
    scores = [model.score(kind, metric) for kind, metric in chosen]
    rows = [
        (
            f"fold {number + 1}",
            str(one.n),
            str(one.groups),
            *(_number(score.folds[number]) for score in scores),
        )
        for number, one in enumerate(model.folds)
    ]
    whole = model.evaluation
    rows += [
        ("mean", "", "", *(_number(score.mean) for score in scores)),
        ("SD", "", "", *(_number(score.sd) for score in scores)),
        ("pooled", str(whole.n), str(whole.groups), *(_number(score.pooled.value) for score in scores)),
    ]
    return Table(
        "Every fold",
        ("", "images", "groups", "accuracy", "precision", "recall", "F1", "AUROC"),
        tuple(rows),
        "Precision, recall, F1 and AUROC are means over the classes that the fold tests.",
    )


def _pair(name: str, scores: Sequence[Score], *before: str) -> list[tuple[str, ...]]:
    """Return two rows: pooled, and how the folds differ."""
    return [
        (name, *before, *(_number(score.pooled.value) for score in scores)),
        (SPREAD, *("" for _ in before), *(_spread(score) for score in scores)),
    ]


def _spread(score: Score) -> str:
    return f"{_number(score.mean)} ± {_number(score.sd)}"


def _number(value: float) -> str:
    return "–" if not math.isfinite(value) else f"{value:.4f}"


def _reach(score: Score) -> str:
    low, high = score.pooled.low, score.pooled.high
    return "–" if not math.isfinite(low) else f"[{low:.3f}, {high:.3f}]"
