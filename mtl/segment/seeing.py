"""Labels and cells where an image, or the answer of a young network, is nothing but cell.

`find_cells` splits by the distance to the background and cannot do without any; here a single pixel stands in for it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from segmentation.cells import Cells, CellSettings, find_cells
from segmentation.masks import Labels

if TYPE_CHECKING:
    from segmentation.predict import Segmenter

__all__ = ["cells_of", "network_labels"]


def cells_of(
    labels: Labels, image: npt.NDArray[np.uint8] | None = None, settings: CellSettings | None = None
) -> Cells:
    """Return the cells of labels (H, W) uint8, as `find_cells` does, of labels without background too."""
    if labels.all():
        labels = labels.copy()
        labels[0, 0] = 0
    return find_cells(labels, image, settings)


def network_labels(segmenter: Segmenter, image: npt.NDArray[np.uint8]) -> Labels:
    """Return labels (H, W) uint8 of (H, W, 3) uint8 RGB; at its own scale where no scale is found."""
    try:
        return segmenter.labels(image)
    except cv2.error:  # a look at small size saw nothing but cell
        return type(segmenter)(segmenter.network, replace(segmenter.settings, scale=1.0)).labels(image)
