"""Shape against scikit-image's regionprops."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_textures import cells
from skimage.measure import label, regionprops

from stages.classical_settings import ClassicalSettings
from stages.learners.classical.features import shape
from stages.learners.classical.features.view import View


def blob(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    down, right = np.mgrid[:40, :50]
    mask = np.zeros((40, 50), bool)
    for _ in range(4):
        y, x, tall, wide = random.uniform((8, 8, 3, 3), (32, 42, 9, 12))
        mask |= ((down - y) / tall) ** 2 + ((right - x) / wide) ** 2 < 1
    return mask


@pytest.mark.parametrize("seed", range(12))
def test_every_cell_is_what_regionprops_says(seed: int) -> None:
    for region in regionprops(label(blob(seed))):
        told = dict(zip(shape.PROPERTIES, shape.cell_properties(region.image), strict=True))
        theirs = {
            "area": region.area,
            "perimeter": region.perimeter,
            "major axis": region.axis_major_length,
            "minor axis": region.axis_minor_length,
            "eccentricity": region.eccentricity,
            "solidity": region.solidity,
            "extent": region.extent,
            "circularity": min(1.0, 4 * np.pi * region.area / region.perimeter**2)
            if region.perimeter
            else 1.0,
        }
        assert told == pytest.approx(theirs, abs=1e-9)


def test_the_smallest_cells() -> None:
    dot = dict(zip(shape.PROPERTIES, shape.cell_properties(np.ones((1, 1), bool)), strict=True))
    assert dot["area"] == dot["extent"] == dot["solidity"] == dot["circularity"] == 1
    assert dot["major axis"] == dot["eccentricity"] == 0
    bar = dict(zip(shape.PROPERTIES, shape.cell_properties(np.ones((1, 5), bool)), strict=True))
    assert bar["eccentricity"] == 1
    assert bar["minor axis"] == 0


def test_a_row_of_two_cells() -> None:
    image, mask = cells()
    row = dict(
        zip(
            shape.columns(ClassicalSettings()),
            shape.describe(View(image, True), ClassicalSettings()),
            strict=True,
        )
    )
    regions = regionprops(label(mask))
    assert row["cells"] == len(regions) == 2
    assert row["covered"] == pytest.approx(mask.mean())
    areas = np.array([region.area for region in regions]) / mask.size
    assert row["mean area"] == pytest.approx(areas.mean())
    assert row["deviation of area"] == pytest.approx(areas.std())
    largest = max(regions, key=lambda region: region.area)
    assert row["largest cell's perimeter"] == pytest.approx(largest.perimeter / 48)


def test_specks_are_no_cells_and_an_empty_field_is_one() -> None:
    image, _ = cells()
    image[0, 0] = 200
    assert shape.describe(View(image, True), ClassicalSettings())[0] == 2
    empty = shape.describe(View(np.zeros((48, 48, 3), np.uint8), True), ClassicalSettings())
    assert empty[:3].tolist() == [1, 1, 1]
    assert np.isfinite(empty).all()
