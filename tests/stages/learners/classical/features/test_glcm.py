"""Co-occurrence against scikit-image, with and without pixels that do not count."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_textures import cells, texture
from skimage.feature import graycomatrix, graycoprops

from stages.classical_settings import ClassicalSettings
from stages.learners.classical.features import glcm
from stages.learners.classical.features.grey import quantise
from stages.learners.classical.features.view import View

ANGLES = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]


@pytest.mark.parametrize("levels", [2, 8, 32, 256])
@pytest.mark.parametrize("distances", [(1,), (1, 2, 4), (3, 5)])
def test_matrices_and_properties_are_those_of_scikit_image(levels: int, distances: tuple[int, ...]) -> None:
    view = View(texture())
    values = quantise(view.grey, view.mask, levels)
    ours = glcm.cooccurrence(values, levels, distances)
    kind = np.uint8 if levels <= 256 else np.uint16
    theirs = graycomatrix(values.astype(kind), distances, ANGLES, levels=levels, symmetric=True, normed=True)
    np.testing.assert_array_equal(ours, theirs.transpose(2, 3, 0, 1))
    told = glcm.properties(ours)
    for place, name in enumerate(glcm.PROPERTIES):
        np.testing.assert_allclose(told[:, place], graycoprops(theirs, name), atol=1e-9, err_msg=name)


def test_pixels_outside_the_cells_are_in_no_pair() -> None:
    image, mask = cells()
    view = View(image, segmented=True)
    np.testing.assert_array_equal(view.mask, mask)
    ours = glcm.cooccurrence(quantise(view.grey, mask, 16), 16, (1, 2))
    # scikit-image knows no masks: the background is a level of its own, whose row and column are cut off.
    levels = np.where(mask, view.grey.astype(int) * 16 // 256, 16).astype(np.uint8)
    counts = graycomatrix(levels, [1, 2], ANGLES, levels=17, symmetric=True)[:16, :16].astype(float)
    np.testing.assert_allclose(ours, (counts / counts.sum(axis=(0, 1))).transpose(2, 3, 0, 1), atol=1e-15)


def test_a_plain_image_and_one_without_pairs() -> None:
    plain = glcm.properties(glcm.cooccurrence(np.full((5, 5), 3), 8, (1,)))[0, :, 0]
    assert dict(zip(glcm.PROPERTIES, plain, strict=True)) == {
        "contrast": 0, "dissimilarity": 0, "homogeneity": 1, "ASM": 1, "energy": 1, "correlation": 1, "entropy": 0,
    }  # fmt: skip
    assert not glcm.cooccurrence(np.zeros((3, 3), np.int64), 4, (7,)).any()


def test_a_row_is_mean_and_range_over_directions() -> None:
    settings = ClassicalSettings(levels=16, distances=(1, 3))
    view = View(texture(2))
    found = glcm.properties(glcm.cooccurrence(quantise(view.grey, view.mask, 16), 16, (1, 3)))
    row = dict(zip(glcm.columns(settings), glcm.describe(view, settings), strict=True))
    assert len(row) == 28
    assert row["mean contrast, 3 px"] == pytest.approx(found[1, 0].mean())
    assert row["range of entropy, 1 px"] == pytest.approx(found[0, 6].max() - found[0, 6].min())
    turned = View(np.ascontiguousarray(np.rot90(view.image)))
    np.testing.assert_allclose(glcm.describe(turned, settings), list(row.values()), atol=1e-9)
