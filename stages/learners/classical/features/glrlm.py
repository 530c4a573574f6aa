"""Grey-level run lengths (Galloway 1975; Chu et al. 1990; Dasarathy & Holder 1991)."""

from __future__ import annotations

import numpy as np

from stages.classical_settings import ClassicalSettings
from stages.learners.classical.features.grey import Levels, lines, quantise
from stages.learners.classical.features.view import Floats, View

__all__ = ["ASKS", "PROPERTIES", "columns", "describe", "properties", "run_lengths"]

ASKS = ("levels",)
PROPERTIES = (
    "short runs",
    "long runs",
    "grey-level non-uniformity",
    "run-length non-uniformity",
    "run percentage",
    "low grey levels",
    "high grey levels",
    "short runs of low levels",
    "short runs of high levels",
    "long runs of low levels",
    "long runs of high levels",
)


def columns(_: ClassicalSettings) -> tuple[str, ...]:
    """Return the names of the features."""
    return tuple(f"{how} {name}" for how in ("mean", "range of") for name in PROPERTIES)


def describe(view: View, settings: ClassicalSettings) -> Floats:
    """Return the mean over four directions and its range of every property."""
    values = quantise(view.grey, view.mask, settings.levels)
    pixels = int(np.count_nonzero(view.mask))
    found = np.stack([properties(table, pixels) for table in run_lengths(values, settings.levels)])
    return np.concatenate([found.mean(axis=0), np.ptp(found, axis=0)])


def run_lengths(values: Levels, levels: int) -> list[Levels]:
    """Return how many runs of each grey level have each length, along 0, 45, 90 and 135 degrees.

    Args:
        values: Grey levels (H, W); pixels of `levels` are in no run.
        levels: L.

    Returns:
        Four tables (L, longest), row = grey level, column = length minus 1.
    """
    longest, tables = max(values.shape), []
    for line in lines(values, levels):
        ends = np.flatnonzero(np.diff(line, append=-1))
        lengths, seen = np.diff(ends, prepend=-1), line[ends]
        kept = seen < levels
        counts = np.bincount(seen[kept] * longest + lengths[kept] - 1, minlength=levels * longest)
        tables.append(counts.reshape(levels, longest))
    return tables


def properties(table: Levels, pixels: int) -> Floats:
    """Return what a table of runs (L, longest) says, (11,), in the order of `PROPERTIES`.

    Non-uniformities are divided by the number of runs, as the others, so that a large cell is not another texture.

    Args:
        table: See `run_lengths`; levels and lengths count from 1 in the formulas.
        pixels: That could be in runs.
    """
    runs = table.sum()
    level = np.arange(1, table.shape[0] + 1, dtype=np.float64) ** 2
    length = np.arange(1, table.shape[1] + 1, dtype=np.float64) ** 2
    of_level, of_length = table.sum(axis=1).astype(np.float64), table.sum(axis=0).astype(np.float64)
    short, long = table @ (1 / length), table @ length
    sums = [
        (of_length / length).sum(),
        (of_length * length).sum(),
        (of_level**2).sum() / runs,
        (of_length**2).sum() / runs,
        runs * runs / pixels,
        (of_level / level).sum(),
        (of_level * level).sum(),
        (short / level).sum(),
        (short * level).sum(),
        (long / level).sum(),
        (long * level).sum(),
    ]
    found: Floats = np.array(sums) / runs
    return found
