"""The default: nuclei by what makes them purple, then each white cell grown around its nuclei.

Steps and sources stand in `nuclei`, `cytoplasm` and `red_cells`. No learned weights, no reliance on where in the image a cell is;
crops and whole fields alike. A field without white cells gives an empty result.
"""

from __future__ import annotations

import numpy as np

from segmentation.masks import NUCLEUS, Labels
from segmentation.threshold.cytoplasm import Cytoplasm, grow_cells
from segmentation.threshold.image import RGBImage, background_colour
from segmentation.threshold.nuclei import Nuclei, find_nuclei

__all__ = ["WhiteCells", "nuclei", "white_cells"]


class WhiteCells(Cytoplasm, Nuclei):
    """Settings of `white_cells`: those of the nuclei, then those of the cytoplasm."""


def white_cells(image: RGBImage, parameters: WhiteCells) -> Labels:
    """Return background, cytoplasm and nuclei of white cells, (H, W) uint8, of an (H, W, 3) uint8 RGB image."""
    glass = background_colour(image)
    found = find_nuclei(image, parameters, glass)
    cells = grow_cells(image, found, parameters, glass)
    return cells.astype(np.uint8) + found


def nuclei(image: RGBImage, parameters: Nuclei) -> Labels:
    """Return nuclei of white cells alone, (H, W) uint8 of 0 and 2, of an (H, W, 3) uint8 RGB image."""
    return find_nuclei(image, parameters).astype(np.uint8) * np.uint8(NUCLEUS)
