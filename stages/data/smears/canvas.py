"""The sheet that cells are painted on: stain concentrations and masks, worked on in small windows."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.data.smears.slides import STAINS

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Window:
    """A rectangle of the canvas around one cell, clipped to the frame.

    Attributes:
        rows: Rows of the canvas.
        columns: Columns of the canvas.
        x: (h, w) float32 horizontal offsets from the cell's centre in pixels.
        y: (h, w) float32 vertical offsets from the cell's centre in pixels.
    """

    rows: slice
    columns: slice
    x: Array
    y: Array

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w) of the window."""
        height, width = self.x.shape
        return height, width

    @property
    def place(self) -> tuple[slice, slice]:
        """Index of the window in a (H, W) array of the canvas."""
        return self.rows, self.columns


class Canvas:
    """Concentration planes, optical path and masks of one field.

    Attributes:
        pixels_per_um: Sampling.
        stains: (5, H, W) float32 concentrations, in the order of `STAINS`.
        path: (H, W) float32 relative optical path of cells, for the bright and dark rims.
        white_distance: (H, W) float32 distance to the nearest white cell in pixels, negative inside.
        instances: (H, W) uint16 white cells, 0 background.
        nucleus: (H, W) bool.
        red_cells: (H, W) bool.
    """

    def __init__(self, height: int, width: int, pixels_per_um: float) -> None:
        """Start with an empty sheet of `height` by `width` pixels."""
        self.pixels_per_um = pixels_per_um
        self.stains = np.zeros((len(STAINS), height, width), np.float32)
        self.path = np.zeros((height, width), np.float32)
        self.white_distance = np.full((height, width), 1e4, np.float32)
        self.instances = np.zeros((height, width), np.uint16)
        self.nucleus = np.zeros((height, width), np.bool_)
        self.red_cells = np.zeros((height, width), np.bool_)

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the sheet in pixels."""
        height, width = self.path.shape
        return height, width

    def window(self, x: float, y: float, reach: float) -> Window | None:
        """Cut the square of half side `reach` pixels around (x, y); None where it misses the frame."""
        height, width = self.shape
        left, right = max(int(x - reach), 0), min(int(x + reach) + 1, width)
        top, bottom = max(int(y - reach), 0), min(int(y + reach) + 1, height)
        if right - left < 2 or bottom - top < 2:
            return None
        columns, rows = np.meshgrid(
            np.arange(left, right, dtype=np.float32) - np.float32(x),
            np.arange(top, bottom, dtype=np.float32) - np.float32(y),
        )
        return Window(slice(top, bottom), slice(left, right), columns, rows)
