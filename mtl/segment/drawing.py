"""Outlines of cells on their image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from segmentation.cells import Cell
from segmentation.masks import Labels, cell_of, nucleus_of

__all__ = ["CELL_COLOUR", "NUCLEUS_COLOUR", "TRUTH_COLOUR", "number_cells", "outlined", "sized"]

Image = npt.NDArray[np.uint8]

# Told apart on violet nuclei, pink or grey red cells and pale glass, and by all common kinds of colour vision.
CELL_COLOUR = (0, 150, 60)
NUCLEUS_COLOUR = (255, 230, 0)
TRUTH_COLOUR = (255, 255, 255)
_LEAST_SIDE = 480  # smaller images are enlarged, so that an outline of one pixel hides nothing
_MOST_SIDE = 4096  # larger ones are reduced


def outlined(image: Image, labels: Labels, cells: Sequence[Cell] = (), truth: Labels | None = None) -> Image:
    """Return the image with the outlines of nuclei and of whole cells, and the number of each cell beside it.

    Args:
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8: 0 background, 1 cytoplasm, 2 nucleus.
        cells: Cells to be numbered.
        truth: Labels of the truth, drawn below in white.

    Returns:
        (H', W', 3) uint8 RGB; small images are enlarged by a whole factor, those above 4096 px a side reduced to it.
    """
    drawn, factor = sized(image)
    size = drawn.shape[1], drawn.shape[0]
    width = int(np.clip(round(max(size) / 320), 1, 4))
    layers = [(truth, TRUTH_COLOUR, TRUTH_COLOUR)] if truth is not None else []
    for mask, cell_colour, nucleus_colour in (*layers, (labels, CELL_COLOUR, NUCLEUS_COLOUR)):
        for part, colour in ((cell_of(mask), cell_colour), (nucleus_of(mask), nucleus_colour)):
            mask_of = cv2.resize(part.view(np.uint8), size, interpolation=cv2.INTER_NEAREST)
            lines, _ = cv2.findContours(mask_of, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(drawn, lines, -1, colour, width)
    if len(cells) > 1:
        number_cells(
            drawn, {str(cell.instance): (cell.box[2] + 3 / factor, cell.box[1]) for cell in cells}, factor
        )
    return drawn


def sized(image: Image) -> tuple[Image, float]:
    """Return a copy of an image (H, W, 3) uint8 RGB to draw on, and by which factor it was enlarged or reduced for that."""
    longest = max(image.shape[:2])
    factor = min(max(1, round(_LEAST_SIDE / longest)), _MOST_SIDE / longest)
    size = max(round(image.shape[1] * factor), 1), max(round(image.shape[0] * factor), 1)
    smooth = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
    grown = image.copy() if factor == 1 else cv2.resize(image, size, interpolation=smooth)
    return np.asarray(grown, np.uint8), factor


def number_cells(drawn: Image, places: Mapping[str, tuple[float, float]], factor: float) -> None:
    """Write texts from points (x, y) on, in pixels of the image before `sized`, on what is drawn."""
    scale = max(0.55, max(drawn.shape[:2]) / 1600)
    for text, (left, bottom) in places.items():
        (wide, tall), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        x = min(max(round(left * factor), 0), drawn.shape[1] - wide - 1)
        y = min(max(round(bottom * factor), tall + 1), drawn.shape[0] - 2)
        for colour, thick in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            place, weight = (x, y), max(1, round(scale * 2)) * thick
            cv2.putText(drawn, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, weight, cv2.LINE_AA)
