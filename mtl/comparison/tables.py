"""Read tables of scores, or of predictions, and refuse what cannot be compared."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mtl.errors import ConfigError

__all__ = ["Predictions", "Scores", "read_predictions", "read_scores"]

INDEX = ("repeat", "run", "fold", "seed", "split", "row", "name", "dataset", "data set", "backbone")
"""Columns that say which row it is, and are no scores."""


@dataclass(frozen=True)
class Scores:
    """Scores of two methods or more on the same splits.

    Attributes:
        names: Of the K methods.
        values: (J, K), more is better.
        rows: What each of the J rows is.
        points: Points in one unit: 100 for scores from 0 to 1, 1 for per cent.
    """

    names: tuple[str, ...]
    values: npt.NDArray[np.float64]
    rows: tuple[str, ...]
    points: float


@dataclass(frozen=True)
class Predictions:
    """What a model said of each image.

    Attributes:
        model: Its name.
        rows: By image name: label, what was said, group, and probabilities by class (empty where not given).
    """

    model: str
    rows: Mapping[str, tuple[str, str, str, Mapping[str, float]]]


def read_scores(path: Path) -> Scores:
    """Read a CSV file with a row for every split and a column for every method.

    Columns called repeat, run, fold, seed, split, row, name, dataset or backbone name the row; all others are scores,
    all from 0 to 1 or all in per cent.

    Raises:
        ConfigError: One line that names file, line and column.
    """
    header, lines = _read(path)
    label = [place for place, name in enumerate(header) if name.casefold() in INDEX]
    columns = [place for place in range(len(header)) if place not in label]
    if len(columns) < 2:
        raise ConfigError(
            f"Expected {path} to have two or more columns of scores, but got {len(columns)} ({', '.join(header)}); "
            "do give a column for every method"
        )
    if len({header[place] for place in columns}) < len(columns) or not all(
        header[place] for place in columns
    ):
        raise ConfigError(
            f"Expected {path} to name every column once, but got {', '.join(header)}; do name them in the first line"
        )
    values = np.array([[_number(path, line, header[p], cells[p]) for p in columns] for line, cells in lines])
    if len(values) < 2:
        raise ConfigError(
            f"Expected {path} to hold two or more rows of scores, but got {len(values)}; do give a row for every split"
        )
    rows = tuple(
        " ".join(f"{header[p]} {cells[p]}" for p in label) or f"{n}" for n, (_, cells) in enumerate(lines, 1)
    )
    return Scores(tuple(header[place] for place in columns), values, rows, _points(path, values))


def is_predictions(path: Path) -> bool:
    """Say whether a file has the columns of a run's `predictions.csv`."""
    return {"name", "label", "predicted"} <= {name.casefold() for name in _read(path)[0]}


def read_predictions(path: Path) -> Predictions:
    """Read a `predictions.csv` as a run writes it: name, label, predicted, and if there are any group and p_CLASS.

    Raises:
        ConfigError: One line that names file, line and column.
    """
    header, lines = _read(path)
    place = {name.casefold(): number for number, name in enumerate(header)}
    missing = [name for name in ("name", "label", "predicted") if name not in place]
    if missing:
        raise ConfigError(
            f"Expected {path} to have the column {missing[0]}, but got {', '.join(header)}; do give a `predictions.csv` of a run"
        )
    classes = [name for name in header if name.startswith("p_")]
    rows: dict[str, tuple[str, str, str, Mapping[str, float]]] = {}
    for line, cells in lines:
        name = cells[place["name"]]
        if name in rows:
            raise ConfigError(
                f"Expected {path} to hold every image once, but got {name!r} again in line {line}; do pool folds, not repeats"
            )
        group = cells[place["group"]] if "group" in place else ""
        votes = {key[2:]: _number(path, line, key, cells[header.index(key)]) for key in classes}
        rows[name] = (cells[place["label"]], cells[place["predicted"]], group or name, votes)
    return Predictions(str(path), rows)


def _read(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header and (line number, cells) of every line that is not blank."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            lines = [
                (reader.line_num, [cell.strip() for cell in cells])
                for cells in reader
                if any(map(str.strip, cells))
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"Expected {path} to be a CSV file in UTF-8, but got: {reason}; do check it"
        ) from error
    if not lines:
        raise ConfigError(f"Expected {path} to be a CSV file with a header, but it is empty; do check it")
    header = lines[0][1]
    for number, cells in lines[1:]:
        if len(cells) != len(header):
            raise ConfigError(
                f"Expected {path} to have {len(header)} cells in line {number}, but got {len(cells)}; do fill in what is missing"
            )
    return header, lines[1:]


def _number(path: Path, line: int, column: str, cell: str) -> float:
    if not cell:
        raise ConfigError(
            f"Expected a number in {path}, line {line}, column {column}, but the cell is empty; do fill it in or leave out the row"
        )
    try:
        value = float(cell.rstrip("%"))
    except ValueError as error:
        raise ConfigError(
            f"Expected a number in {path}, line {line}, column {column}, but got {cell!r}; do mend it, with a point for decimals"
        ) from error
    if not math.isfinite(value):
        raise ConfigError(
            f"Expected a finite number in {path}, line {line}, column {column}, but got {cell!r}; do leave out the row"
        )
    return value


def _points(path: Path, values: npt.NDArray[Any]) -> float:
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 100:
        raise ConfigError(
            f"Expected the scores in {path} to be from 0 to 1, or from 0 to 100 per cent, but got {low if low < 0 else high:g}; "
            "do compare scores of which more is better, such as accuracy"
        )
    if high <= 1:
        return 100.0
    fractions = values[(values > 0) & (values <= 1)]
    if len(fractions):
        raise ConfigError(
            f"Expected the scores in {path} to be all from 0 to 1 or all in per cent, but got both {fractions[0]:g} and {high:g}; "
            "do write them in one unit"
        )
    return 1.0


def names_of(paths: Sequence[Path]) -> tuple[str, ...]:
    """Return a short, different name for each of several files: their names without what they share."""
    parts = [path.with_suffix("").parts for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        tails = ["/".join(part[-depth:]) for part in parts]
        if len(set(tails)) == len(tails):
            return tuple(tails)
    return tuple(map(str, paths))
