"""What is said of a paper: its tables with ours beside them, what its split would have claimed, and what cannot be as printed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtl.benchmark.cell import healthy_class
from mtl.report.tables import Table
from mtl.reproduce.checks import check_paper
from mtl.reproduce.plan import KINDS, Kind, Sizes
from mtl.reproduce.published import Paper, PaperRow, PaperTable
from mtl.reproduce.run import COLOUR, Done, PaperRun
from mtl.reproduce.scores import Said, column_scores, inflation, said_of
from mtl.runs import Predictions
from stages.bootstrap import Interval
from stages.learners.ensemble.combine import Vote

__all__ = ["OURS", "PaperContent", "describe"]

OURS: Mapping[Kind, str] = {"groups": "ours, split over groups", "images": "ours, split over images"}


@dataclass(frozen=True)
class PaperContent:
    """Everything in a report of one paper.

    Attributes:
        name: Of the paper.
        paper: What it prints.
        rendered: Whether ours are of rendered smears.
        sizes: What was scaled.
        systems: Backbones that were run, by name.
        missing: Why others were not.
        tables: Of the paper, ours beside.
        leakage: What a split over images claims more, by system: macro F1 and accuracy.
        impossible: What cannot be as it is printed.
        notes: What the reader must know.
    """

    name: str
    paper: Paper
    rendered: bool
    sizes: Sizes
    systems: Mapping[str, str]
    missing: Mapping[str, str]
    tables: tuple[Table, ...]
    leakage: Mapping[str, Mapping[str, Interval]]
    leak_table: Table
    impossible: tuple[str, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values; what is not defined is NaN."""
        shown = (
            "name",
            "rendered",
            "sizes",
            "systems",
            "missing",
            "tables",
            "leakage",
            "impossible",
            "notes",
        )
        return {"title": self.paper.title} | {key: getattr(self, key) for key in shown}


def describe(run: PaperRun, done: Done) -> PaperContent:
    """Return what is said of a paper that was run."""
    paper, settings = run.paper, run.settings
    drawing = {"resamples": settings.resamples, "seed": settings.seed}
    tables = [_table(table, run, done, drawing) for table in paper.tables]
    leakage = {
        system: inflation(sides["groups"], sides["images"], **drawing) for system, sides in done.said.items()
    }
    return PaperContent(
        name=run.name,
        paper=paper,
        rendered=done.rendered,
        sizes=run.sizes,
        systems=run.backbones,
        missing=run.missing,
        tables=tuple(tables),
        leakage=leakage,
        leak_table=_leak_table(done, leakage, drawing),
        impossible=check_paper(paper),
        notes=tuple(_notes(run, done)),
    )


def _table(table: PaperTable, run: PaperRun, done: Done, drawing: Mapping[str, int]) -> Table:
    rows: list[tuple[str, ...]] = []
    shown: set[str] = set()
    for row in table.rows:
        rows.append((row.title, "the paper", *(_printed(value) for value in row.values)))
        for kind in KINDS if table.of != "none" else ():
            splits = _said(table, row, kind, run, done)
            if splits:
                rows.append(("", OURS[kind], *_ours(table, splits, row.of, drawing)))
                shown.add(row.system)
    if table.of != "none" and not table.vote:
        for system, sides in done.said.items():
            if system in shown:
                continue
            for kind in KINDS:
                rows.append(
                    (system if kind == "groups" else "", OURS[kind], *_ours(table, sides[kind], "", drawing))
                )
    what = {"none": "Not run here.", "detection": "Ours: the healthy class against all others.", "positive": "Ours: of the last class.",
            "macro": "Ours: means over the classes, and plain accuracy.", "one-vs-rest": "Ours: one class against the rest, means over the classes."}  # fmt: skip
    note = what[table.of] + (" Below the threshold no class is said." if table.vote else "")
    return Table(f"{table.number}. {table.title}", ("", "", *table.columns), tuple(rows), note)


def _said(table: PaperTable, row: PaperRow, kind: Kind, run: PaperRun, done: Done) -> list[Said]:
    if table.vote is None:
        return done.said.get(row.system, {}).get(kind, [])
    vote = Vote(weights=table.vote.weights)
    found = [_voted(vote, parts, table.vote.threshold) for parts in done.votes.get(kind, [])]
    return found if not row.of or all(row.of in one.classes for one in found) else []


def _voted(vote: Vote, members: Sequence[Predictions], threshold: float) -> Said:
    first = members[0]
    rows = [{name: row for row, name in enumerate(one.names)} for one in members]
    votes = np.stack(
        [
            one.probabilities[[own[name] for name in first.names]]
            for one, own in zip(members, rows, strict=True)
        ]
    )
    whole = Predictions(first.classes, first.names, first.labels, first.groups, first.predicted, vote(votes))
    return said_of(whole, threshold)


def _ours(table: PaperTable, splits: Sequence[Said], label: str, drawing: Mapping[str, int]) -> list[str]:
    if table.of == "detection" and healthy_class(splits[0].classes) is None:
        return ["–"] * len(table.columns)
    scores = column_scores(splits, table.of, label, **drawing)
    unit = 100 if table.percent else 1
    return [_reach(scores.get(name), unit) for name in table.scores]


def _leak_table(
    done: Done, leakage: Mapping[str, Mapping[str, Interval]], drawing: Mapping[str, int]
) -> Table:
    rows = []
    for system, sides in done.said.items():
        scores = {kind: column_scores(sides[kind], "macro", "", **drawing) for kind in KINDS}
        rows.append(
            (
                system,
                *(_reach(scores[kind]["f1"], 1) for kind in KINDS), _points(leakage[system]["macro F1"]),
                *(_reach(scores[kind]["accuracy"], 1) for kind in KINDS), _points(leakage[system]["accuracy"]),
            )
        )  # fmt: skip
    header = (
        "", "macro F1 over groups", "over images", "inflation, points", "accuracy over groups", "over images", "inflation, points",
    )  # fmt: skip
    return Table(
        "Leakage: the same system under the paper's own kind of split",
        header,
        tuple(rows),
        "Over images: groups are ignored, so that copies, neighbours and images of one patient stand on both sides. The test parts "
        "differ, so the interval is of two independent bootstraps, of groups there and of images here; it holds no other training.",
    )


def _notes(run: PaperRun, done: Done) -> list[str]:
    notes = [run.sizes.sentence]
    if None in run.roots.values():
        notes.append(
            "The paper's data are not here: ours are of rendered smears in their layout, not patient data."
        )
    notes += [f"{OURS[kind][0].upper()}{OURS[kind][1:]}: {text}." for kind, text in done.data.items()]
    if run.settings.weights == "none":
        notes.append("Nothing is pretrained (--weights none): every network begins from random weights.")
    if run.missing:
        notes.append(f"Not run here: {', '.join(run.missing)}; why is said below.")
    stand_ins = [name for name in run.backbones if name not in run.paper.systems]
    if stand_ins:
        notes.append(
            f"{', '.join(stand_ins)}: run where the paper's networks could not be had. They are not the paper's."
        )
    if run.paper.ensemble and run.ensemble:
        asked = run.paper.ensemble.name
        notes.append(
            f"Ensemble: {run.ensemble}" + ("." if asked == run.ensemble else f", in the place of {asked}.")
        )
        notes += [f"{OURS[kind]}: {text}" for kind, texts in done.sentences.items() for text in texts]
    elif run.paper.ensemble:
        notes.append(f"The ensemble {run.paper.ensemble.name} is not run: its members could not be had.")
    worst = done.said[COLOUR]["groups"]
    best = column_scores(worst, "macro", resamples=100, seed=0)["f1"].value
    notes.append(
        f"Colour alone, a random forest on a colour histogram without any shape, reaches macro F1 {best:.3f} over groups."
    )
    return [*notes, *run.paper.not_ours]


def _printed(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


def _reach(interval: Interval | None, unit: float) -> str:
    if interval is None or not math.isfinite(interval.value):
        return "–"
    digits = 2 if unit == 100 else 4
    value, low, high = (unit * number for number in (interval.value, interval.low, interval.high))
    return f"{value:.{digits}f}" + (f" [{low:.{digits}f}, {high:.{digits}f}]" if math.isfinite(low) else "")


def _points(interval: Interval) -> str:
    value, low, high = (100 * number for number in (interval.value, interval.low, interval.high))
    return f"{value:+.2f}" + (f" [{low:+.2f}, {high:+.2f}]" if math.isfinite(low) else "")
