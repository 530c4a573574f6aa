"""A smear with its cells in the colours of their classes, and a legend that says what was answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from mtl.predict.records import UNLIKE, UNSURE, CellSaid, FieldSaid
from mtl.report.figures import PALETTE
from mtl.segment.drawing import number_cells, sized

__all__ = ["colours_of", "overlay"]

Colour = tuple[int, int, int]
_GREY: Colour = (120, 120, 120)
_CELL = "white cell"
_SHOWN = 0.01  # least part of an answer that is written beside a cell
_INK, _PAPER = (40, 40, 40), (255, 255, 255)


def colours_of(classes: Sequence[str]) -> dict[str, Colour]:
    """Return the colour of every class, of cells without one, and of those that are unlike the training data."""
    known = [_rgb(colour) for colour in PALETTE]
    if len(classes) > len(known):  # evenly spread hues
        hues = np.linspace(0, 180, len(classes), endpoint=False).astype(np.uint8)
        bright = np.stack([hues, np.full_like(hues, 220), np.full_like(hues, 200)], axis=1)
        known = [tuple(row) for row in cv2.cvtColor(bright[None], cv2.COLOR_HSV2RGB)[0].tolist()]
    return dict(zip(classes, known, strict=False)) | {_CELL: _rgb(PALETTE[2]), UNLIKE: _GREY}


def overlay(image: npt.NDArray[np.uint8], field: FieldSaid, classes: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Return an image with outlined, numbered cells and a legend below.

    Args:
        image: (H, W, 3) uint8 RGB.
        field: What was said of it.
        classes: Of stage 2; none where cells were only found.

    Returns:
        (H', W', 3) uint8 RGB; see `mtl.segment.drawing.sized`.
    """
    drawn, factor = sized(image)
    colours = colours_of(classes)
    width = int(np.clip(round(max(drawn.shape[:2]) / 320), 2, 5))
    for cell in field.cells:
        line = np.round(np.array(cell.outline) * factor).astype(np.int32)
        cv2.polylines(drawn, [line], True, _PAPER, width + 2, cv2.LINE_AA)
        cv2.polylines(drawn, [line], True, colours[_name(cell)], width, cv2.LINE_AA)
    number_cells(drawn, {_label(cell): (cell.x, cell.y) for cell in field.cells}, factor)
    legend = _legend(drawn.shape[1], field, colours)
    return np.concatenate([drawn, legend])


def _name(cell: CellSaid) -> str:
    if cell.said is None:
        return _CELL
    return UNLIKE if cell.said.unlike else cell.said.label


def _mark(cell: CellSaid) -> str:
    return "?" if cell.said is not None and cell.said.unsure and not cell.said.unlike else ""


def _label(cell: CellSaid) -> str:
    part = "" if cell.decided is None or cell.decided < _SHOWN else f" {cell.decided:.0%}"
    return f"{cell.cell}{_mark(cell)}{part}"


def _legend(width: int, field: FieldSaid, colours: dict[str, Colour]) -> npt.NDArray[np.uint8]:
    size = int(np.clip(width / 45, 13, 40))
    font = ImageFont.load_default(size)
    counted = Counter(_name(cell) for cell in field.cells)
    entries = [(colours[name], f"{name}: {counted[name]}") for name in colours if counted[name]]
    unsure = sum(bool(_mark(cell)) for cell in field.cells)
    texts = [_field_text(field)] if field.said else []
    if field.blasts is not None:
        texts.append(f"Blasts: {field.blasts.to_text()}")
    if not field.cells:
        texts.append("No white cell was found")
    if any(cell.decided is not None for cell in field.cells):
        texts.append("%: how much of the field's answer a cell decided")
    if unsure:
        texts.append(f"? {UNSURE}: {unsure}")
    step, left = round(size * 1.5), size // 2
    rows: list[list[tuple[int, Colour | None, str]]] = []
    for colour, text in [*((None, text) for text in texts), *entries]:
        long = round(font.getlength(text)) + (0 if colour is None else round(1.4 * size))
        end = rows[-1][-1][0] + round(font.getlength(rows[-1][-1][2])) + 3 * size if rows else width
        if not rows or end + long > width or colour is None or rows[-1][0][1] is None:
            rows.append([(left, colour, text)])
        else:
            rows[-1].append((end, colour, text))
    strip = Image.new("RGB", (width, step * len(rows) + size), _PAPER)
    pen = ImageDraw.Draw(strip)
    for number, row in enumerate(rows):
        top = size // 2 + number * step
        for x, colour, text in row:
            if colour is not None:
                pen.rectangle((x, top + 2, x + size, top + size + 2), fill=colour)
                x += round(1.4 * size)
            pen.text((x, top), text, fill=_INK, font=font)
    return np.asarray(strip)


def _field_text(field: FieldSaid) -> str:
    said = field.said
    if said is None:
        return ""
    if said.unlike:
        return f"Field: {UNLIKE} (would be {said.label})"
    may = f"; may be {', '.join(said.within)}" if len(said.within) > 1 else ""
    doubt = f" ({UNSURE})" if said.unsure else ""
    return f"Field: {said.label} {said.probability:.0%}{doubt}{may}"


def _rgb(colour: str) -> Colour:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
