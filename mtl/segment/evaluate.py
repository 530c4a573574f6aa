"""A network beside the threshold baseline on the same images: scores by image, and what follows from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtl.segment.data import load_pair
from mtl.segment.inputs import write_image
from mtl.segment.score import Scores, score_pair
from segmentation.cells import CellSettings, find_cells, keep_cells, main_cell
from segmentation.masks import Labels, encode_mask
from segmentation.predict import Segmenter
from segmentation.threshold import DEFAULT, threshold
from stages.bootstrap import bootstrap, group_index
from stages.data.catalogue import find_dataset
from stages.data.sample import Sample
from stages.data.splits import group_of

__all__ = ["BASELINE", "NETWORK", "Row", "evaluate", "summarise"]

BASELINE = DEFAULT
NETWORK = "network"
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
        method: `network` or the baseline's name.
        file: Predicted labels of the network, relative to the run folder; empty for the baseline.
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
    """Score network and baseline on the same images, and keep the network's masks.

    Masks of single-cell data sets mark one cell: of both methods the main cell alone counts where the truth holds one.

    Args:
        segmenter: The network.
        samples: Tested images by part.
        fold: From 1.
        run: The run folder.
        tell: Told about progress.
    """
    rows: list[Row] = []
    total, number = sum(map(len, samples.values())), 0
    for part, members in samples.items():
        for sample in members:
            image, truth = load_pair(sample)
            file = f"fold-{fold}/predictions/{number:05d}.png"
            for method in (NETWORK, BASELINE):
                found = segmenter.labels(image) if method == NETWORK else threshold(image, BASELINE)
                found = _comparable(found, truth, sample)
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
    """Return means by part, method and fold, and the paired difference of network and baseline.

    Returns:
        By part: `images`, `groups`, `methods` (a mean and a standard deviation over folds of each score, and the folds'
        own means), `difference` (mean Dice of nucleus and cell, network less baseline, in an interval over groups) and
        `verdict`.
    """
    parts: dict[str, Any] = {}
    for part in dict.fromkeys(row.part for row in rows):
        own = [row for row in rows if row.part == part]
        methods = {}
        for method in (NETWORK, BASELINE):
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
            **_difference(own),
        }
    return parts


def mean_dice(row: Row) -> float:
    """Return the mean of nucleus and cell Dice."""
    return (row.scores["nucleus"]["dice"] + row.scores["cell"]["dice"]) / 2


def _difference(rows: Sequence[Row]) -> dict[str, Any]:
    network = {(row.fold, row.name): row for row in rows if row.method == NETWORK}
    baseline = {(row.fold, row.name): row for row in rows if row.method == BASELINE}
    names = sorted({name for _, name in network})
    gains = {
        name: float(
            np.mean([mean_dice(network[key]) - mean_dice(baseline[key]) for key in network if key[1] == name])
        )
        for name in names
    }
    groups = {row.name: row.group for row in rows}
    values = np.array([gains[name] for name in names])
    index = group_index([groups[name] for name in names], len(names))
    found = bootstrap(lambda weights: weights @ values / weights.sum(axis=1), index, 2000, 0)
    told = f"{100 * found.value:+.1f} points of mean Dice [95 % interval {100 * found.low:+.1f} to {100 * found.high:+.1f}]"
    if found.low > 0:
        verdict = f"The network beats {BASELINE} by {told}."
    elif found.high < 0:
        verdict = f"The network is behind {BASELINE}, {told}: it has not earned its place."
    else:
        verdict = f"The network is not shown to beat {BASELINE}, {told}: it has not earned its place."
    return {"difference": asdict(found), "verdict": verdict}


def _comparable(found: Labels, truth: Labels, sample: Sample) -> Labels:
    cells = find_cells(found)
    true = find_cells(truth, settings=CellSettings(min_nucleus=0.0)).cells
    if find_dataset(sample.dataset).kind == "single-cell" and len(true) <= 1:
        main = main_cell(cells)
        return keep_cells(found, cells, [main] if main else [])
    return keep_cells(found, cells, cells.cells)
