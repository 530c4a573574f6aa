from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage.color import rgb2hsv
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from segmentation.errors import ImageError, MaskError, ParameterError
from segmentation.threshold import NORMALISERS, fit_hsv, isolate, normalise, split_touching, threshold
from segmentation.threshold.clusters import fuzzy_c_means_centres, k_medoids_indices
from segmentation.threshold.enhance import high_boost, laplacian_of_gaussian
from segmentation.threshold.hsv import to_hsv
from segmentation.threshold.image import background_colour, multi_otsu_levels, optical_density, otsu_level
from segmentation.threshold.mixer import mix_channels
from segmentation.threshold.normalise import stain_vectors
from segmentation.threshold.parts import (
    depth,
    distance_to,
    fill_holes,
    fill_small_holes,
    keep_large,
    largest,
    opened,
    touching,
    without_cut,
)
from segmentation.threshold.red_cells import discriminant

MASKS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


def discs(size: int, *spots: tuple[float, float, float]) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    mask = np.zeros((size, size), bool)
    for row, column, radius in spots:
        mask |= (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    return mask


def stained(seed: int = 0, size: int = 48) -> np.ndarray:
    """Pixels of two known stains in random amounts."""
    random = np.random.default_rng(seed)
    amounts = random.gamma(2, 0.35, (size * size, 2))
    amounts[: size * size // 5] = [[1.5, 0]]
    amounts[size * size // 5 : size * size * 2 // 5] = [[0, 1]]
    density = amounts @ np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
    return np.clip(240 * np.exp(-density), 0, 255).astype(np.uint8).reshape(size, size, 3)


@given(MASKS)
def test_filling_is_scipys(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(fill_holes(mask), ndimage.binary_fill_holes(mask))
    np.testing.assert_array_equal(fill_small_holes(mask, 0), mask)
    assert fill_small_holes(mask, mask.size).all()


@given(MASKS, st.floats(0, 4))
def test_opening_and_choosing_only_take_away(mask: np.ndarray, radius: float) -> None:
    for result in (
        opened(mask, radius),
        keep_large(mask, 0.5),
        largest(mask),
        without_cut(mask),
        touching(mask, mask),
    ):
        assert not (result & ~mask).any()
    np.testing.assert_array_equal(touching(mask, mask), mask)
    np.testing.assert_array_equal(keep_large(mask, 0), mask)
    assert largest(mask).any() == mask.any()


def test_depth_goes_on_behind_the_edge() -> None:
    mask = np.zeros((20, 20), bool)
    mask[:, :6] = True
    inside = depth(mask)
    assert inside[10, 0] == pytest.approx(6, abs=0.2)
    assert inside[0, 0] == inside[10, 0]
    assert not inside[:, 6:].any()
    assert depth(np.ones((4, 6), bool)).min() > 0
    np.testing.assert_array_equal(opened(mask, 4), mask)
    assert distance_to(np.zeros((2, 2), bool)).min() > 1e9


def test_opening_cuts_threads() -> None:
    mask = discs(60, (30, 20, 12))
    thread = mask.copy()
    thread[29:31, 20:55] = True
    cut = opened(thread, 4)
    assert not cut[30, 40:].any()
    assert (cut & mask).sum() > 0.97 * mask.sum()


def test_parts_at_the_edge() -> None:
    mask = discs(40, (0, 10, 6), (25, 25, 6))
    np.testing.assert_array_equal(without_cut(mask), discs(40, (25, 25, 6)))
    alone = discs(40, (0, 10, 6))
    np.testing.assert_array_equal(without_cut(alone), alone)


def test_background_is_the_glass() -> None:
    image = np.full((50, 50, 3), (240, 230, 160), np.uint8)
    image[:30] = (200, 120, 130)
    image[:5, :3] = 255  # a glint
    np.testing.assert_array_equal(background_colour(image), [240, 230, 160])
    density = optical_density(image, background_colour(image))
    assert density[40, 40] == pytest.approx([0, 0, 0])
    assert density[10, 10] == pytest.approx(-np.log(np.array([200, 120, 130]) / [240, 230, 160]), abs=1e-5)


def test_levels_without_anything_to_split() -> None:
    assert otsu_level(np.zeros(0)) == 0
    assert otsu_level(np.full(5, 7.0)) == 7
    assert multi_otsu_levels(np.full(5, 7.0)) == [7, 7]
    assert len(multi_otsu_levels(np.array([1.0, 2.0]), 3)) == 2


def test_hsv_is_scikit_images() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 9, 3)).astype(np.uint8)
    np.testing.assert_allclose(to_hsv(image) / [360, 1, 1], rgb2hsv(image), atol=1e-3)


def test_hsv_interval_fitted_through_red_finds_its_colour_again() -> None:
    image = np.full((30, 30, 3), (240, 240, 200), np.uint8)
    mask = discs(30, (15, 15, 8))
    random = np.random.default_rng(0)
    image[mask] = np.array([200, 30, 35]) + random.integers(-15, 15, (mask.sum(), 3))
    bounds = fit_hsv([image], [mask], coverage=1)
    assert bounds.hue_low > 340
    assert bounds.hue_high < 20
    settings = bounds.model_dump()
    assert (threshold(image, "hsv", **settings) == 2).sum() > 0.97 * mask.sum()
    with pytest.raises(MaskError, match="cover some pixels"):
        fit_hsv([image], [np.zeros((30, 30), bool)])
    with pytest.raises(ParameterError, match="`coverage`"):
        fit_hsv([image], [mask], coverage=0)


def test_mixer_is_the_papers() -> None:
    image = np.array([[[100, 50, 20], [255, 255, 255]]], np.uint8)
    np.testing.assert_allclose(mix_channels(image), [[88 + 20.5 + 4, 255]], rtol=1e-5)
    np.testing.assert_allclose(mix_channels(image, keep_luminosity=True), [[112.5 / 1.49, 255]], rtol=1e-5)
    field = np.full((10, 10, 3), 200, np.uint8)
    field[3:6, 3:6] = (60, 30, 60)
    assert (threshold(field, "channel-mixer") == 2).sum() == 9
    assert (threshold(field, "channel-mixer", level=50) == 2).sum() == 0


def test_cells_are_isolated_on_black() -> None:
    image = np.full((4, 4, 3), (10, 20, 30), np.uint8)
    mask = np.eye(4, dtype=bool)
    kept = isolate(image, mask)
    assert (kept[mask] == [10, 20, 30]).all()
    assert not kept[~mask].any()
    assert (isolate(image, mask, blue_only=True)[mask] == [0, 0, 30]).all()
    with pytest.raises(MaskError, match="as large as its image"):
        isolate(image, mask[:2])


def test_medoids_are_as_good_as_a_library_finds() -> None:
    kmedoids = pytest.importorskip("kmedoids")
    points = np.concatenate(
        [np.random.default_rng(index).normal(4 * index, 1, (60, 3)) for index in range(3)]
    )
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    theirs = kmedoids.fasterpam(distances, 3, random_state=0).loss
    ours = distances[:, k_medoids_indices(points, 3)].min(axis=1).sum()
    assert ours <= 1.001 * theirs
    assert len(set(k_medoids_indices(np.zeros((9, 2)), 2))) >= 1


def test_fuzzy_centres_are_scikit_fuzzys() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fuzzy = pytest.importorskip("skfuzzy")
        points = np.concatenate(
            [np.random.default_rng(index).normal(4 * index, 1, (60, 3)) for index in range(3)]
        )
        theirs = fuzzy.cmeans(points.T, 3, 2, error=1e-7, maxiter=1000, seed=0)[0]
    ours = fuzzy_c_means_centres(points, 3)
    np.testing.assert_allclose(np.sort(ours[:, 0]), np.sort(theirs[:, 0]), atol=1e-3)


def test_discriminant_is_scikit_learns() -> None:
    random = np.random.default_rng(0)
    first, second = (random.normal(shift, 1, (200, 3)).astype(np.float32) for shift in (0, 1))
    score = discriminant(first, first, second)
    theirs = LinearDiscriminantAnalysis(priors=[0.5, 0.5]).fit(
        np.concatenate([second, first]), np.repeat([0, 1], 200)
    )
    assert np.corrcoef(score, theirs.decision_function(first))[0, 1] > 0.999
    assert (score > 0).mean() == pytest.approx((theirs.decision_function(first) > 0).mean(), abs=0.02)


def test_touching_discs_are_split_and_single_ones_not() -> None:
    assert split_touching(discs(60, (30, 20, 12), (30, 41, 12))).max() == 2
    assert split_touching(discs(60, (30, 20, 12), (30, 41, 12)), neck=1).max() == 1
    assert split_touching(discs(90, (20, 20, 12), (20, 41, 12), (70, 70, 8))).max() == 3
    ellipse = np.hypot(*((np.mgrid[:60, :60] - 30) / [[[10]], [[25]]])) <= 1
    assert split_touching(ellipse).max() == 1
    assert split_touching(np.zeros((5, 5), bool)).max() == 0
    assert split_touching(np.ones((1, 1), bool)).max() == 1
    with pytest.raises(ParameterError, match="`neck`"):
        split_touching(ellipse, 2)


@given(MASKS)
def test_splitting_keeps_the_mask(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(split_touching(mask) > 0, mask)


def test_laplacian_is_below_zero_on_bright_blobs_and_boost_raises_them() -> None:
    grey = discs(41, (20, 20, 4)).astype(np.float32)
    response = laplacian_of_gaussian(grey, 3)
    assert response.argmin() == 20 * 41 + 20
    np.testing.assert_allclose(high_boost(grey, 3, 0), ndimage.gaussian_filter(grey, 3, mode="nearest"))
    assert high_boost(grey, 3, 2)[20, 20] > high_boost(grey, 3, 1)[20, 20] > high_boost(grey, 3, 0)[20, 20]


@pytest.mark.parametrize("name", NORMALISERS)
def test_normalisers_keep_size_and_type_and_come_near_the_reference(name: str) -> None:
    image, other = stained(), np.clip(stained(1).astype(int) * [0.9, 0.8, 1.0], 0, 255).astype(np.uint8)
    for reference in (None, other):
        result = normalise(image, name, reference)
        assert result.shape == image.shape
        assert result.dtype == np.uint8
    if name in ("grey-world", "reinhard"):
        near = np.abs(normalise(image, name, other).mean(axis=(0, 1)) - other.mean(axis=(0, 1)))
        assert near.max() < 6
    for value in (0, 255):
        flat = np.full((1, 1, 3), value, np.uint8)
        assert normalise(flat, name).shape == (1, 1, 3)


def test_grey_world_balances_channels() -> None:
    image = np.random.default_rng(0).integers(20, 120, (20, 20, 3)).astype(np.uint8)
    image[..., 2] //= 2
    means = normalise(image, "grey-world").mean(axis=(0, 1))
    assert np.ptp(means) < 0.5


def test_flat_field_takes_a_slope_of_light_away() -> None:
    light = np.linspace(0.6, 1, 120)[None, :, None]
    image = np.full((120, 120, 3), (240, 230, 220), float)
    image[discs(120, (60, 60, 10))] = (120, 60, 130)
    even = normalise((image * light).astype(np.uint8), "flat-field")
    assert even[:, [5, 115]].min() > 235
    assert even[60, 60, 1] < 100


def test_macenko_finds_the_stains_and_agrees_with_a_library() -> None:
    image = stained()
    found = stain_vectors(image)
    assert found is not None
    for stain, drawn in zip(found[0], ([0.65, 0.70, 0.29], [0.07, 0.99, 0.11]), strict=True):
        assert stain @ drawn / np.linalg.norm(drawn) > 0.995
    assert stain_vectors(np.full((4, 4, 3), 255, np.uint8)) is None
    with pytest.raises(ParameterError, match="`reference` to show two stains"):
        normalise(image, "macenko", np.full((4, 4, 3), 255, np.uint8))
    torchstain = pytest.importorskip("torchstain")
    library = torchstain.normalizers.MacenkoNormalizer(backend="numpy")
    library.fit(stained(1))
    theirs, _, _ = library.normalize(I=image, stains=False)
    difference = normalise(image, "macenko", stained(1)).astype(int) - theirs.astype(int)
    assert np.abs(difference).mean() < 3


def test_normalisers_check_what_they_get() -> None:
    with pytest.raises(ParameterError, match=r"did you mean macenko\?"):
        normalise(stained(), "macenco")
    with pytest.raises(ImageError, match="grey one"):
        normalise(np.zeros((4, 4), np.uint8), "reinhard")
    with pytest.raises(ImageError, match="RGBA"):
        normalise(stained(), "reinhard", np.zeros((4, 4, 4), np.uint8))
