"""From labels to white cells: touching ones are split, and each is measured and can be cut out."""

from segmentation.cells.found import (
    Cell,
    Cells,
    CellSettings,
    crop_cell,
    cut_cell,
    find_cells,
    find_instances,
    keep_cells,
    main_cell,
    typical_area,
)

__all__ = [
    "Cell",
    "CellSettings",
    "Cells",
    "crop_cell",
    "cut_cell",
    "find_cells",
    "find_instances",
    "keep_cells",
    "main_cell",
    "typical_area",
]
