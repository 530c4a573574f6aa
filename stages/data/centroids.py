"""Whether the centroids of ALL-IDB1 and the cells that are found in its fields agree."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from segmentation.cells import find_cells
from segmentation.scores import match_centroids, outside
from segmentation.settings import DISTANCE
from segmentation.threshold import threshold
from stages.data.problems import BadFileError, Problem, show
from stages.data.sets.all_idb1 import read_centroids

__all__ = ["check_centroids"]

_PIXELS = 1_000_000  # that cells are looked for on: a field of 2592 x 1944 px, five times as fast


def check_centroids(image: Path, pixels: npt.NDArray[np.uint8]) -> Problem | None:
    """Compare the centroids of a field with the cells that `white-cells` finds.

    Args:
        image: `im/NAME.jpg`; its centroids are `xyc/NAME.xyc`.
        pixels: Of the field, (H, W, 3) uint8 RGB.

    Returns:
        A note where blasts have no cell, or where the file is missing; None where all is well.

    Raises:
        DataError: If the centroids cannot be read or lie outside the field.
    """
    path = image.parent.parent / "xyc" / f"{image.stem}.xyc"
    if not path.is_file():
        return Problem(show(path), "the centroids of its field", "nothing", "copy it there if there is one")
    height, width = pixels.shape[:2]
    points = read_centroids(path)
    wrong = np.flatnonzero(outside(points, height, width))
    if len(wrong):
        x, y = points[wrong[0]]
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise BadFileError(
            Problem(
                show(path),
                f"centroids inside its image of {width}x{height} px",
                f"{x} {y}{more}",
                "correct it",
            )
        )
    if not len(points):
        return None
    factor = min(1.0, math.sqrt(_PIXELS / (height * width)))
    small = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    cells = find_cells(threshold(np.asarray(small, np.uint8)))
    lost = np.flatnonzero(match_centroids(points * factor, cells, DISTANCE * factor) == 0)
    if not len(lost):
        return None
    x, y = points[lost[0]]
    got = f"none for {len(lost)} of {len(points)}, such as {x} {y}"
    return Problem(
        show(path), f"a cell of `white-cells` within {DISTANCE:g} px of every blast", got, "look at it"
    )
