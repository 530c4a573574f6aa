"""The tables of an ensemble, as text."""

from __future__ import annotations

import math

from mtl.ensemble.changes import count_changes
from mtl.ensemble.content import EnsembleContent, Method
from mtl.report.tables import Table
from stages.metrics import Interval

__all__ = ["ensemble_tables", "method_table"]

_BOUNDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def ensemble_tables(content: EnsembleContent) -> list[Table]:
    """Return all tables in the order of the report, that of the methods first."""
    changes = [_changes(content, one.name) for one in content.members]
    tables = [method_table(content), _against(content), _classes(content), _abstention(content)]
    return [*tables, _selection(content), *changes]


def method_table(content: EnsembleContent) -> Table:
    """Return members, rules and colour alone side by side."""
    rows = []
    for one in content.methods:
        named = one.name + (
            " *" if one is content.main else " (best on validation)" if one is content.best else ""
        )
        watched = one.validation
        rows.append(
            (
                named, _number(watched.right), _number(watched.macro_f1), _number(watched.log_loss),
                *_headline(one), f"{one.coverage:.1%}", _number(one.answered),
            )
        )  # fmt: skip
    for name, scores in content.members[0].colour.items():
        told = (_reach(scores.headline[key]) for key in ("accuracy", "macro_f1", "macro_auroc"))
        rows.append(
            (
                f"colour alone: {name}",
                "–",
                "–",
                "–",
                *told,
                "100.0%",
                _number(scores.headline["accuracy"].value),
            )
        )
    header = (
        "", "validation: right", "macro F1", "log-loss", "test: accuracy", "macro F1", "macro AUROC", "answered",
        "right of answered",
    )  # fmt: skip
    return Table(
        "Single networks and rules",
        header,
        tuple(rows),
        "* the ensemble. Accuracy, F1 and AUROC are of the most probable class, answered or not, with 95 % intervals over groups.",
    )


def _headline(one: Method) -> tuple[str, ...]:
    return tuple(_reach(one.evaluation.headline[key]) for key in ("accuracy", "macro_f1", "macro_auroc"))


def _against(content: EnsembleContent) -> Table:
    rows = []
    for one in content.against:
        mcnemar = one.tests.tests[1]
        rows.append(
            (
                one.other, _points(one.accuracy), _points(one.macro_f1), _p(one.tests.tests[0].p), _p(one.adjusted),
                _p(mcnemar.p),
            )
        )  # fmt: skip
    return Table(
        f"{content.main.name} minus others, on the same test images",
        ("", "accuracy, points", "macro F1, points", "p of the bootstrap", "after Holm", "p of McNemar"),
        tuple(rows),
        "Paired bootstrap over groups decides; McNemar takes images for independent. Both judge these trained models, not the way of training.",
    )


def _classes(content: EnsembleContent) -> Table:
    rows = [
        (
            one.label, str(one.n), *map(_number, (one.precision, one.recall, one.specificity, one.f1, one.accuracy, one.auroc)),
        )
        for one in content.main.evaluation.per_class
    ]  # fmt: skip
    return Table(
        f"{content.main.name}: every class against the rest",
        ("class", "n", "precision", "sensitivity", "specificity", "F1", "accuracy", "AUROC"),
        tuple(rows),
    )


def _abstention(content: EnsembleContent) -> Table:
    rows = []
    for bound in _BOUNDS:
        cells = []
        for curve in content.curves.values():
            point = next((one for one in curve if one[0] == bound), None)
            cells.append(f"{point[1]:.1%}, {point[2]:.4f}" if point else "–")
        rows.append((f"{bound:g}", *cells))
    return Table(
        "Share answered, and right of these, by threshold",
        ("no answer below", *content.curves),
        tuple(rows),
        "The same threshold is not the same promise in two methods: read along the curve of accuracy and coverage.",
    )


def _selection(content: EnsembleContent) -> Table:
    told = content.selection
    rows = []
    for one in told.rows:
        mark = " (chosen on validation)" if one is told.honest else ""
        mark += " (chosen on test)" if one is told.claimed else ""
        weights = ", ".join(f"{weight:.3g}" for weight in one.weights)
        rows.append(
            (
                f"{weights} at {one.threshold:g}{mark}",
                _number(one.validation),
                _number(one.test),
                _number(one.one_vs_rest),
            )
        )
    return Table(
        "The grid of paper D, and choosing from it",
        ("weights at threshold", "validation: right", "test: right", "test: one-against-rest accuracy"),
        tuple(rows),
        f"{told.sentence} Right answers are a share of all images: one without an answer is not right, so that a lower threshold is never "
        "worse by this count. One-against-rest accuracy, which the paper prints, also counts every image that is neither of a class nor called so.",
    )


def _changes(content: EnsembleContent, member: str) -> Table:
    own = [one for one in content.changes if one.member == member]
    turns = ("FN -> TP", "FP -> TN", "TP -> FN", "TN -> FP", "no answer")
    rows = [
        (of, *(str(counts.get(turn, 0)) for turn in turns))
        for of, counts in count_changes(own, content.main.evaluation.classes)
    ]
    fixed, spoilt = _images(content, member)
    return Table(
        f"What the ensemble changes of what {member} said",
        ("class", *turns),
        tuple(rows),
        f"Every class against the rest. Images that become right: {fixed}; that become wrong: {spoilt}; the others change from wrong to "
        "wrong. An image counts in two classes. No answer: it says something else, but is not sure enough.",
    )


def _images(content: EnsembleContent, member: str) -> tuple[int, int]:
    own = {one.name: one for one in content.changes if one.member == member and one.answered}.values()
    return sum(one.after == one.label for one in own), sum(one.before == one.label for one in own)


def _number(value: float) -> str:
    return "–" if not math.isfinite(value) else f"{value:.4f}"


def _reach(interval: Interval) -> str:
    if not math.isfinite(interval.low):
        return _number(interval.value)
    return f"{interval.value:.4f} [{interval.low:.3f}, {interval.high:.3f}]"


def _points(interval: Interval) -> str:
    if not math.isfinite(interval.low):
        return f"{100 * interval.value:+.2f}"
    return f"{100 * interval.value:+.2f} [{100 * interval.low:+.2f}, {100 * interval.high:+.2f}]"


def _p(value: float) -> str:
    return "–" if not math.isfinite(value) else f"{value:.3g}"
