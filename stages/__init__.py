"""What is learned: data sets, splits, learners, and the three stages of the chain."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from stages.imagenet import IMAGENET
from stages.multi_cell import MULTI_CELL
from stages.single_cell import SINGLE_CELL
from stages.stage import Stage

__all__ = ["STAGES", "Stage"]

STAGES: Mapping[int, Stage] = MappingProxyType({1: IMAGENET, 2: SINGLE_CELL, 3: MULTI_CELL})
"""The stages by their number in a chain."""
