"""Write rendered smears as ALL-IDB1 and ALL-IDB2 trees (Labati et al., ICIP 2011), byte-compatible with the real ones."""

import csv
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import tifffile

from stages.data.smears.field import CROP, Field, check_frame, render_field
from stages.data.smears.optics import jpeg_decode, jpeg_encode
from stages.data.smears.recipes import FAB
from stages.data.smears.slides import Slide, make_slide
from stages.errors import DataError

VERSION = 2
STATEMENT = "Rendered smears, not patient data"
_RECORD = "rendered.json"
_HALF = CROP // 2


@dataclass(frozen=True)
class RenderedTrees:
    """Where the two trees lie.

    Attributes:
        all_idb1: Folder with `im/`, `xyc/`, `masks/`, `fab.csv` and `cells.csv`.
        all_idb2: Folder with `img/` and `crops.csv`.
    """

    all_idb1: Path
    all_idb2: Path


@dataclass(frozen=True)
class _Plan:
    # The arguments that decide the bytes; a record of the same plan is a cache hit.
    fields: int
    crops: int
    slides: int
    height: int
    width: int
    seed: int


@dataclass(frozen=True)
class _Place:
    # One white cell as it stands in cells.csv, with what a crop needs to know.
    image: str
    x: int
    y: int
    type: str
    instance: int
    fits: bool


@dataclass(frozen=True)
class _Done:
    index: int
    image: str
    fab: str
    slide: str
    places: tuple[_Place, ...]


def render_trees(
    directory: Path,
    *,
    fields: int = 160,
    crops: int = 260,
    slides: int = 32,
    height: int = 486,
    width: int = 648,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> RenderedTrees:
    """Render a collection of slides and write it as an ALL-IDB1 and an ALL-IDB2 tree.

    Slide `i` carries the diagnosis `FAB[i % 4]`, and field `i` comes from slide `i % slides`. Half of the crops are
    blasts, half are normal cells. The folder appears whole or not at all; a folder that already holds the same
    rendering is returned at once.

    Args:
        directory: Folder to make.
        fields: Number of fields, 1 or more.
        crops: Number of crops, 0 or more.
        slides: Number of slides, 4 or more, so that every diagnosis has one.
        height: Height of a field, 64 to 1944 pixels; 320 or more when crops are cut.
        width: Width of a field, 64 to 2592 pixels; 320 or more when crops are cut.
        seed: Seed of the collection, not negative.
        progress: Called with (fields done, fields) after each field.
        workers: Processes; None takes the cores that there are. The files do not depend on it.

    Returns:
        Paths of the two trees.

    Raises:
        DataError: If an argument is outside its limits, if `directory` exists and is not this rendering, or if the
            fields hold too few whole cells for the crops.
    """
    plan = _Plan(fields, crops, slides, height, width, seed)
    _check(plan, workers)
    directory = Path(directory)
    trees = RenderedTrees(directory / "ALL-IDB1", directory / "ALL-IDB2")
    if _already(directory, plan):
        return trees
    directory.parent.mkdir(parents=True, exist_ok=True)
    # A sibling lies on the same file system, so that the rename at the end is one step.
    draft = directory.parent / f".{directory.name}.{secrets.token_hex(4)}.part"
    try:
        _write(draft, plan, progress, workers)
        _put(draft, directory, plan)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return trees


def _check(plan: _Plan, workers: int | None) -> None:
    check_frame(plan.height, plan.width)
    limits = (
        ("fields", plan.fields, 1),
        ("crops", plan.crops, 0),
        ("slides", plan.slides, len(FAB)),
        ("seed", plan.seed, 0),
    )
    for name, value, low in (*limits, ("workers", 1 if workers is None else workers, 1)):
        if value < low:
            raise DataError(
                f"Expected `{name}` to be {low} or more, but got {value}; do choose a larger number."
            )
    for name, value in (("height", plan.height), ("width", plan.width)):
        if plan.crops and value < 320:
            raise DataError(
                f"Expected `{name}` to be 320 or more where crops of {CROP} pixels are cut, but got {value}; "
                "do render larger fields or pass `crops=0`."
            )


def _record(plan: _Plan) -> dict[str, object]:
    return {"what": STATEMENT, "version": VERSION, "parameters": asdict(plan)}


def _already(directory: Path, plan: _Plan) -> bool:
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return False
    record = directory / _RECORD
    found: object = None
    if record.is_file():
        try:
            found = json.loads(record.read_text(encoding="utf-8"))
        except ValueError:
            found = "an unreadable rendered.json"
    if found == _record(plan):
        return True
    raise DataError(
        f"Expected `directory` to be new, empty or the same rendering, but got {directory}, which holds "
        f"{'another rendering' if found else 'something else'}; do choose another folder or remove this one."
    )


def _put(draft: Path, directory: Path, plan: _Plan) -> None:
    if directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()
    try:
        draft.rename(directory)
    except OSError:
        # Another process may have finished the same rendering first; then its bytes are ours.
        if not _already(directory, plan):
            raise


def _write(
    draft: Path, plan: _Plan, progress: Callable[[int, int], None] | None, workers: int | None
) -> None:
    idb1, idb2 = draft / "ALL-IDB1", draft / "ALL-IDB2"
    for folder in (idb1 / "im", idb1 / "xyc", idb1 / "masks", idb2 / "img"):
        folder.mkdir(parents=True)
    done = []
    for result in _rendered(idb1, plan, workers):
        done.append(result)
        if progress is not None:
            progress(len(done), plan.fields)
    done.sort(key=lambda result: result.index)
    _table(idb1 / "fab.csv", ("image", "fab", "slide"), ((d.image, d.fab, d.slide) for d in done))
    places = [place for result in done for place in result.places]
    _table(
        idb1 / "cells.csv",
        ("image", "x", "y", "type", "instance"),
        ((p.image, p.x, p.y, p.type, p.instance) for p in places),
    )
    _cut(idb1, idb2, _choose(places, plan))
    (draft / _RECORD).write_text(json.dumps(_record(plan), indent=2) + "\n", encoding="utf-8")


def _table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _rendered(idb1: Path, plan: _Plan, workers: int | None) -> Iterator[_Done]:
    count = min(workers or os.cpu_count() or 1, plan.fields)
    if count == 1:
        for index in range(plan.fields):
            yield _render_one(idb1, plan, index)
        return
    # Spawn and not fork: the caller may hold threads (torch, a GUI) that a forked child would inherit broken.
    with ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_calm) as pool:
        jobs = [pool.submit(_render_one, idb1, plan, index) for index in range(plan.fields)]
        for job in as_completed(jobs):
            yield job.result()


def _calm() -> None:
    # One thread a process: the processes already fill the cores.
    cv2.setNumThreads(1)


def _render_one(idb1: Path, plan: _Plan, index: int) -> _Done:
    number = index % plan.slides
    slide = make_slide(plan.seed, number)
    fab = FAB[number % len(FAB)]
    seed = int(np.random.SeedSequence([plan.seed, index, 3]).generate_state(1)[0])
    field = render_field(fab, slide, seed, plan.height, plan.width)
    stem = f"Im{index + 1:03d}_{int(fab != 'normal')}"
    _save(idb1, stem, field, slide)
    places = tuple(_place(f"{stem}.jpg", field, index) for index in range(len(field.cells)))
    return _Done(index, f"{stem}.jpg", fab, slide.name, places)


def _save(idb1: Path, stem: str, field: Field, slide: Slide) -> None:
    (idb1 / "im" / f"{stem}.jpg").write_bytes(jpeg_encode(field.image, slide.jpeg_quality))
    blasts = [cell.centroid for cell in field.cells if cell.type in FAB]
    lines = "".join(f"{int(x)} {int(y)}\n" for x, y in blasts)
    (idb1 / "xyc" / f"{stem}.xyc").write_text(lines, encoding="ascii")
    mask = np.zeros(field.nucleus.shape, np.uint8)
    mask[field.cytoplasm] = 155
    mask[field.nucleus] = 255
    _png(idb1 / "masks" / f"{stem}.png", mask)
    _png(idb1 / "masks" / f"{stem}_rbc.png", field.red_cells.astype(np.uint8) * 255)
    _png(idb1 / "masks" / f"{stem}_cells.png", field.instances)


def _png(path: Path, image: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> None:
    _, data = cv2.imencode(".png", image)
    path.write_bytes(bytes(data))


def _place(image: str, field: Field, number: int) -> _Place:
    cell = field.cells[number]
    height, width = field.nucleus.shape
    x, y = int(cell.centroid[0]), int(cell.centroid[1])
    fits = _HALF <= x < width - _HALF and _HALF <= y < height - _HALF
    return _Place(image, x, y, cell.type, cell.instance, fits)


def _choose(places: Sequence[_Place], plan: _Plan) -> list[_Place]:
    rng = np.random.default_rng([plan.seed, 4])
    blasts = [place for place in places if place.fits and place.type in FAB]
    normal = [place for place in places if place.fits and place.type not in FAB]
    wanted = (plan.crops + 1) // 2, plan.crops // 2
    for name, found, need in (("blasts", blasts, wanted[0]), ("normal cells", normal, wanted[1])):
        if len(found) < need:
            raise DataError(
                f"Expected `crops` to be at most {2 * len(found)} for these fields, which hold {len(found)} whole "
                f"{name}, but got {plan.crops}; do lower `crops` or render more fields."
            )
    chosen = [blasts[i] for i in rng.permutation(len(blasts))[: wanted[0]]]
    chosen += [normal[i] for i in rng.permutation(len(normal))[: wanted[1]]]
    return chosen


def _cut(idb1: Path, idb2: Path, chosen: Sequence[_Place]) -> None:
    rows = []
    opened: tuple[str, npt.NDArray[np.uint8]] | None = None
    numbered = [
        (f"Im{number:03d}_{int(place.type in FAB)}.tif", place)
        for number, place in enumerate(chosen, start=1)
    ]
    # By field, so that each is decoded once and one at a time is held.
    for name, place in sorted(numbered, key=lambda pair: (pair[1].image, pair[0])):
        if opened is None or opened[0] != place.image:
            opened = place.image, jpeg_decode((idb1 / "im" / place.image).read_bytes())
        crop = opened[1][place.y - _HALF : place.y + _HALF + 1, place.x - _HALF : place.x + _HALF + 1]
        tifffile.imwrite(idb2 / "img" / name, np.ascontiguousarray(crop), photometric="rgb", software=False)
        rows.append((name, place.image, place.x, place.y, place.type))
    _table(idb2 / "crops.csv", ("image", "field", "x", "y", "type"), sorted(rows))
