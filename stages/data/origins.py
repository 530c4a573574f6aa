"""Where crops were cut from: an ALL-IDB2 crop and its ALL-IDB1 field must never be on two sides of a split."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from stages.data.duplicates import join, regroup
from stages.data.images import content_key
from stages.data.sample import Sample
from stages.data.splits import Part, Split, group_of
from stages.errors import DataError

__all__ = ["Origin", "locate_crops", "split_chain", "stated_origins", "tie_crops"]

_COARSE = 8
_CANDIDATES = 4
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
        DataError: If a column is missing.
    """
    path = root / "crops.csv"
    if not path.is_file():
        return None
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        if not {"image", "field"} <= set(reader.fieldnames or ()):
            raise DataError(
                f"Expected {path} to have the columns image and field, but got {reader.fieldnames}; do add them"
            )
        return {row["image"]: row["field"] for row in reader}


def locate_crops(
    crops: Sequence[Sample],
    fields: Sequence[Sample],
    load: Load,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Origin]:
    """Find the field that every crop was cut from, by normalised cross-correlation (Lewis 1995), coarse to fine.

    Every field is searched at an eighth of its size; the best four places are then searched around at full size. A crop
    that correlates nowhere at 0.97 or more is left out of the result: nothing is guessed.

    Args:
        crops: Single cells.
        fields: Whole fields.
        load: Reads (H, W, 3) uint8.
        cache: Folder for the result, keyed by content.
        progress: Called with (fields searched, fields).
    """
    path = None
    if cache is not None:
        key = hashlib.sha256(f"1|{content_key(crops)}|{content_key(fields)}".encode()).hexdigest()[:24]
        path = cache / f"{key}.json"
        if path.is_file():
            return {name: Origin(**origin) for name, origin in json.loads(path.read_text("utf-8")).items()}
    templates = [_grey(load(crop)) for crop in crops]
    places: list[list[tuple[float, int, int, int]]] = [[] for _ in crops]
    with ThreadPoolExecutor() as pool:
        for number, field in enumerate(fields):
            small = _shrink(_grey(load(field)))
            found = pool.map(lambda template, image=small: _peak(image, _shrink(template)), templates)
            for row, peak in enumerate(found):
                if peak:
                    places[row] = sorted([*places[row], (*peak, number)], reverse=True)[:_CANDIDATES]
            if progress:
                progress(number + 1, len(fields))
        refined = list(
            pool.map(lambda row: _refine(templates[row], places[row], fields, load), range(len(crops)))
        )
    origins = {crop.name: origin for crop, origin in zip(crops, refined, strict=True) if origin}
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps({name: asdict(origin) for name, origin in origins.items()}), "utf-8")
        temporary.replace(path)
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
    both = [*crops, *fields]
    row = {(sample.dataset, sample.name): number for number, sample in enumerate(both)}
    crop_set, field_set = crops[0].dataset, fields[0].dataset
    pairs = [(row[crop_set, crop], row[field_set, field]) for crop, field in origins.items()]
    tied = regroup(both, join(pairs, len(both)))
    return tied[: len(crops)], tied[len(crops) :]


def split_chain(
    stages: Mapping[int, Sequence[Sample]],
    target: int,
    make: Callable[[int, Mapping[str, Part] | None], Split],
) -> dict[int, Split]:
    """Split all stages of a chain so that no group stands in two parts, across stages.

    Args:
        stages: Samples by stage number.
        target: The stage that is split first and decides for the others.
        make: Splits a stage, given the parts of groups that are decided already.
    """
    decided: dict[str, Part] = {}
    splits: dict[int, Split] = {}
    for number in sorted(stages, key=lambda number: (number != target, -number)):
        splits[number] = make(number, decided or None)
        parts = splits[number].part_of()
        for sample in stages[number]:
            if sample.name in parts:
                decided.setdefault(group_of(sample), parts[sample.name])
    return splits


def _grey(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def _shrink(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    size = (max(1, round(image.shape[1] / _COARSE)), max(1, round(image.shape[0] / _COARSE)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _peak(image: npt.NDArray[np.uint8], template: npt.NDArray[np.uint8]) -> tuple[float, int, int] | None:
    if image.shape[0] < template.shape[0] or image.shape[1] < template.shape[1]:
        return None
    scores = cv2.matchTemplate(image, template, cv2.TM_CCOEFF_NORMED)
    y, x = np.unravel_index(int(np.argmax(scores)), scores.shape)
    return float(scores[y, x]), int(x), int(y)


def _refine(
    template: npt.NDArray[np.uint8],
    places: Sequence[tuple[float, int, int, int]],
    fields: Sequence[Sample],
    load: Load,
) -> Origin | None:
    best: Origin | None = None
    height, width = template.shape
    for _, x, y, number in places:
        image = _grey(load(fields[number]))
        left, top = max(0, (x - 2) * _COARSE), max(0, (y - 2) * _COARSE)
        window = image[top : (y + 2) * _COARSE + height, left : (x + 2) * _COARSE + width]
        peak = _peak(window, template)
        if peak and peak[0] >= _SCORE and (best is None or peak[0] > best.score):
            best = Origin(fields[number].name, left + peak[1], top + peak[2], peak[0])
    return best
