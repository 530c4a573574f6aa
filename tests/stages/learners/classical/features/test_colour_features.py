"""Colour moments and histograms against NumPy, scikit-image and what a shift of hue may do."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_textures import cells, texture
from scipy.stats import skew
from skimage.color import rgb2hsv, rgb2lab

from stages.classical_settings import ClassicalSettings
from stages.learners.classical.features import colour
from stages.learners.classical.features.view import View

NAMES = colour.columns(ClassicalSettings())


def row(view: View) -> dict[str, float]:
    return dict(zip(NAMES, colour.describe(view, ClassicalSettings()), strict=True))


def test_moments_of_rgb_are_numpys() -> None:
    image, mask = cells()
    told = row(View(image, True))
    for place, channel in enumerate("RGB"):
        values = image[mask][:, place] / 255
        assert told[f"mean of {channel}"] == pytest.approx(values.mean())
        assert told[f"deviation of {channel}"] == pytest.approx(values.std())
        cube = skew(values) * values.std() ** 3
        assert told[f"skewness of {channel}"] == pytest.approx(np.cbrt(cube), abs=1e-9)
        counts, _ = np.histogram(image[mask][:, place], bins=16, range=(0, 256))
        bins = [told[f"{channel} bin {one}"] for one in range(16)]
        np.testing.assert_allclose(bins, counts / mask.sum())


def test_other_spaces_are_those_of_scikit_image_within_their_rounding() -> None:
    image = texture()
    told = row(View(image))
    hsv, lab = rgb2hsv(image), rgb2lab(image)
    assert told["mean of saturation"] == pytest.approx(hsv[..., 1].mean(), abs=0.005)
    assert told["mean of value"] == pytest.approx(hsv[..., 2].mean(), abs=0.005)
    assert told["mean of L*"] == pytest.approx(lab[..., 0].mean() / 100, abs=0.005)
    assert told["mean of a*"] == pytest.approx((lab[..., 1].mean() + 128) / 255, abs=0.005)


def test_hues_on_both_sides_of_red_are_close() -> None:
    pink, red = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)
    pink[...], red[...] = (200, 100, 104), (200, 104, 100)
    assert abs(row(View(pink))["mean of hue"] - row(View(red))["mean of hue"]) < 0.03


def test_histograms_sum_to_one() -> None:
    told = row(View(texture(3)))
    assert len(told) == 171
    assert sum(value for name, value in told.items() if " bin " in name) == pytest.approx(9)
