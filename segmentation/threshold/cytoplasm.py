"""Whole white cells grown from their nuclei: what is denser than glass, is no red cell, and holds together around a nucleus.

1. Nuclear parts that lie close together are one cell. Every pixel belongs to the cell of its nearest nucleus, and distances
   are counted in that cell's scale: the radius of a disc as large as its nuclei.
2. A pixel is stained where its green contrast to the glass is above a share of that of the ring around the nucleus, so pale
   and strong cells each have a level of their own.
3. Red cells (`red_cells`) are taken out by colour.
4. Lumps that hang on by a neck are cut off at a share of the cell's depth, holes filled, the border smoothed.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from segmentation.masks import Mask
from segmentation.threshold.image import Floats, RGBImage, background_colour, blur, optical_density
from segmentation.threshold.parameters import Parameters, flag, number
from segmentation.threshold.parts import (
    Numbers,
    depth,
    distance_to,
    fill_holes,
    label_parts,
    maximum_of,
    median_of,
    touching,
)
from segmentation.threshold.red_cells import Around, red_cell_score

__all__ = ["Cytoplasm", "grow_cells"]

_Values = npt.NDArray[np.float64]
_INNER = 0.06
_INNER_PIXELS = 1.5


class Cytoplasm(Parameters):
    """Settings of `grow_cells`. Shares of distances refer to a cell's scale."""

    smoothing: float = number(1.0, 0, 10, "smoothing of densities, in pixels")
    join: float = number(
        0.5, 0, 5, "nuclear parts this far apart are one cell, as a share of a nucleus' radius"
    )
    ring: float = number(0.25, 0.05, 2, "how far the ring reaches whose stain is a cell's own, as a share")
    level: float = number(0.38, 0, 1, "share of the ring's contrast above which a pixel is stained")
    least: float = number(0.08, 0, 1, "the same, of the nucleus' contrast: the level is never below")
    faint: float = number(10.0, 0, 255, "the same in grey levels")
    reach: float = number(2.0, 0, 20, "how far a cell reaches from its nucleus, as a share")
    red: bool = flag(True, "take red cells out by their colour")
    neck: float = number(0.35, 0, 1, "lumps on necks thinner than this share of the cell's depth are cut off")
    regrow: float = number(1.3, 1, 3, "how far corners grow back after that, as a share of the neck")
    border: float = number(0.06, 0, 1, "smoothing of the border, as a share")


def grow_cells(
    image: RGBImage, nuclei: Mask, parameters: Cytoplasm, background: Floats | None = None
) -> Mask:
    """Return whole white cells, nuclei included, (H, W) bool.

    Args:
        image: (H, W, 3) uint8 RGB.
        nuclei: (H, W) bool; without any the result is empty.
        parameters: Settings.
        background: Colour of the glass, (3,); None finds it.
    """
    if not nuclei.any():
        return nuclei
    glass = background_colour(image) if background is None else background
    stain = blur(np.maximum(glass[1] - image[..., 1].astype(np.float32), 0), parameters.smoothing)
    around, scales = _around(nuclei, stain, parameters)
    cell: Mask = around.stained & (around.distance <= parameters.reach)
    if parameters.red:
        density = blur(optical_density(image, glass), parameters.smoothing)
        score = red_cell_score(density, nuclei, around, float(np.median(scales)))
        if score is not None:
            cell &= blur(score, parameters.smoothing) < 0
    cell = _compact(cell, nuclei, around, len(scales), parameters)
    width = max(parameters.border * float(np.median(scales)), 0.5) if parameters.border else 0
    cell = blur(cell, width) > 0.5
    return fill_holes(touching(cell | nuclei, nuclei))


def _around(nuclei: Mask, stain: Floats, parameters: Cytoplasm) -> tuple[Around, _Values]:
    """Return what surrounds the nuclei, and every cell's scale in pixels."""
    gap = parameters.join * float(depth(nuclei).max())
    groups, count = label_parts(distance_to(nuclei) <= gap)
    groups[~nuclei] = 0
    scales = np.sqrt(np.bincount(groups.ravel(), minlength=count + 1)[1:] / np.pi)
    scales = np.minimum(scales, 2 * float(depth(nuclei).max()))
    pixels, nearest = _nearest(nuclei, groups)
    scale = np.append(1.0, scales)[nearest].astype(np.float32)
    distance: Floats = (pixels / scale).astype(np.float32)
    own = median_of(stain, groups, count)
    least = np.maximum(parameters.least * own, parameters.faint)
    outside: Mask = pixels > np.maximum(_INNER_PIXELS, _INNER * scale)
    near: Mask = outside & (distance <= parameters.ring)
    level = least
    for _ in range(2):
        seen = near & (stain > np.append(0, level)[nearest])
        ring_stain = median_of(stain, np.where(seen, nearest, 0), count)
        level = np.maximum(least, parameters.level * ring_stain)
    stained: Mask = (stain > np.append(0, level)[nearest]) | nuclei
    relative = stain / np.maximum(np.append(1, ring_stain)[nearest], 1e-3)
    return Around(nearest, distance, outside, near & stained, stained, relative.astype(np.float32)), scales


def _nearest(nuclei: Mask, groups: Numbers) -> tuple[Floats, Numbers]:
    """Return every pixel's distance to the nearest nucleus in pixels, and that nucleus' group."""
    pixels, ids = cv2.distanceTransformWithLabels(
        (~nuclei).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    group_of = np.zeros(int(ids.max()) + 1, np.int32)
    group_of[ids[nuclei]] = groups[nuclei]
    return pixels.astype(np.float32, copy=False), group_of[ids]


def _compact(cell: Mask, nuclei: Mask, around: Around, count: int, parameters: Cytoplasm) -> Mask:
    """Return cells without lumps that hang on by a neck."""
    cell = touching(fill_holes(cell | nuclei), nuclei)
    inside = depth(cell)
    deepest = maximum_of(inside, np.where(cell, around.nearest, 0), count)
    at_nucleus = maximum_of(inside, np.where(nuclei, around.nearest, 0), count)
    neck = np.append(0, parameters.neck * np.minimum(deepest, 1.5 * at_nucleus))[around.nearest]
    core = touching((inside > neck) | nuclei, nuclei)
    return touching(cell & (distance_to(core) <= parameters.regrow * neck), nuclei)
