"""Local binary patterns against scikit-image, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_textures import cells, texture
from skimage.feature import local_binary_pattern

from stages.classical_settings import ClassicalSettings
from stages.learners.classical.features import lbp
from stages.learners.classical.features.view import View


@pytest.mark.parametrize(("points", "radius"), [(4, 1), (8, 1), (8, 3), (16, 2), (24, 3)])
@pytest.mark.parametrize("seed", range(3))
def test_patterns_are_those_of_scikit_image(points: int, radius: int, seed: int) -> None:
    grey = View(texture(seed, 33, 52)).grey
    theirs = local_binary_pattern(grey, points, radius, "uniform")
    np.testing.assert_array_equal(lbp.uniform_patterns(grey, points, radius), theirs)


def test_plain_ground_too() -> None:
    for level in (0, 7, 120, 255):
        grey = np.full((20, 31), level, np.uint8)
        theirs = local_binary_pattern(grey, 8, 1, "uniform")
        np.testing.assert_array_equal(lbp.uniform_patterns(grey, 8, 1), theirs)


def test_a_row_counts_patterns_whose_circle_lies_in_a_cell() -> None:
    image, mask = cells()
    row = lbp.describe(View(image, segmented=True), ClassicalSettings())
    assert len(row) == len(lbp.columns(ClassicalSettings())) == 28
    assert row[:10].sum() == pytest.approx(1)
    assert row[10:].sum() == pytest.approx(1)
    inner = np.zeros_like(mask)
    inner[1:-1, 1:-1] = np.lib.stride_tricks.sliding_window_view(mask, (3, 3)).all(axis=(2, 3))
    codes = local_binary_pattern(View(image).grey, 8, 1, "uniform")[inner]
    np.testing.assert_allclose(row[:10], np.bincount(codes.astype(int), minlength=10) / inner.sum())
