"""Whether what a paper prints can be: an arithmetic self-check that needs no images.

- An F1 is the harmonic mean of its precision and recall, where all three are of one class.
- Sensitivity and specificity of one class, and how many images were tested, give all four counts: precision and accuracy follow.
- An accuracy is a whole number of images; a mean is the mean; a t test gives its p.
- An IoU is never above the Dice of the same masks; it is Dice / (2 - Dice).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal

import numpy as np

from mtl.reproduce.published import Paper, PaperRow, PaperTable
from mtl.statistics import TestResult, independent_t, self_check

__all__ = ["check_paper", "check_values"]


def check_paper(paper: Paper) -> tuple[str, ...]:
    """Return a sentence for everything that cannot be as it is printed."""
    found: list[str] = []
    for table in paper.tables:
        for row in table.rows:
            where = f"{table.number}, {row.title}"
            found += [f"{where}: {text}" for text in _row(table, row)]
        found += [f"{table.number}: {text}" for text in _claim(table)]
        found += _overall(table)
    for one in paper.confusions:
        counts = np.array(one.counts)
        accuracy = float(np.trace(counts) / counts.sum())
        if abs(accuracy - one.accuracy) > 0.5e-4 + 1e-9:
            found.append(
                f"{one.number}, {one.system}: the matrix gives {accuracy:.4f}, printed is {one.accuracy:.4f}"
            )
    return tuple(found)


def check_values(printed: Mapping[str, float], *, unit: float = 1.0, slack: float = 0.00005) -> Iterator[str]:
    """Yield a sentence for each score that does not fit the others of one class.

    Args:
        printed: Scores by name: precision, recall, f1, iou, dice.
        unit: 100 for per cent.
        slack: Half a unit of the last digit, from 0 to 1.

    Examples:
        >>> list(check_values({"iou": 0.95, "dice": 0.93}))
        ['an IoU of 0.9500 is above the Dice of 0.9300 of the same masks: no masks give that']
    """
    values = {name: value / unit for name, value in printed.items()}
    precision, recall, f1 = (values.get(name) for name in ("precision", "recall", "f1"))
    if precision is not None and recall is not None and f1 is not None and precision + recall > 0:
        exact = 2 * precision * recall / (precision + recall)
        if abs(exact - f1) > 2.5 * slack:
            yield f"precision and recall give F1 {_shown(exact, unit)}, printed is {_shown(f1, unit)}"
    iou, dice = values.get("iou"), values.get("dice")
    if iou is not None and dice is not None:
        if iou > dice + 2 * slack:
            yield f"an IoU of {_shown(iou, unit)} is above the Dice of {_shown(dice, unit)} of the same masks: no masks give that"
        elif abs(dice / (2 - dice) - iou) > 5 * slack:
            yield (
                f"a Dice of {_shown(dice, unit)} is an IoU of {_shown(dice / (2 - dice), unit)} of the same masks, printed is "
                f"{_shown(iou, unit)} (means over images may differ)"
            )


def _row(table: PaperTable, row: PaperRow) -> Iterator[str]:
    unit = 100.0 if table.percent else 1.0
    printed = {
        name: value for name, value in zip(table.columns, row.values, strict=True) if value is not None
    }
    slack = 0.5 * 10.0 ** -max(map(_decimals, printed.values())) / unit
    of_one_class = table.two_classes and (bool(row.of) or not table.counts)
    if of_one_class or (table.of == "one-vs-rest" and not table.vote):
        unsure = "" if of_one_class else ", if they are of one class"
        yield from (text + unsure for text in check_values(printed, unit=unit, slack=slack))
    if row.of and table.counts:
        yield from _counted(printed, table.counts[row.of], sum(table.counts.values()), unit)
    if table.images and "accuracy" in printed:
        right = printed["accuracy"] / unit * table.images
        if abs(right - round(right)) > slack * table.images + 1e-9:
            yield f"an accuracy of {printed['accuracy']:g} is {right:.2f} of {table.images} images, and not a whole number"
    for name, parts in table.means.items():
        mean = float(np.mean([printed[part] for part in parts]))
        if abs(mean - printed[name]) > slack * unit + 1e-9:
            yield f"{name} is {mean:g}, printed is {printed[name]:g}"


def _counted(printed: Mapping[str, float], own: int, images: int, unit: float) -> Iterator[str]:
    """Yield what does not follow from sensitivity, specificity and the numbers of images."""
    hits = round(printed["recall"] / unit * own)
    false = round((1 - printed["specificity"] / unit) * (images - own))
    for name, count, of in (("recall", hits, own), ("specificity", images - own - false, images - own)):
        if abs(count / of - printed[name] / unit) > 0.5e-4 + 1e-9:
            yield f"no number of {of} images is {printed[name]:g} {name}"
    exact = {
        "precision": hits / (hits + false) if hits + false else math.nan,
        "accuracy": (hits + images - own - false) / images,
    }
    for name, value in exact.items():
        if name in printed and abs(value - printed[name] / unit) > 1e-4 + 1e-9:
            yield (
                f"{hits} of {own} and {false} false alarms in {images - own} give a {name} of {value * unit:.2f}, printed is "
                f"{printed[name]:g}"
            )


def _overall(table: PaperTable) -> Iterator[str]:
    rows = [row for row in table.rows if row.of]
    whole = next((row for row in table.rows if table.vote and not row.of), None)
    if whole is None:
        return
    for place, name in enumerate(table.columns):
        parts = [row.values[place] for row in rows]
        known = [value for value in parts if value is not None]
        printed = whole.values[place]
        if len(known) < len(parts) or printed is None:
            continue
        mean = float(np.mean(known))
        if abs(mean - printed) > 0.0151:
            yield f"{table.number}: the mean {name} of the classes is {mean:.2f}, printed is {printed:g}"


def _claim(table: PaperTable) -> Iterator[str]:
    if table.claim is None:
        return
    claim = table.claim
    check = self_check(TestResult("the printed t", claim.t, claim.df, claim.p), decimals=4)
    if check.agrees is False:
        yield check.sentence
    columns = np.array([row.values for row in table.rows], np.float64)
    test = independent_t(columns[:, 1], columns[:, 0])
    if abs(test.statistic - claim.t) > 0.5e-4:
        yield f"the rows give t = {test.statistic:.4f}, df {test.df:g}, p = {test.p:.3g}; printed is t = {claim.t:g}, p = {claim.p:g}"


def _decimals(value: float) -> int:
    return max(0, -int(Decimal(repr(value)).as_tuple().exponent))


def _shown(value: float, unit: float) -> str:
    return f"{value * unit:.2f}" if unit == 100 else f"{value:.4f}"
