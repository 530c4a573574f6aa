"""Morphology of each white cell as numbers.

The blasts follow the FAB criteria (Bennett et al., Br. J. Haematol. 33, 1976): L1 small, uniform, scant cytoplasm,
homogeneous chromatin, regular nucleus; L2 large and uneven, irregular or cleft nucleus, nucleoli, more cytoplasm;
L3 large and uniform, round nucleus with stippled chromatin, deeply basophilic and vacuolated cytoplasm.
"""

from dataclasses import dataclass
from typing import Literal

Span = tuple[float, float]


@dataclass(frozen=True)
class Recipe:
    """How one type of white cell is drawn. A `Span` is (lowest, highest) of a uniform draw.

    Attributes:
        radius: Mean cell radius in micrometres.
        spread: Relative standard deviation of the radius.
        nuclear_share: Nucleus area over cell area.
        wobble: Irregularity of the cell outline.
        nucleus: Form of the nucleus.
        nuclear_wobble: Irregularity of the nuclear outline.
        chromatin: Concentration of chromatin.
        fine: Contrast of fine chromatin strands.
        clump: Contrast of coarse chromatin clumps.
        nucleoli: Fewest and most nucleoli.
        thiazine: Concentration of blue dye in the cytoplasm.
        eosin: Concentration of pink dye in the cytoplasm.
        granules: Kind of granules in the cytoplasm.
        vacuoles: Fewest and most vacuoles.
        hof: Depth of the pale zone beside the nucleus, 0 to 1.
    """

    radius: float
    spread: float
    nuclear_share: Span
    wobble: float
    nucleus: Literal["round", "cleft", "lobed", "kidney"]
    nuclear_wobble: float
    chromatin: Span
    fine: float
    clump: float
    nucleoli: tuple[int, int] = (0, 0)
    thiazine: Span = (0.5, 0.9)
    eosin: Span = (0.0, 0.1)
    granules: Literal["none", "neutral", "azurophil", "eosin"] = "none"
    vacuoles: tuple[int, int] = (0, 0)
    hof: float = 0.0


RECIPES: dict[str, Recipe] = {
    "neutrophil": Recipe(
        radius=6.3, spread=0.07, nuclear_share=(0.28, 0.40), wobble=0.03, nucleus="lobed", nuclear_wobble=0.05,
        chromatin=(0.9, 1.15), fine=0.08, clump=0.16, thiazine=(0.05, 0.25), eosin=(0.15, 0.4), granules="neutral",
    ),
    "lymphocyte": Recipe(
        radius=4.7, spread=0.12, nuclear_share=(0.55, 0.76), wobble=0.04, nucleus="round", nuclear_wobble=0.035,
        chromatin=(0.9, 1.2), fine=0.05, clump=0.17, thiazine=(0.4, 1.2), hof=0.2,
    ),
    "monocyte": Recipe(
        radius=7.7, spread=0.09, nuclear_share=(0.40, 0.52), wobble=0.08, nucleus="kidney", nuclear_wobble=0.06,
        chromatin=(0.65, 0.95), fine=0.16, clump=0.14, thiazine=(0.4, 0.9), eosin=(0.0, 0.15), granules="azurophil",
        vacuoles=(0, 4),
    ),
    "eosinophil": Recipe(
        radius=6.6, spread=0.06, nuclear_share=(0.26, 0.36), wobble=0.03, nucleus="lobed", nuclear_wobble=0.05,
        chromatin=(0.85, 1.1), fine=0.08, clump=0.16, thiazine=(0.05, 0.2), eosin=(0.5, 0.8), granules="eosin",
    ),
    "L1": Recipe(
        radius=5.1, spread=0.05, nuclear_share=(0.80, 0.90), wobble=0.025, nucleus="round", nuclear_wobble=0.02,
        chromatin=(0.75, 1.1), fine=0.06, clump=0.02, thiazine=(0.6, 1.1),
    ),
    "L2": Recipe(
        radius=7.3, spread=0.14, nuclear_share=(0.50, 0.68), wobble=0.07, nucleus="cleft", nuclear_wobble=0.06,
        chromatin=(0.65, 0.95), fine=0.10, clump=0.08, nucleoli=(1, 3), thiazine=(0.5, 1.1), hof=0.25,
    ),
    "L3": Recipe(
        radius=7.3, spread=0.05, nuclear_share=(0.60, 0.70), wobble=0.03, nucleus="round", nuclear_wobble=0.025,
        chromatin=(0.8, 1.1), fine=0.10, clump=0.03, nucleoli=(0, 2), thiazine=(1.1, 1.9), vacuoles=(9, 20),
    ),
}  # fmt: skip

CELL_TYPES: tuple[str, ...] = tuple(RECIPES)
FAB: tuple[str, ...] = ("normal", "L1", "L2", "L3")
NORMAL_MIX: dict[str, float] = {"lymphocyte": 0.46, "neutrophil": 0.30, "monocyte": 0.16, "eosinophil": 0.08}
