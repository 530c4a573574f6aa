"""A network beside the threshold baseline and the shipped network on the same images: scores by image, and what follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtl.segment.data import load_pair
from mtl.segment.score import Scores, score_pair
from segmentation.cells import CellSettings, find_cells, keep_cells, main_cell
from segmentation.files import make_folder, write_image
from segmentation.masks import Labels, encode_mask
from segmentation.predict import Segmenter
from segmentation.threshold import DEFAULT, threshold
from segmentation.weights import load_shipped
from stages.bootstrap import Interval, bootstrap, group_index
from stages.data.catalogue import find_dataset
from stages.data.sample import Sample
from stages.splits.split import group_of

__all__ = ["BASELINE", "METHODS", "NETWORK", "UNTRAINED", "Row", "evaluate", "mean_dice", "summarise"]

BASELINE = DEFAULT
NETWORK = "network"
UNTRAINED = "shipped"
METHODS = (NETWORK, UNTRAINED, BASELINE)
_COLUMNS = (
    ("nucleus", "dice"), ("cell", "dice"), ("nucleus", "iou"), ("cell", "iou"), ("cell", "success"),
    ("cell", "boundary_f1"), ("cell", "hd95"), ("instances", "precision"), ("instances", "recall"),
    ("instances", "pq"), ("instances", "aji"),
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """Scores of one image by one method.

    Attributes:
        fold: From 1.
        part: `held out`, or the name of the data set that is tested on alone.
        name: Of the sample.
        group: Of the sample.
        method: `network`, `shipped` (the network as it came, without training) or the baseline's name.
        file: Predicted labels of the network, relative to the run folder; empty for the others.
        scores: See `mtl.segment.score`.
    """

    fold: int
    part: str
    name: str
    group: str
    method: str
    file: str
    scores: Scores

    def flat(self) -> dict[str, Any]:
        """Return one row of a table."""
        values = {f"{part}_{key}": self.scores[part][key] for part, key in _COLUMNS}
        return {key: value for key, value in asdict(self).items() if key != "scores"} | values


def evaluate(
    segmenter: Segmenter,
    samples: Mapping[str, Sequence[Sample]],
    fold: int,
    run: Path,
    tell: Callable[[int, int, str], None],
) -> list[Row]:
    """Score network, shipped network and baseline on the same images, and keep the network's masks.

    Masks of single-cell data sets mark one cell: of all methods the main cell alone counts where the truth holds one.

    Args:
        segmenter: The network.
        samples: Tested images by part.
        fold: From 1.
        run: The run folder.
        tell: Told about progress.
    """
    device = str(next(segmenter.network.parameters()).device)
    shipped = Segmenter(load_shipped(device), segmenter.settings)
    find: dict[str, Callable[[Any], Labels]] = {
        NETWORK: segmenter.labels,
        UNTRAINED: shipped.labels,
        BASELINE: lambda image: threshold(image, BASELINE),
    }
    make_folder(run / f"fold-{fold}" / "predictions")
    rows: list[Row] = []
    total, number = sum(map(len, samples.values())), 0
    for part, members in samples.items():
        for sample in members:
            image, truth = load_pair(sample)
            file = f"fold-{fold}/predictions/{number:05d}.png"
            for method in METHODS:
                found = _comparable(find[method](image), truth, sample)
                if method == NETWORK:
                    write_image(run / file, encode_mask(found))
                own = file if method == NETWORK else ""
                rows.append(
                    Row(fold, part, sample.name, group_of(sample), method, own, score_pair(found, truth))
                )
            number += 1
            tell(number, total, sample.name)
    return rows


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Return means by part, method and fold, and the paired differences of the network from the others.

    Returns:
        By part: `images`, `groups`, `methods` (a mean and a standard deviation over folds of each score, and the folds'
        own means), `differences` (mean Dice of nucleus and cell, network less each other method, in an interval over
        groups), `verdict` (on the baseline) and `gain` (on the shipped network).
    """
    parts: dict[str, Any] = {}
    for part in dict.fromkeys(row.part for row in rows):
        own = [row for row in rows if row.part == part]
        methods = {}
        for method in METHODS:
            folds = [
                {key: float(np.mean([row.flat()[key] for row in own if row.fold == fold and row.method == method]))
                 for key in (f"{a}_{b}" for a, b in _COLUMNS)}
                for fold in sorted({row.fold for row in own})
            ]  # fmt: skip
            mean = {key: float(np.mean([fold[key] for fold in folds])) for key in folds[0]}
            spread = {
                key: float(np.std([fold[key] for fold in folds], ddof=1)) if len(folds) > 1 else None
                for key in folds[0]
            }
            methods[method] = {"mean": mean, "sd": spread, "folds": folds}
        parts[part] = {
            "images": len({row.name for row in own}),
            "groups": len({row.group for row in own}),
            "methods": methods,
            **_differences(own),
        }
    return parts


def mean_dice(row: Row) -> float:
    """Return the mean of nucleus and cell Dice."""
    return (row.scores["nucleus"]["dice"] + row.scores["cell"]["dice"]) / 2


def _differences(rows: Sequence[Row]) -> dict[str, Any]:
    over, gain = _difference(rows, BASELINE), _difference(rows, UNTRAINED)
    verdict = {
        1: f"The network beats {BASELINE} by {_points(over)}.",
        0: f"The network is not shown to beat {BASELINE}, {_points(over)}: it has not earned its place.",
        -1: f"The network is behind {BASELINE}, {_points(over)}: it has not earned its place.",
    }
    trained = {
        1: f"Training gained {_points(gain)} over the shipped network.",
        0: f"Training is not shown to gain over the shipped network, {_points(gain)}.",
        -1: f"Training lost against the shipped network, {_points(gain)}: use that one here.",
    }
    return {
        "differences": {BASELINE: asdict(over), UNTRAINED: asdict(gain)},
        "verdict": verdict[_side(over)],
        "gain": trained[_side(gain)],
    }


def _side(found: Interval) -> int:
    return 1 if found.low > 0 else -1 if found.high < 0 else 0


def _points(found: Interval) -> str:
    low, value, high = (100 * number for number in (found.low, found.value, found.high))
    return f"{value:+.1f} points of mean Dice [95 % interval {low:+.1f} to {high:+.1f}]"


def _difference(rows: Sequence[Row], rival: str) -> Interval:
    network = {(row.fold, row.name): row for row in rows if row.method == NETWORK}
    other = {(row.fold, row.name): row for row in rows if row.method == rival}
    gains: dict[str, list[float]] = {}
    for key, row in network.items():
        gains.setdefault(row.name, []).append(mean_dice(row) - mean_dice(other[key]))
    groups = {row.name: row.group for row in rows}
    names = sorted(gains)
    values = np.array([np.mean(gains[name]) for name in names])
    index = group_index([groups[name] for name in names], len(names))
    return bootstrap(lambda weights: weights @ values / weights.sum(axis=1), index, 2000, 0)


def _comparable(found: Labels, truth: Labels, sample: Sample) -> Labels:
    cells = find_cells(found)
    true = find_cells(truth, settings=CellSettings(min_nucleus=0.0)).cells
    if find_dataset(sample.dataset).kind == "single-cell" and len(true) <= 1:
        main = main_cell(cells)
        return keep_cells(found, cells, [main] if main else [])
    return keep_cells(found, cells, cells.cells)
