"""Stage 3: fields of many cells, normal and FAB L1 to L3, W2 -> W3."""

from __future__ import annotations

from stages.stage import Stage

__all__ = ["MULTI_CELL"]

MULTI_CELL = Stage(
    number=3,
    name="multi_cell",
    title="multi-cell",
    unit="field of many cells (ALL-IDB1)",
    activation="softmax",
    loss="cross entropy",
    head="global average pooling, dense layers with dropout",
    source="paper A (Maaliw et al. 2022), II-E and II-F, eq. 1",
)
