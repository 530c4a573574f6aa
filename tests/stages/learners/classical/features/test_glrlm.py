"""Run lengths worked by hand, and what must hold of any image."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_textures import cells, texture
from hypothesis import given, settings, strategies

from stages.classical_settings import ClassicalSettings
from stages.learners.classical.features import glrlm
from stages.learners.classical.features.view import View

# Galloway's (1975) own example, levels counted from 0 here.
GALLOWAY = np.array([[0, 1, 2, 3], [0, 2, 3, 3], [2, 1, 1, 1], [3, 0, 3, 0]])


def test_the_runs_of_galloways_image() -> None:
    along, rising, down, falling = glrlm.run_lengths(GALLOWAY, 4)
    assert along.tolist() == [[4, 0, 0, 0], [1, 0, 1, 0], [3, 0, 0, 0], [3, 1, 0, 0]]
    assert down.tolist() == [[2, 1, 0, 0], [4, 0, 0, 0], [3, 0, 0, 0], [3, 1, 0, 0]]
    assert rising.tolist() == [[4, 0, 0, 0], [4, 0, 0, 0], [0, 0, 1, 0], [3, 1, 0, 0]]
    assert falling.tolist() == [[4, 0, 0, 0], [4, 0, 0, 0], [3, 0, 0, 0], [5, 0, 0, 0]]


def test_properties_by_hand() -> None:
    # Two runs: of level 1 and length 2, of level 2 and length 1; over three pixels.
    told = dict(zip(glrlm.PROPERTIES, glrlm.properties(np.array([[0, 1], [1, 0]]), 3), strict=True))
    assert told == pytest.approx(
        {
            "short runs": (1 / 4 + 1) / 2,
            "long runs": (4 + 1) / 2,
            "grey-level non-uniformity": (1 + 1) / 4,
            "run-length non-uniformity": (1 + 1) / 4,
            "run percentage": 2 / 3,
            "low grey levels": (1 + 1 / 4) / 2,
            "high grey levels": (1 + 4) / 2,
            "short runs of low levels": (1 / 4 + 1 / 4) / 2,
            "short runs of high levels": (1 / 4 + 4) / 2,
            "long runs of low levels": (4 + 1 / 4) / 2,
            "long runs of high levels": (4 + 4) / 2,
        }
    )


@settings(max_examples=40, deadline=None)
@given(strategies.integers(1, 9), strategies.integers(1, 9), strategies.integers(0, 2**31))
def test_runs_cover_every_pixel_once_in_every_direction(height: int, width: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 4, (height, width))  # 3 stands for what does not count
    for table in glrlm.run_lengths(values, 3):
        lengths = np.arange(1, table.shape[1] + 1)
        np.testing.assert_array_equal(
            table @ lengths, [np.count_nonzero(values == level) for level in range(3)]
        )


@settings(max_examples=40, deadline=None)
@given(strategies.integers(1, 8), strategies.integers(1, 8), strategies.integers(0, 2**31))
def test_slanted_runs_are_those_of_numpys_diagonals(height: int, width: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 3, (height, width))

    def counted(image: np.ndarray) -> np.ndarray:
        table = np.zeros((3, max(image.shape)), np.int64)
        for offset in range(-height + 1, width):
            line = np.diagonal(image, offset)
            cuts = np.flatnonzero(np.diff(line)) + 1
            for run in np.split(line, cuts):
                table[run[0], len(run) - 1] += 1
        return table

    _, rising, _, falling = glrlm.run_lengths(values, 3)
    np.testing.assert_array_equal(falling, counted(values))
    np.testing.assert_array_equal(rising, counted(values[::-1]))


def test_a_row_sees_the_cells_alone() -> None:
    asked = ClassicalSettings(levels=8)
    image, mask = cells()
    row = glrlm.describe(View(image, segmented=True), asked)
    assert len(row) == len(glrlm.columns(asked)) == 22
    assert np.isfinite(row).all()
    share = dict(zip(glrlm.columns(asked), row, strict=True))["mean run percentage"]
    assert 0 < share <= 1
    assert not np.allclose(row, glrlm.describe(View(image), asked))
    other = image.copy()
    other[mask] = texture(9, 48, 48)[mask] | 1
    assert not np.allclose(row, glrlm.describe(View(other, segmented=True), asked))
