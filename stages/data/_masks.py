"""What the grey levels of a segmentation mask mean."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["ENCODINGS", "codes_of"]

ENCODINGS = "0/255, 0/128/255 or 0/155/255 (background, cytoplasm, nucleus)"


def codes_of(counts: npt.NDArray[np.intp]) -> npt.NDArray[np.uint8] | None:
    """Return the table value -> code (256,) uint8 for a histogram (256,), or None if no known encoding fits."""
    slack = 12  # rounding and compression around a level
    between = counts.copy()
    between[: slack + 1] = 0
    between[255 - slack :] = 0
    bright = int(counts[255 - slack :].sum())
    level = int(between.argmax())
    peak = int(between[max(level - slack, 0) : level + slack + 1].sum())
    table = np.zeros(256, np.uint8)
    if between.sum() and 2 * peak >= between.sum() and 112 <= level <= 171:  # a cytoplasm level
        table[(level + 1) // 2 :] = 1
        table[(level + 255) // 2 :] = 2
        strays = int(between.sum()) - peak
    else:
        table[128:] = 2
        strays = int(between.sum())
    # Labels stored as 0/1/2 hide within the slack around black: they are no known encoding, not an empty mask.
    faint = int(counts[1 : slack + 1].sum())
    if strays > 0.1 * counts.sum() or (faint and not bright and not peak):
        return None
    return table
