"""How much of an image its cell fills: whoever cuts cells out of fields cuts them as the training images are cut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segmentation.cells import find_cells, main_cell
from segmentation.threshold import threshold
from stages.data.images import load_rgb
from stages.data.sample import Sample

__all__ = ["cell_frame"]

_MEASURED = 24
_REACH = (1.0, 6.0)


def cell_frame(samples: Sequence[Sample]) -> float | None:
    """Return the typical side of an image in parts of the longer side of its cell's box; 1 is a cell that fills its image.

    Args:
        samples: Training images of one cell each; 24 of them are measured, evenly spread.

    Returns:
        The median, 1 to 6; None where no cell is found in half of the images.

    Raises:
        DataError: If an image cannot be read.
    """
    places = np.linspace(0, len(samples) - 1, min(_MEASURED, len(samples))).astype(int)
    found = []
    for place in places:
        image = load_rgb(samples[place])
        cell = main_cell(find_cells(threshold(image)))
        if cell is not None:
            x0, y0, x1, y1 = cell.box
            found.append(min(image.shape[:2]) / max(x1 - x0, y1 - y0))
    return float(np.clip(np.median(found), *_REACH)) if len(found) * 2 >= len(places) and found else None
