"""What `mtl segment score --centroids` does: cells of masks against the centroids of blasts that ALL-IDB1 gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mtl.errors import ConfigError
from mtl.progress import Reporter
from mtl.segment.score import AS_DRAWN, masks_below, read_labels
from mtl.segment.settings import ScoreMasks
from segmentation.cells import find_cells
from segmentation.files import finite
from segmentation.masks import CYTOPLASM, NUCLEUS
from segmentation.scores import match_centroids, outside
from stages.bootstrap import Interval, bootstrap
from stages.data.problems import BadFileError, Problem, show
from stages.data.sets.all_idb1 import read_centroids

__all__ = ["Detected", "Field", "score_centroids"]

_RESAMPLES = 2000
_NOTE = (
    "Centroids mark blasts alone: other white cells that were found count as wrong, so precision and F1 over all white "
    "cells are at least these."
)


@dataclass(frozen=True)
class Field:
    """Counts of one field.

    Attributes:
        blasts: Centroids.
        found: Cells of its mask.
        matched: Pairs of both.
    """

    blasts: int
    found: int
    matched: int

    @property
    def scores(self) -> tuple[float, float, float]:
        """Recall, precision and F1; NaN where undefined."""
        recall, precision, f1 = _scores(np.array([[self.blasts, self.found, self.matched]], float))[0]
        return float(recall), float(precision), float(f1)


@dataclass(frozen=True)
class Detected:
    """Scores of detection.

    Attributes:
        fields: Counts by the name that centroids and mask share.
        recall: Blasts found, of all; interval over fields.
        precision: Cells found that are blasts, of all found.
        f1: Harmonic mean of both.
        distance: In px, see `segmentation.scores.match_centroids`.
        only_centroids: Names without a mask.
        rendered: Whether the fields are rendered smears.
    """

    fields: Mapping[str, Field]
    recall: Interval
    precision: Interval
    f1: Interval
    distance: float
    only_centroids: tuple[str, ...]
    rendered: bool

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json` can write."""
        plain: dict[str, Any] = finite(asdict(self))
        for name, field in self.fields.items():
            plain["fields"][name] |= finite(
                dict(zip(("recall", "precision", "f1"), field.scores, strict=True))
            )
        return {**plain, "note": _NOTE}

    def to_text(self) -> str:
        """Return a table for a person."""
        wide = max(map(len, self.fields))
        lines = ["Rendered smears, not patient data."] if self.rendered else []
        lines.append(
            f"{'field':<{wide}}{'blasts':>8}{'found':>8}{'matched':>9}{'recall':>9}{'precision':>11}{'F1':>9}"
        )
        for name, field in self.fields.items():
            recall, precision, f1 = map(_shown, field.scores)
            lines.append(
                f"{name:<{wide}}{field.blasts:>8}{field.found:>8}{field.matched:>9}{recall:>9}{precision:>11}{f1:>9}"
            )
        blasts, found, matched = np.array([*map(_counts, self.fields.values())]).sum(axis=0)
        lines.append(
            f"{len(self.fields)} fields: {blasts} blasts, {found} cells found, {matched} matched one to one "
            f"(in the mask, or {self.distance:g} px from its centroid)"
        )
        for title, score in (("recall", self.recall), ("precision", self.precision), ("F1", self.f1)):
            lines.append(f"{title:<10}{_shown(score.value)} [{_shown(score.low)}, {_shown(score.high)}]")
        lines.append("Of all fields together; in brackets 95 % intervals, bootstrap over fields.")
        if self.only_centroids:
            lines.append(f"{len(self.only_centroids)} without a mask, such as {self.only_centroids[0]}")
        return "\n".join([*lines, _NOTE])


def score_centroids(truth: Path, predicted: Path, settings: ScoreMasks) -> Detected:
    """Compare the cells of masks with centroids.

    Args:
        truth: An `.xyc` file, a folder of them, or the ALL-IDB1 folder that holds `xyc`.
        predicted: A mask, or a folder of masks, called as their centroids.
        settings: How masks are read, and how far a centroid may lie.

    Raises:
        ConfigError: If nothing is there, or a mask has no centroids.
        DataError: If centroids cannot be read or lie outside their image.
        MaskError: If a mask has unexpected values.
    """
    listed, masks = _centroid_files(truth), masks_below(predicted, "PRED")
    if truth.is_file() and predicted.is_file():
        listed = {predicted.stem: truth}
    missing = [name for name in masks if name not in listed]
    if missing:
        raise ConfigError(
            f"Expected {show(str(truth))} to hold {show(missing[0])}.xyc for every mask, but {len(missing)} are missing; "
            "do copy them there (an empty file where a field has no blast), or remove those masks"
        )
    foreground = NUCLEUS if settings.binary == "nucleus" else CYTOPLASM
    fields: dict[str, Field] = {}
    with Reporter() as reporter:
        for number, (name, path) in enumerate(masks.items(), 1):
            labels = read_labels(path, settings.snap, foreground, None)
            points = read_centroids(listed[name])
            _check_inside(listed[name], points, labels.shape)
            cells = find_cells(labels, settings=AS_DRAWN)
            pairs = match_centroids(points, cells, settings.distance)
            fields[name] = Field(len(points), len(cells.cells), int((pairs > 0).sum()))
            reporter.step("score", number, len(masks), name)
    recall, precision, f1 = _intervals([*fields.values()])
    left = tuple(name for name in listed if name not in masks)
    return Detected(fields, recall, precision, f1, settings.distance, left, _is_rendered(truth))


def _centroid_files(path: Path) -> dict[str, Path]:
    if path.is_file():
        return {path.stem: path}
    folder = path / "xyc" if (path / "xyc").is_dir() else path
    found = {
        one.relative_to(folder).with_suffix("").as_posix(): one
        for one in sorted(folder.rglob("*"))
        if one.suffix.lower() == ".xyc" and not one.name.startswith(".")
    }
    if not found:
        raise ConfigError(
            f"Expected `TRUTH` to hold centroids (.xyc, `x y` a line), but {show(str(path))} has none; do check the path"
        )
    return found


def _check_inside(path: Path, points: npt.NDArray[np.int_], shape: tuple[int, ...]) -> None:
    wrong = np.flatnonzero(outside(points, shape[0], shape[1]))
    if len(wrong):
        x, y = points[wrong[0]]
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        expected = f"centroids inside their image of {shape[1]}x{shape[0]} px"
        raise BadFileError(
            Problem(show(path), expected, f"{x} {y}{more}", "correct it, or take the mask of that field")
        )


def _is_rendered(truth: Path) -> bool:
    return any((folder / "rendered.json").is_file() for folder in [truth, *truth.resolve().parents][:4])


def _counts(field: Field) -> tuple[int, int, int]:
    return field.blasts, field.found, field.matched


def _scores(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    # (R, 3) counts of blasts, found, matched to (R, 3) recall, precision, F1.
    blasts, found, matched = counts.T
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack([matched / blasts, matched / found, 2 * matched / (blasts + found)], axis=1)


def _intervals(fields: Sequence[Field]) -> list[Interval]:
    counts = np.array([*map(_counts, fields)], float)
    index = np.arange(len(fields))
    return [
        bootstrap(lambda weights, which=which: _scores(weights @ counts)[:, which], index, _RESAMPLES, 0)  # type: ignore[misc]
        for which in range(3)
    ]


def _shown(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"
