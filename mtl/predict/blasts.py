"""Which class is of blasts, and what part of the cells they are, with an interval that knows that cells of a field are alike."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mtl.errors import ConfigError
from mtl.predict.records import CellSaid, Share

__all__ = ["blast_class", "count_blasts", "share_of"]

_Z = 1.959963984540054
_NAMES = frozenset({"lymphoblast", "lymphoblasts", "blast", "blasts", "all"})


def blast_class(classes: Sequence[str], positive: str | None, asked: str | None) -> str | None:
    """Return the class that is counted as blasts; None where no class is said to be.

    Args:
        classes: Of stage 2; of two, the last is the positive one.
        positive: Which one its settings name as positive.
        asked: By `--blast`.

    Raises:
        ConfigError: If the stage has no class that was asked for.

    Examples:
        >>> blast_class(["normal", "lymphoblast"], None, None)
        'lymphoblast'
        >>> blast_class(["basophil", "erythroblast", "monocyte"], None, None) is None
        True
    """
    if asked is not None:
        if asked not in classes:
            raise ConfigError(
                f"Expected `--blast` to be a class of stage 2 ({', '.join(classes)}), but got {asked!r}; do choose one"
            )
        return asked
    if positive is not None:
        return positive
    named = [name for name in classes if name.casefold() in _NAMES]
    if named:
        return named[0]
    return classes[-1] if len(classes) == 2 else None


def count_blasts(cells: Sequence[CellSaid], blast: str) -> tuple[int, int]:
    """Return how many cells are blasts, and how many were counted: those that are like the training data."""
    known = [cell.said for cell in cells if cell.said is not None and not cell.said.unlike]
    return sum(said.label == blast for said in known), len(known)


def share_of(fields: Sequence[tuple[int, int]]) -> Share:
    """Return the part of blasts among the cells of one field or several.

    Wilson's interval. Of several fields, the number of cells is divided by the design effect first: how much more the
    fields' counts differ than single cells would make them (ratio estimator; Dean & Pagano 2015), never below 1.

    Args:
        fields: (blasts, cells) of each.

    Examples:
        >>> share_of([(5, 10)]).part
        0.5
        >>> share_of([]).part is None
        True
    """
    known = [(count, total) for count, total in fields if total]
    count, total = (sum(column) for column in zip(*known, strict=True)) if known else (0, 0)
    if not total:
        return Share(count=0, total=0, part=None, low=None, high=None)
    part = count / total
    size = total / _design_effect(known, part, total)
    low, high = _wilson(part, size)
    return Share(count=count, total=total, part=part, low=low, high=high)


def _design_effect(fields: Sequence[tuple[int, int]], part: float, total: int) -> float:
    if len(fields) < 2 or part in (0, 1):
        return 1.0
    spread = sum((count - part * cells) ** 2 for count, cells in fields)
    variance = len(fields) / (len(fields) - 1) * spread / total**2
    return max(variance * total / (part * (1 - part)), 1.0)


def _wilson(part: float, size: float) -> tuple[float, float]:
    square = _Z**2 / size
    middle = (part + square / 2) / (1 + square)
    reach = _Z * math.sqrt(part * (1 - part) / size + square / size / 4) / (1 + square)
    # Exact at the ends, where rounding would leave a hair.
    return (0.0 if part == 0 else max(middle - reach, 0.0)), (1.0 if part == 1 else min(middle + reach, 1.0))
