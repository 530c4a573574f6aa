"""Where crops were cut from: an ALL-IDB2 crop and its ALL-IDB1 field must never be on two sides of a split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from segmentation.cache import write_cache
from stages.data.images import content_key
from stages.data.sample import Sample
from stages.data.table import read_table
from stages.splits.chains import split_chain
from stages.splits.duplicates import join, regroup

__all__ = ["Origin", "locate_crops", "split_chain", "stated_origins", "tie_crops"]

_VERSION = 2
_COARSE = 8
_CANDIDATES = 6
_SCORE = 0.97

Load = Callable[[Sample], npt.NDArray[np.uint8]]


@dataclass(frozen=True)
class Origin:
    """Where a crop lies in a field: top left corner in px, and the normalised correlation there (1 is exact)."""

    field: str
    x: int
    y: int
    score: float


def stated_origins(root: Path) -> dict[str, str] | None:
    """Read `crops.csv` (`image,field`) beside the crops, where a source states the field of every crop.

    Returns:
        Field file name by crop file name, or None without such a file.

    Raises:
        DataError: If it cannot be read or a column is missing.
    """
    path = root / "crops.csv"
    if not path.is_file():
        return None
    return {row["image"]: row["field"] for _, row in read_table(path, ["image", "field"])}


def locate_crops(
    crops: Sequence[Sample],
    fields: Sequence[Sample],
    load: Load,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Origin]:
    """Find the field that every crop was cut from, by normalised cross-correlation (Lewis 1995), coarse to fine.

    Every field is searched at an eighth of its size; the best six places are then searched around at full size. A crop
    that correlates nowhere at 0.97 or more is left out of the result: nothing is guessed.

    Args:
        crops: Single cells.
        fields: Whole fields.
        load: Reads (H, W, 3) uint8.
        cache: Folder for the result, keyed by content.
        progress: Called with (done, total); every field counts twice.
    """
    path = None
    if cache is not None:
        key = hashlib.sha256(f"{_VERSION}|{content_key(crops)}|{content_key(fields)}".encode()).hexdigest()
        path = cache / f"{key[:24]}.json"
        known = _read(path)
        if known is not None:
            return known
    templates = [_grey(load(crop)) for crop in crops]
    steps = 2 * len(fields)
    with ThreadPoolExecutor() as pool:
        places: list[list[tuple[float, int, int, int]]] = [[] for _ in crops]
        small = [_shrink(template) for template in templates]
        for number, field in enumerate(fields):
            image = _shrink(_grey(load(field)))
            for row, peak in enumerate(pool.map(partial(_peak, image), small)):
                if peak:
                    places[row] = sorted([*places[row], (*peak, number)], reverse=True)[:_CANDIDATES]
            if progress:
                progress(number + 1, steps)
        best: dict[int, Origin] = {}
        for number, field in enumerate(fields):
            here = [(row, x, y) for row, found in enumerate(places) for _, x, y, at in found if at == number]
            if here:  # each field is decoded once for all crops that may come from it
                image = _grey(load(field))
                refined = pool.map(lambda at, image=image: _refine(templates[at[0]], image, *at[1:]), here)
                for (row, _, _), (score, x, y) in zip(here, refined, strict=True):
                    if score >= _SCORE and (row not in best or score > best[row].score):
                        best[row] = Origin(field.name, x, y, score)
            if progress:
                progress(len(fields) + number + 1, steps)
    origins = {crop.name: best[row] for row, crop in enumerate(crops) if row in best}
    if path is not None:
        text = json.dumps({name: asdict(origin) for name, origin in origins.items()})
        write_cache(path, lambda temporary: temporary.write_text(text, "utf-8"))
    return origins


def tie_crops(
    crops: Sequence[Sample], fields: Sequence[Sample], origins: Mapping[str, str]
) -> tuple[list[Sample], list[Sample]]:
    """Return crops and fields with the group of a crop and of its field made one.

    Two fields that near-duplicate crops were cut from become one group too: they show the same cells.

    Args:
        crops: Single cells.
        fields: Whole fields.
        origins: Name of the field, by name of the crop.
    """
    if not crops or not fields:
        return list(crops), list(fields)
    both = [*crops, *fields]
    # Names alone are not enough: a crop may be called as a field is.
    crop_row = {sample.name: number for number, sample in enumerate(crops)}
    field_row = {sample.name: len(crops) + number for number, sample in enumerate(fields)}
    pairs = [(crop_row[crop], field_row[field]) for crop, field in origins.items()]
    tied = regroup(both, join(pairs, len(both)))
    return tied[: len(crops)], tied[len(crops) :]


def _grey(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def _shrink(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    size = (max(1, round(image.shape[1] / _COARSE)), max(1, round(image.shape[0] / _COARSE)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _peak(image: npt.NDArray[np.uint8], template: npt.NDArray[np.uint8]) -> tuple[float, int, int] | None:
    """Return (score, x, y) of the best place of a template, or None where it cannot lie."""
    # OpenCV calls a template of one tone a perfect match of anything.
    if image.shape[0] < template.shape[0] or image.shape[1] < template.shape[1] or np.ptp(template) == 0:
        return None
    scores = cv2.matchTemplate(image, template, cv2.TM_CCOEFF_NORMED)
    y, x = np.unravel_index(int(np.argmax(scores)), scores.shape)
    return float(scores[y, x]), int(x), int(y)


def _refine(
    template: npt.NDArray[np.uint8], image: npt.NDArray[np.uint8], x: int, y: int
) -> tuple[float, int, int]:
    """Return (score, x, y) of the best place at full size within two coarse pixels of (x, y)."""
    height, width = template.shape
    left, top = max(0, (x - 2) * _COARSE), max(0, (y - 2) * _COARSE)
    peak = _peak(image[top : (y + 2) * _COARSE + height, left : (x + 2) * _COARSE + width], template)
    if peak is None:
        return -1.0, 0, 0
    x, y = left + peak[1], top + peak[2]
    # Single precision rounds on plain ground; what is reported is counted again.
    found = image[y : y + height, x : x + width]
    score = float(np.corrcoef(found.ravel(), template.ravel())[0, 1]) if np.ptp(found) else 0.0
    return score, x, y


def _read(path: Path) -> dict[str, Origin] | None:
    """Return cached origins, or None where there are none that can be read."""
    try:
        known = json.loads(path.read_text("utf-8"))
        return {str(name): Origin(**origin) for name, origin in known.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None
