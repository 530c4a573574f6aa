"""A bag as one picture: squares one below the other, from which whoever knows bags takes them back.

Every bag of a stage has as many squares; one with fewer pictures shows them again from the first on, so that nothing in the strip is
no picture: what is measured of it (colour alone, say) is measured of its pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from segmentation.cells import Cells, cut_cell, find_cells
from segmentation.masks import NUCLEUS, Mask
from segmentation.threshold import threshold
from stages.bag_settings import Bagging

__all__ = ["Box", "cell_boxes", "cut_cells", "spread", "squares_of", "strip_of"]

Image = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]


def strip_of(squares: Sequence[Image], count: int) -> Image:
    """Return `count` squares below one another, (count * S, S, 3) uint8: the given ones, then again from the first on.

    Args:
        squares: 1 to `count`, each (S, S, 3) uint8.
        count: Squares of the strip.
    """
    return np.concatenate([squares[place % len(squares)] for place in range(count)])


def squares_of(strip: Image) -> Image:
    """Return the pictures of a bag (n, S, S, 3) uint8: the squares of its strip (count * S, S, 3) up to where they come again.

    Examples:
        >>> squares = [np.full((2, 2, 3), value, np.uint8) for value in (3, 7)]
        >>> squares_of(strip_of(squares, 5))[:, 0, 0, 0].tolist()
        [3, 7]
    """
    squares: Image = strip.reshape(-1, strip.shape[1], strip.shape[1], 3)
    for count in range(1, len(squares)):
        if np.array_equal(squares[count], squares[0]) and np.array_equal(squares[count:], squares[:-count]):
            return squares[:count]
    return squares


def cell_boxes(image: Image, mask: Mask | None, bagging: Bagging) -> list[Box]:
    """Return (x0, y0, x1, y1) of the largest white cells of a field, from left to right; of the whole field where there is none.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) bool, true in white cells; None finds them as `white-cells` does.
        bagging: How many.
    """
    labels = threshold(image) if mask is None else mask.astype(np.uint8) * np.uint8(NUCLEUS)
    found: Cells = find_cells(labels)
    largest = sorted(found.cells, key=lambda cell: -cell.area)[: bagging.most]
    height, width = image.shape[:2]
    return sorted(cell.box for cell in largest) or [(0, 0, width, height)]


def cut_cells(image: Image, boxes: Sequence[Box], bagging: Bagging) -> list[Image]:
    """Return the picture of each cell, cut as the bagging says."""
    return [cut_cell(image, box, bagging.frame) for box in boxes]


def spread(count: int, most: int) -> list[int]:
    """Return which of `count` pictures stand in a bag of `most`, evenly spread.

    Examples:
        >>> spread(3, 8), spread(9, 3)
        ([0, 1, 2], [0, 4, 8])
    """
    chosen: list[int] = np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()
    return chosen
