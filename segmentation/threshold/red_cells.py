"""Red cells told from cytoplasm by optical density, learnt anew in every image from where they must be.

Haemoglobin takes blue light (its strongest band lies near 415 nm), azure and methylene blue hardly do. Stained matter that lies
apart from every nucleus is red cells if there is enough of it, if it is dense, and if blue has a larger share in its density than in
that of the ring around the nuclei. Only then are the two told apart, by a linear discriminant of the three densities; in smears
without red cells nothing is taken out. Where red cells abound but no ring looks different from them, as around blasts with scant
cytoplasm, the tint of the nuclei stands in for that of the cytoplasm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segmentation.masks import Mask
from segmentation.threshold.image import Floats
from segmentation.threshold.parts import Numbers, fill_holes, opened, touching

__all__ = ["Around", "discriminant", "red_cell_score"]

_FAR = 2.0  # beyond so many nuclear radii nothing belongs to a cell
_APART = 0.2
_OPENING = 0.2
_ENOUGH = 0.1  # of a nucleus' area
_FAINT = 0.5  # of the ring's stain: shadows and ghosts are not looked at
_DENSE = 0.72
_ABOUND = 3.0  # of a nucleus' area
_GAP = 0.07  # in blue's share of density
_LEAST_GAP = 0.03  # where red cells abound, so that they are surely some
_SHRINK = 0.05
_FEWEST = 10


@dataclass(frozen=True)
class Around:
    """What surrounds the nuclei of an image; every array is (H, W).

    Attributes:
        nearest: Number of the nearest cell, from 1, int32.
        distance: Distance to its nucleus in nuclear radii, float32.
        outside: Clear of the nucleus' blurred edge, bool.
        ring: Stained pixels close around a nucleus, bool.
        stained: Nuclei and everything that is denser than glass, bool.
        relative: Stain as a share of the median in the nearest cell's ring, float32.
    """

    nearest: Numbers
    distance: Floats
    outside: Mask
    ring: Mask
    stained: Mask
    relative: Floats


def red_cell_score(density: Floats, nuclei: Mask, around: Around, scale: float) -> Floats | None:
    """Return a score above 0 where a pixel looks like a red cell, or None where there are none.

    Args:
        density: Optical density of red, green, blue, (H, W, 3).
        nuclei: (H, W) bool.
        around: What surrounds them.
        scale: Radius of a usual nucleus in pixels.

    Returns:
        (H, W) float32, or None.
    """
    ring = around.ring
    if min(ring.sum(), nuclei.sum()) <= _FEWEST:
        return None
    whole = opened(fill_holes(around.stained), _OPENING * scale)
    own = touching(whole | nuclei, nuclei)
    apart = (whole & ~own & (around.distance > _APART)) | (around.distance > _FAR)
    apart &= around.stained & ~nuclei & (around.relative > _FAINT)
    if apart.sum() <= max(_ENOUGH * np.pi * scale**2, _FEWEST):
        return None
    if np.median(around.relative[apart]) < _DENSE:
        return None
    total = np.maximum(density.clip(0).sum(axis=-1), 0.1)
    redness = density[..., 2] / total
    there = float(np.median(redness[apart]))
    difference = there - float(np.median(redness[ring]))
    abound = apart.sum() > _ABOUND * np.pi * scale**2
    gap = min(max(difference, _LEAST_GAP), _GAP) if abound else _GAP
    white = ring & (redness < there - gap)
    if difference <= 0 or white.sum() <= 0.05 * ring.sum() + _FEWEST / 2:
        if not abound:
            return None
        tint = density / total[..., None]
        return discriminant(tint, tint[apart], tint[nuclei])
    score = discriminant(density, density[apart], density[white])
    body = around.stained & own & ~nuclei
    white = body & around.outside & (around.distance <= _FAR) & (score < 0)
    red = apart | (body & (score > 0))
    if min(white.sum(), red.sum()) < _FEWEST:
        return score
    return discriminant(density, density[red], density[white])


def discriminant(values: Floats, first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> Floats:
    """Return Fisher's linear discriminant with equal priors: above 0 where a value is more like the first samples.

    Args:
        values: (..., C).
        first: Samples, (n, C), at least two.
        second: Samples, (m, C), at least two.

    Returns:
        (...) float32.
    """
    ups, downs = first.mean(axis=0, dtype=np.float64), second.mean(axis=0, dtype=np.float64)
    spread = (np.cov(first, rowvar=False) + np.cov(second, rowvar=False)) / 2
    size = len(ups)
    spread = (1 - _SHRINK) * spread + (_SHRINK * np.trace(spread) / size + 1e-9) * np.eye(size)
    weights = np.linalg.solve(spread, ups - downs)
    score: Floats = (values @ weights - (ups + downs) @ weights / 2).astype(np.float32)
    return score
