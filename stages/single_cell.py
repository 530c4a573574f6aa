"""Stage 2: one lymphoblast or healthy cell an image, W1 -> W2."""

from __future__ import annotations

from stages.stage import Stage

__all__ = ["SINGLE_CELL"]

SINGLE_CELL = Stage(
    number=2,
    name="single_cell",
    title="single cell",
    unit="one white cell (ALL-IDB2)",
    activation="sigmoid",
    loss="binary cross entropy",
    head="global average pooling and one dense layer",
    source="paper A (Maaliw et al. 2022), II-E, eq. 2",
)
