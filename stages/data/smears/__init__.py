"""Rendered blood smears: fields and crops whose every cell is known.

Nothing here is patient data. A field is composed in optical density from stain concentrations (Beer-Lambert),
photographed by a simple microscope camera, and comes with its masks, centroids and cell types.

Example:
    >>> from stages.data.smears import make_slide, render_field
    >>> field = render_field("L2", make_slide(seed=0, index=2), seed=7, height=128, width=128)
    >>> field.image.shape
    (128, 128, 3)
"""

from stages.data.smears.field import Cell, Field, render_field
from stages.data.smears.masked import render_masked
from stages.data.smears.recipes import CELL_TYPES, FAB
from stages.data.smears.slides import Slide, make_slide
from stages.data.smears.trees import RenderedTrees, render_trees

__all__ = [
    "CELL_TYPES",
    "FAB",
    "Cell",
    "Field",
    "RenderedTrees",
    "Slide",
    "make_slide",
    "render_field",
    "render_masked",
    "render_trees",
]
