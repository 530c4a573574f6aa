"""One image as all families of features see it: its grey levels and which pixels count are found once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["Floats", "Image", "Mask", "View"]

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class View:
    """A prepared image.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        segmented: Whether all but its white cells is black.
    """

    image: Image
    segmented: bool = False

    @cached_property
    def grey(self) -> Image:
        """(H, W) uint8, luma of ITU-R BT.601."""
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(self.image), cv2.COLOR_RGB2GRAY), np.uint8)

    @cached_property
    def mask(self) -> Mask:
        """(H, W) bool: the pixels that count, those of white cells or all; all where none is left."""
        if not self.segmented:
            return np.ones(self.image.shape[:2], bool)
        mask: Mask = np.asarray(self.image.any(axis=2), bool)
        return mask if mask.any() else np.ones_like(mask)

    def inside(self, reach: int) -> Mask:
        """Return the pixels whose neighbours as far as `reach` count, too, (H, W) bool; the mask where there are none."""
        edge = self.mask.astype(np.uint8)
        side = 2 * reach + 1
        kept = cv2.erode(
            edge, np.ones((side, side), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0
        ).astype(bool)
        return kept if kept.any() else self.mask
