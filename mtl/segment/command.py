"""What `mtl segment IMAGE` does: every image once, its outputs whole, a second call going on where the first stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mtl.progress import Reporter
from mtl.runs import hold, stage_key
from mtl.segment.drawing import outlined
from mtl.segment.inputs import Found, Job, content_of, find_images, pixels_of
from mtl.segment.methods import Seen, Seer
from mtl.segment.places import advised
from mtl.segment.settings import SegmentImages
from mtl.segment.stream import Large, in_order
from segmentation.cells import Cell, crop_cell
from segmentation.files import make_folder, write_image, write_json, write_table, write_text
from segmentation.masks import encode_mask
from stages.data.images import decode_rgb

__all__ = ["COLUMNS", "Segmented", "segment_images"]

_VERSION = 4  # raise it when outputs change, so that none is kept from before

COLUMNS = (
    "image", "output", "cell", "x", "y", "x0", "y0", "x1", "y1", "area_px", "nucleus_area_px", "nucleus_to_cytoplasm",
    "eccentricity", "solidity", "red", "green", "blue", "touches_border", "method",
)  # fmt: skip


@dataclass(frozen=True)
class Segmented:
    """What was done.

    Attributes:
        folder: Where everything lies.
        images: Images that are done, those of earlier calls included.
        cells: White cells in them.
        skipped: Images that were done already.
        methods: Images by method.
        empty: Images without a white cell.
        failed: Message by image that could not be read.
        masks: Grey files that were taken for masks.
    """

    folder: Path
    images: int
    cells: int
    skipped: int
    methods: dict[str, int]
    empty: int
    failed: dict[str, str]
    masks: int

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json` can write."""
        return vars(self) | {"folder": str(self.folder), "table": str(self.folder / "cells.csv")}

    def to_text(self) -> str:
        """Return a few lines for a person."""
        used = ", ".join(
            f"{name} on {_count(count, 'image')}" for name, count in sorted(self.methods.items())
        )
        notes = [
            f"{_count(self.skipped, 'image')} already done with the same settings" if self.skipped else "",
            f"{self.empty} without a white cell" if self.empty else "",
            f"{_count(self.masks, 'grey file')} beside an image of the same name left out as masks"
            if self.masks
            else "",
        ]
        return "\n".join(
            [
                f"{_count(self.cells, 'white cell')} in {_count(self.images, 'image')}",
                *([f"Method: {used}"] if used else []),
                *(note for note in notes if note),
                *([f"{_count(len(self.failed), 'image')} could not be read"] if self.failed else []),
                f"Wrote {self.folder}: labels/ (0 background, 128 cytoplasm, 255 nucleus), overlays/, cells.csv",
            ]
        )


def segment_images(path: Path, out: Path | None, chosen: SegmentImages) -> Segmented:
    """Segment an image or all images of a folder.

    Args:
        path: An image file or a folder.
        out: Folder of outputs; `runs/segment-NAME` if None.
        chosen: How, and what is written.

    Raises:
        MtlError: If the path is not usable, outputs cannot be written, or another process writes to the folder.
        StagesError: If the only image cannot be read.
        SegmentationError: If weights or settings are not usable.
    """
    folder = (
        out or Path("runs") / f"segment-{(path.stem if path.is_file() else path.resolve().name) or 'images'}"
    )
    found = find_images(path, folder)
    seer = Seer(chosen)
    with advised(folder, "--out"):
        make_folder(folder)
    with hold(folder, "--out"), advised(folder, "--out"):
        return _segment_all(found, folder, seer, alone=path.is_file())


def _segment_all(found: Found, folder: Path, seer: Seer, *, alone: bool) -> Segmented:
    settings = stage_key(_VERSION, seer.key())
    done: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    skipped = 0

    def work(job: Job, large: Large) -> tuple[dict[str, Any], bool]:
        return _segment(job, folder, settings, seer, large)

    with Reporter() as reporter:
        try:
            for record, old in in_order(found.jobs, work, reporter, "segment", failed, alone=alone):
                done.append(record)
                skipped += old
        finally:  # what is done stands in the table, even where the rest was interrupted
            write_table(folder / "cells.csv", COLUMNS, (row for record in done for row in record["rows"]))
    return _summary(folder, done, skipped, failed, found)


def _summary(
    folder: Path, done: Sequence[dict[str, Any]], skipped: int, failed: dict[str, str], found: Found
) -> Segmented:
    methods = Counter(record["method"] for record in done)
    cells = [len(record["rows"]) for record in done]
    result = Segmented(
        folder, len(done), sum(cells), skipped, dict(methods), cells.count(0), failed, found.masks
    )
    write_json(folder / "summary.json", result.to_json())
    return result


def _segment(job: Job, folder: Path, settings: str, seer: Seer, large: Large) -> tuple[dict[str, Any], bool]:
    # The record is written last: an image whose record fits is done.
    place = folder / "records" / f"{job.stem}.json"
    labels = folder / "labels" / f"{job.stem}.png"
    key = stage_key(settings, job.name, content_of(job.path))
    record = _read(place)
    if record.get("key") == key and labels.is_file():
        return record, True
    with large.hold(job.name, pixels_of(job.path, seer.settings.max_pixels)) as tell:
        image = decode_rgb(job.path)
        seen = seer.see(image, tell)
        _write(job, folder, image, seen, seer.settings)
    rows = [_row(job, cell, seen.method) for cell in seen.cells.cells]
    record = {"key": key, "method": seen.method, "rows": rows}
    make_folder(place.parent)
    write_json(place, record)
    return record, False


def _write(job: Job, folder: Path, image: npt.NDArray[np.uint8], seen: Seen, settings: SegmentImages) -> None:
    labels, overlay = (folder / kind / f"{job.stem}.png" for kind in ("labels", "overlays"))
    for path in (labels, overlay):
        make_folder(path.parent)
    write_image(labels, encode_mask(seen.labels))
    write_image(overlay, outlined(image, seen.labels, seen.cells.cells))
    _write_crops(job, folder, image, seen, settings.crops)
    if settings.xyc:
        lines = [f"{round(cell.centroid[0])} {round(cell.centroid[1])}\n" for cell in seen.cells.cells]
        centroids = folder / "xyc" / f"{job.stem}.xyc"
        make_folder(centroids.parent)
        write_text(centroids, "".join(lines))


def _read(place: Path) -> dict[str, Any]:
    import json

    try:
        record = json.loads(place.read_text("utf-8"))
        return record if isinstance(record, dict) and isinstance(record.get("rows"), list) else {}
    except (OSError, ValueError):  # absent or damaged: the image is done again
        return {}


def _write_crops(job: Job, folder: Path, image: npt.NDArray[np.uint8], seen: Seen, crops: str) -> None:
    if crops == "none":
        return
    place = folder / "crops" / job.stem
    if place.is_dir():  # cells of another setting
        for old in place.glob("[0-9]*.png"):
            old.unlink()
    if seen.cells.cells:
        make_folder(place)
    for cell in seen.cells.cells:
        crop = crop_cell(image, seen.cells, cell, black=crops == "black")
        write_image(place / f"{cell.instance:03d}.png", crop)


def _row(job: Job, cell: Cell, method: str) -> list[Any]:
    ratio = cell.nucleus_to_cytoplasm
    return [
        job.name, job.stem, cell.instance, *(round(value, 1) for value in cell.centroid), *cell.box, cell.area, cell.nucleus_area,
        None if ratio is None else round(ratio, 4), round(cell.eccentricity, 4), round(cell.solidity, 4),
        *(round(value, 1) for value in cell.mean_colour or ()), int(cell.touches_border), method,
    ]  # fmt: skip


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
