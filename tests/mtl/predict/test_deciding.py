"""Parts of an answer land on the cells that they are of; and what is written beside a cell."""

from __future__ import annotations

import numpy as np
import pytest

from mtl.predict.deciding import aggregate_of, answers_patients, with_parts
from mtl.predict.drawing import overlay
from mtl.predict.records import CellSaid, FieldSaid
from mtl.predict.settings import PredictSmears

FIELD = (0, 0, 90, 60)


def cell(number: int, box: tuple[int, int, int, int]) -> CellSaid:
    x0, y0, x1, y1 = box
    return CellSaid(
        cell=number, x=(x0 + x1) / 2, y=(y0 + y1) / 2, box=box, area_px=100, nucleus_area_px=50, nucleus_to_cytoplasm=1.0,
        touches_border=False, outline=((x0, y0), (x1, y0), (x1, y1), (x0, y1)), said=None,
    )  # fmt: skip


CELLS = (cell(1, (0, 0, 20, 20)), cell(2, (10, 10, 40, 40)), cell(3, (60, 20, 80, 40)))


def test_a_part_goes_to_the_nearest_cell_that_holds_its_middle() -> None:
    boxes = [(12, 12, 18, 18), (26, 24, 30, 28), (2, 2, 8, 8), (82, 50, 88, 58)]
    told = with_parts(CELLS, boxes, [0.4, 0.3, 0.2, 0.1], FIELD)
    # The first middle (15, 15) lies in two boxes: nearer to the middle of the first cell (10, 10) than to that of the second (25, 25).
    assert [one.decided for one in told] == pytest.approx([0.6, 0.3, 0.0])
    assert [one.model_copy(update={"decided": None}) for one in told] == list(CELLS)


@pytest.mark.parametrize("boxes", [[], [FIELD]], ids=["none", "the field"])
def test_where_the_stage_saw_no_cell_nothing_is_told(boxes: list[tuple[int, int, int, int]]) -> None:
    assert with_parts(CELLS, boxes, [1.0][: len(boxes)], FIELD) == CELLS


def test_a_part_is_drawn_beside_its_cell_and_explained_below() -> None:
    plain = FieldSaid(
        image="f", output="f", width=90, height=60, method="m", said=None, cells=CELLS, blasts=None
    )
    parts = plain.model_copy(update={"cells": with_parts(CELLS, [(62, 22, 78, 38)], [1.0], FIELD)})
    image = np.full((600, 900, 3), 200, np.uint8)
    without, drawn = overlay(image, plain, ()), overlay(image, parts, ())
    assert drawn.shape[0] > without.shape[0]  # a line more in the legend
    assert (drawn[:600] != without[:600]).any()


def test_without_a_model_nothing_is_aggregated() -> None:
    assert aggregate_of(PredictSmears(), None, None) is None
    assert not answers_patients(None)
