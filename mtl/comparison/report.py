"""The report of a comparison: HTML, Markdown and JSON from the same content."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mtl.comparison.compare import Compared, ImageTests
from mtl.report.page import render_page
from mtl.statistics import SelfCheck, TestResult

__all__ = ["ComparisonContent", "PaperRow", "comparison_html", "comparison_markdown"]


@dataclass(frozen=True)
class PaperRow:
    """A published score and ours beside it.

    Attributes:
        table: Such as `"Table III, 4 classes"`.
        method: Name in the paper.
        theirs: Accuracy, from 0 to 1.
    """

    table: str
    method: str
    theirs: float


@dataclass(frozen=True)
class ComparisonContent:
    """Everything in a report.

    Attributes:
        name: Heading.
        metric: What is compared.
        verdicts: Plain sentences, the main one first.
        notes: What the reader must know of the data, in plain sentences.
        rendered: Whether images are rendered smears.
        compared: Tables of scores, each with its tests.
        images: Comparisons on the same images.
        runs: Every run as a row of a table, header first.
        convergence: Losses (cells, epochs) by chain.
        published: Scores of paper A, with ours (accuracy by chain) beside them.
        ours: Mean accuracy by table of `published` and by chain.
        claims: Checks of numbers that somebody else printed.
        command: As typed.
        environment: Versions, processor, date.
    """

    name: str
    metric: str
    verdicts: tuple[str, ...]
    notes: tuple[str, ...] = ()
    rendered: bool = False
    compared: tuple[Compared, ...] = ()
    images: tuple[ImageTests, ...] = ()
    runs: tuple[tuple[str, ...], ...] = ()
    convergence: Mapping[str, Any] = field(default_factory=dict)
    published: tuple[PaperRow, ...] = ()
    ours: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    claims: tuple[SelfCheck, ...] = ()
    command: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def checks(self) -> tuple[SelfCheck, ...]:
        """The self-check of every printed p."""
        scores = [check for part in self.compared for check in part.checks]
        return (*scores, *(check for part in self.images for check in part.checks))


def comparison_html(content: ComparisonContent) -> str:
    """Return the page: styles and figures inside, nothing loaded from elsewhere."""
    from markupsafe import Markup

    from mtl.comparison import figures

    views = []
    for part in content.compared:
        values, points = part.scores.values, part.scores.points
        column = {name: values[:, place] for place, name in enumerate(part.scores.names)}
        pairs = []
        for pair, verdict in zip(part.pairs, part.verdicts, strict=True):
            gained = column[pair.first_name] - column[pair.second_name]
            figure = figures.differences(pair, gained, points)
            pairs.append((pair, verdict, Markup(figure)))  # noqa: S704 - our own SVG
        views.append(
            {
                "part": part,
                "paired": Markup(figures.paired(values, part.scores.names, points)),  # noqa: S704
                "ranks": Markup(figures.critical_difference(part.nemenyi)) if part.nemenyi else None,  # noqa: S704
                "pairs": pairs,
            }
        )
    curves = {
        title: Markup(figures.convergence(series, title))  # noqa: S704
        for title, series in content.convergence.items()
        if series
    }
    return render_page(
        "mtl.comparison",
        {"number": _number, "p": _p},
        content=content,
        views=views,
        curves=curves,
        paper=paper_table(content),
    )


def comparison_markdown(content: ComparisonContent) -> str:
    """Return verdicts, tests and runs as Markdown."""
    lines = [f"# {content.name}", ""]
    lines += [f"**{verdict}.**" for verdict in content.verdicts] + [""]
    lines += [f"- {note}" for note in content.notes] + [""]
    for part in content.compared:
        lines += [f"## {part.title}", ""]
        lines += _table(("method", "mean", "SD", "n"), _means(part))
        for pair, verdict in zip(part.pairs, part.verdicts, strict=True):
            lines += [f"### {pair.first_name} against {pair.second_name}", "", f"{verdict}.", ""]
            lines += _tests(pair.tests, part.scores.points)
            lines += _table(
                ("effect", "value", "95 % interval"),
                [(e.name, _number(e.value), _reach(e.low, e.high)) for e in pair.effects],
            )
            bayes = pair.bayes
            lines += [
                f"Bayesian correlated t: better {_number(bayes.first)}, practically equal (±{bayes.rope * part.scores.points:g} points) "
                f"{_number(bayes.equal)}, worse {_number(bayes.second)}.",
                "",
            ]
        if part.friedman:
            lines += [
                f"Friedman: F = {_number(part.friedman.f.statistic)}, p {_p(part.friedman.f.p)} ({part.friedman.f.assumes}).",
                "",
            ]
    for images in content.images:
        lines += [
            f"## {images.first} against {images.second} on {images.n} images of {images.groups} groups",
            "",
            f"{images.verdict}.",
            "",
        ]
        lines += _tests(images.tests, 100.0)
    if content.runs:
        lines += ["## Runs", "", *_table(content.runs[0], content.runs[1:])]
    if content.published:
        lines += [
            "## Beside paper A (other data: no comparison of methods)",
            "",
            *_table(*paper_table(content)),
        ]
    lines += ["## Self-check", ""]
    lines += [f"- {check.sentence}" for check in (*content.claims, *content.checks)] + [""]
    return "\n".join(lines)


def paper_table(content: ComparisonContent) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return header and rows of published scores with ours beside them."""
    chains = list(dict.fromkeys(chain for scores in content.ours.values() for chain in scores))
    rows = [
        (row.table, row.method, f"{row.theirs:.4f}", *(_number(content.ours.get(row.table, {}).get(chain, math.nan)) for chain in chains))
        for row in content.published
    ]  # fmt: skip
    return ("table", "paper A", "theirs", *(f"ours, {chain}" for chain in chains)), rows


def _means(part: Compared) -> list[tuple[str, ...]]:
    values = part.scores.values
    spread = values.std(axis=0, ddof=1) if len(values) > 1 else np.full(values.shape[1], np.nan)
    return [
        (name, _number(float(values[:, place].mean())), _number(float(spread[place])), str(len(values)))
        for place, name in enumerate(part.scores.names)
    ]


def _tests(tests: Sequence[TestResult], points: float) -> list[str]:
    rows = [
        (
            test.name, _number(test.statistic), _df(test), _p(test.p), _number(test.difference * points),
            _reach(test.low * points, test.high * points), test.assumes,
        )
        for test in tests
    ]  # fmt: skip
    return _table(("test", "statistic", "df", "p", "points", "95 % interval", "assumes"), rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    top, *lines = ("| " + " | ".join(map(_cell, row)) + " |" for row in (header, *rows))
    return [top, "|" + "---|" * len(header), *lines, ""]


def _cell(text: str) -> str:
    """Return a name or number as one cell: no bar, line or tag of its own."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def _df(test: TestResult) -> str:
    if test.df is None:
        return "–"
    return ", ".join(f"{part:g}" for part in (test.df if isinstance(test.df, tuple) else (test.df,)))


def _number(value: float, digits: int = 4) -> str:
    return "–" if not math.isfinite(value) else f"{value:.{digits}f}"


def _reach(low: float, high: float) -> str:
    return "–" if not math.isfinite(low) else f"[{low:.2f}, {high:.2f}]"


def _p(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value:.4g}"
