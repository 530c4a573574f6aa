"""BCCD: fields of 640x480 px with VOC boxes of cells and, for some, masks of white cells (Shenggan, MIT)."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from stages.data.dataset import DataSet
from stages.data.problems import BadFileError, Problem, Scan, show
from stages.data.sample import Box, Sample
from stages.data.tree import find_folder, images_in, number_in, relative_name

__all__ = ["BCCD", "BCCD_CELLS", "read_boxes"]

_CELLS = ("RBC", "WBC", "Platelets")


def read_boxes(path: Path) -> tuple[tuple[Box, ...], tuple[str, ...]]:
    """Return the boxes of a VOC annotation, clipped to the image, and what had to be put right.

    VOC counts pixels from 1 with the far side included, so a box becomes [xmin - 1, xmax) here. A box that has no area
    inside the image is dropped.

    Raises:
        BadFileError: If the file is no VOC annotation or names an unknown cell.
    """
    try:
        tree = ElementTree.parse(path).getroot()  # noqa: S314 - expat takes no external entities
        size = tree.find("size")
        width, height = (int(_text(size, key)) for key in ("width", "height"))
        raw = [_raw_box(item) for item in tree.findall("object")]
    except (OSError, ValueError, ElementTree.ParseError) as error:
        got = show(getattr(error, "strerror", None) or str(error) or "something else")
        raise BadFileError(Problem(show(path), "a VOC annotation", got, "download it again")) from error
    boxes, repairs = [], []
    for box in raw:
        clipped = replace(
            box, x0=max(box.x0, 0), y0=max(box.y0, 0), x1=min(box.x1, width), y1=min(box.y1, height)
        )
        where = f"{box.label} at ({box.x0}, {box.y0}, {box.x1}, {box.y1})"
        if clipped.x1 - clipped.x0 < 2 or clipped.y1 - clipped.y0 < 2:
            repairs.append(f"a degenerate box, {where}, dropped")
        else:
            boxes.append(clipped)
            # Some tools count from 0: a box that is over by one pixel is no news.
            if max(abs(getattr(clipped, side) - getattr(box, side)) for side in ("x0", "y0", "x1", "y1")) > 1:
                repairs.append(f"a box over the edge, {where}, clipped")
    return tuple(boxes), tuple(repairs)


def _raw_box(item: ElementTree.Element) -> Box:
    label = _text(item, "name")
    if label not in _CELLS:
        raise ValueError(f"an object `{label}`")
    xmin, ymin, xmax, ymax = (
        round(float(_text(item.find("bndbox"), key))) for key in ("xmin", "ymin", "xmax", "ymax")
    )
    return Box(label, xmin - 1, ymin - 1, xmax, ymax)


def _text(item: ElementTree.Element | None, key: str) -> str:
    text = item.findtext(key) if item is not None else None
    if text is None:
        raise ValueError(f"no `{key}`")
    return text.strip()


def scan_fields(root: Path) -> Scan:
    """Return fields with boxes and masks, and problems; `root` may be `BCCD` or the folder above."""
    result = Scan()
    root = find_folder(root, ".", "BCCD", marks=["JPEGImages"])
    for position, path in enumerate(images_in(root / "JPEGImages", result)):
        annotation = root / "Annotations" / f"{path.stem}.xml"
        if not annotation.is_file():
            result.problem(path, f"annotated in `{show(annotation)}`", "no such file", "download it again")
            continue
        try:
            boxes, repairs = read_boxes(annotation)
        except BadFileError as error:
            result.problems.append(error.problem)
            continue
        for repair in repairs:
            result.note(
                annotation, "a list of boxes inside the image", repair, "nothing, the reader put it right"
            )
        mask = root / "SegmentationMasks" / f"{path.stem}.png"
        number = number_in(path.stem)
        result.samples.append(
            Sample(
                path=path,
                name=relative_name(path, root),
                label="field",
                dataset="bccd",
                order=position if number is None else number,
                mask=mask if mask.is_file() else None,
                boxes=boxes,
            )
        )
    return result


def scan_cells(root: Path) -> Scan:
    """Return one sample a box, grouped by field, and problems."""
    fields = scan_fields(root)
    result = Scan(problems=fields.problems, notes=fields.notes)
    for sample in fields.samples:
        seen: set[Box] = set()
        for box in sample.boxes:
            if box in seen:
                got = f"{box.label} at ({box.x0}, {box.y0}, {box.x1}, {box.y1}) twice"
                result.note(sample.path, "annotated once a cell", got, "nothing, the reader keeps one")
                continue
            seen.add(box)
            crop = (box.x0, box.y0, box.x1, box.y1)
            name = f"{sample.name}#{box.x0},{box.y0},{box.x1},{box.y1}"
            # The mask goes: it is of the field's size, not of the crop's.
            cell = replace(sample, name=name, label=box.label, dataset="bccd-cells", group=sample.name)
            result.samples.append(replace(cell, mask=None, crop=crop, boxes=()))
    return result


_LAYOUT = "DIR/BCCD/{JPEGImages/*.jpg,Annotations/*.xml}, optional DIR/BCCD/SegmentationMasks/*.png"

BCCD = DataSet(
    name="bccd",
    title="BCCD, fields with boxes and masks",
    kind="multi-cell",
    classes=("field",),
    source="https://github.com/Shenggan/BCCD_Dataset",
    licence="MIT",
    citation="Shenggan: BCCD Dataset. GitHub 2018; images and annotations by cosmicad and akshaylamba",
    label_rule="none: every field is `field`; boxes name RBC, WBC, Platelets",
    group_rule="none: nothing tells which fields share a slide",
    split_unit="image (no patient ids)",
    obtain="`git clone https://github.com/Shenggan/BCCD_Dataset` and give that folder (GitHub publishes no checksum of its "
    "archives, so `mtl` does not fetch it); masks lie beside it as SegmentationMasks where you have them.",
    layout=_LAYOUT,
    reader=scan_fields,
    expected=MappingProxyType({"field": 364}),
)

BCCD_CELLS = replace(
    BCCD,
    name="bccd-cells",
    title="BCCD, one sample a box",
    kind="single-cell",
    classes=_CELLS,
    label_rule="the name of the box",
    group_rule="the field that the box lies in",
    split_unit="source field",
    reader=scan_cells,
    expected=MappingProxyType({"RBC": 4155, "WBC": 372, "Platelets": 361}),
)
