"""Watersheds: touching cells come apart, whole cells are flooded from their nuclei."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_cells import disc, drawn_field
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import label as components

from segmentation.errors import ParameterError
from segmentation.threshold import split_touching, threshold


@pytest.fixture(scope="module")
def field() -> np.ndarray:
    return drawn_field()


def test_discs_whose_neck_is_wide_are_one_cell() -> None:
    # Centres 24 apart: the neck is sqrt(20^2 - 12^2) = 16 deep, 20 % less than the middles; a fall of 25 % parts cells.
    mask = disc(100, 50, 38, 20) | disc(100, 50, 62, 20)
    assert split_touching(mask).max() == 1
    assert split_touching(mask, 0.1).max() == 2


@pytest.mark.parametrize("gap", [1.5, 1.7, 1.9])
def test_touching_discs_come_apart_at_their_neck(gap: float) -> None:
    mask = disc(100, 50, 50 - gap * 10, 20) | disc(100, 50, 50 + gap * 10, 20)
    cells = split_touching(mask)
    assert cells.max() == 2
    np.testing.assert_array_equal(cells > 0, mask)
    areas = np.bincount(cells.ravel())[1:]
    assert areas.min() > 0.9 * areas.max()


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=14)), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_splitting_keeps_the_mask_and_joins_nothing(mask: np.ndarray, neck: float) -> None:
    cells = split_touching(mask, neck)
    np.testing.assert_array_equal(cells > 0, mask)
    parts = components(mask, connectivity=1)
    assert cells.max() >= parts.max()
    for number in range(1, cells.max() + 1):
        assert len(np.unique(parts[cells == number])) == 1


def test_a_neck_outside_0_to_1_is_refused() -> None:
    with pytest.raises(ParameterError, match="`neck`"):
        split_touching(np.ones((3, 3), bool), 1.5)


def test_flooding_finds_whole_cells(field: np.ndarray) -> None:
    labels = threshold(field, "watershed")
    truth = disc(120, 30, 30, 20) | disc(120, 85, 80, 20)
    assert ((labels > 0) & truth).sum() > 0.93 * truth.sum()
    assert (labels > 0)[~truth].mean() < 0.03
    assert ((labels == 2) <= (labels > 0)).all()
