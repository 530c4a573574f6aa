"""Each thresholding method against the library or the few lines that it stands for."""

from __future__ import annotations

import colorsys

import cv2
import kmedoids
import numpy as np
import pytest
from drawn_cells import GLASS, RED, VIOLET, disc, drawn_field
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage.filters import threshold_multiotsu, threshold_otsu
from skimage.measure import label as components
from sklearn.cluster import KMeans

from segmentation.errors import ParameterError
from segmentation.threshold import method, threshold
from segmentation.threshold.clusters import k_medoids_indices
from segmentation.threshold.enhance import high_boost, laplacian_of_gaussian
from segmentation.threshold.hsv import HSVInterval, to_hsv
from segmentation.threshold.image import (
    background_colour,
    blur,
    multi_otsu_levels,
    optical_density,
    otsu_level,
)
from segmentation.threshold.mixer import mix_channels
from segmentation.threshold.nuclei import Nuclei, find_nuclei, purple
from segmentation.threshold.otsu import blue_minus_green
from segmentation.threshold.parts import maximum_of, median_of, tidy

IMAGES = hnp.arrays(np.uint8, st.tuples(st.integers(2, 10), st.integers(2, 10), st.just(3)))


@pytest.fixture(scope="module")
def field() -> np.ndarray:
    return drawn_field()


def largest_parts(mask: np.ndarray, share: float) -> np.ndarray:
    """Filled parts of at least this share of the largest one's area, by SciPy and scikit-image."""
    numbers = components(ndimage.binary_fill_holes(mask), connectivity=1)
    areas = np.bincount(numbers.ravel())[1:]
    kept = 1 + np.flatnonzero(areas >= share * areas.max()) if len(areas) else []
    return np.isin(numbers, kept)


# --- levels ----------------------------------------------------------------------------------------------------------


@given(hnp.arrays(np.float32, st.integers(2, 200), elements=st.floats(0, 255, width=32)))
def test_otsu_is_scikit_images(values: np.ndarray) -> None:
    if np.ptp(values) > 0.1:
        assert otsu_level(values) == pytest.approx(float(threshold_otsu(values)), abs=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 3, 4]))
def test_otsu_of_several_classes_is_scikit_images(seed: int, classes: int) -> None:
    values = np.random.default_rng(seed).gamma(2, 20, 400).astype(np.float32)
    np.testing.assert_allclose(
        multi_otsu_levels(values, classes), threshold_multiotsu(values, classes), rtol=1e-5
    )


def test_otsu_splits_two_tones_between_them() -> None:
    values = np.repeat([10.0, 200.0], [70, 30])
    assert 10 <= otsu_level(values) < 200
    assert (values > otsu_level(values)).sum() == 30


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("otsu-saturation", lambda image: to_hsv(image)[..., 1]),
        ("otsu-green", lambda image: 255 - image[..., 1].astype(np.float32)),
    ],
)
def test_otsu_methods_are_a_level_and_the_largest_part(field: np.ndarray, name: str, values: object) -> None:
    channel = values(field)  # type: ignore[operator]
    expected = largest_parts(channel > threshold_otsu(channel), 1.0)
    np.testing.assert_array_equal(threshold(field, name) > 0, expected)
    several = largest_parts(channel > threshold_otsu(channel), 0.3)
    np.testing.assert_array_equal(threshold(field, name, small=0.3) > 0, several)


def test_three_class_otsu_is_the_highest_class_of_blue_minus_green(field: np.ndarray) -> None:
    scaled = field[..., 2].astype(float) - field[..., 1]
    scaled = (scaled - scaled.min()) / np.ptp(scaled)
    smooth = ndimage.gaussian_filter(scaled, 1.5, mode="nearest")
    expected = smooth > threshold_multiotsu(smooth, 3)[-1]
    found = threshold(field, "multi-otsu") == 2
    assert (found != expected).mean() < 0.002
    assert components(found).max() == 2


def test_blue_minus_green_spans_0_to_1_and_is_flat_on_grey() -> None:
    image = np.random.default_rng(1).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    values = blue_minus_green(image, 0)
    assert (values.min(), values.max()) == (0, 1)
    assert not blue_minus_green(np.full((4, 4, 3), 77, np.uint8)).any()


# --- colours ---------------------------------------------------------------------------------------------------------


@given(IMAGES)
def test_hsv_is_that_of_the_standard_library(image: np.ndarray) -> None:
    found = to_hsv(image).reshape(-1, 3)
    for pixel, (hue, saturation, value) in zip(image.reshape(-1, 3).tolist(), found.tolist(), strict=True):
        h, s, v = colorsys.rgb_to_hsv(*(channel / 255 for channel in pixel))
        assert saturation == pytest.approx(s, abs=1e-4)
        assert value == pytest.approx(v, abs=1e-4)
        if s > 0:
            assert (hue - 360 * h + 180) % 360 - 180 == pytest.approx(0, abs=0.05)


def test_a_hue_interval_through_red_is_the_rest_of_the_circle() -> None:
    hues = np.arange(0, 360, 15)
    row = [[round(255 * c) for c in colorsys.hsv_to_rgb(hue / 360, 1, 1)] for hue in hues]
    image = np.repeat(np.array([row], np.uint8), 3, axis=0)
    wide = {"saturation_low": 0.0, "value_low": 0.0, "value_high": 1.0, "small": 0.0}
    outer = threshold(image, "hsv", hue_low=299.0, hue_high=61.0, **wide)[1] > 0
    np.testing.assert_array_equal(outer, (hues >= 299) | (hues <= 61))
    inner = threshold(image, "hsv", hue_low=61.0, hue_high=299.0, **wide)[1] > 0
    np.testing.assert_array_equal(inner, ~outer)


@given(IMAGES, st.floats(-1, 2), st.floats(-1, 2), st.floats(-1, 2))
def test_the_mixer_is_a_weighted_sum_cut_off(
    image: np.ndarray, red: float, green: float, blue: float
) -> None:
    mixed = mix_channels(image, red, green, blue)
    expected = image[..., 0] * red + image[..., 1] * green + image[..., 2] * blue
    np.testing.assert_allclose(mixed, np.clip(expected, 0, 255), atol=0.01)


@given(IMAGES)
def test_a_mixer_that_keeps_luminosity_keeps_grey(image: np.ndarray) -> None:
    grey = np.repeat(image[..., :1], 3, axis=2)
    np.testing.assert_allclose(mix_channels(grey, keep_luminosity=True), grey[..., 0], atol=0.01)


def test_the_papers_level_and_otsus_agree_where_the_tones_are_far_apart(field: np.ndarray) -> None:
    ours = threshold(field, "channel-mixer", keep_luminosity=True) > 0
    otsu = threshold(field, "channel-mixer", keep_luminosity=True, otsu=True) > 0
    assert (ours & otsu).sum() > 0.95 * ours.sum() > 0


def test_blues_share_does_not_hang_on_the_brightness() -> None:
    image = np.full((40, 40, 3), (200, 180, 160), np.uint8)
    image[10:20, 10:20] = (60, 30, 110)
    whole = threshold(image, "blue-channel") > 0
    np.testing.assert_array_equal(threshold((image * 0.5).astype(np.uint8), "blue-channel") > 0, whole)
    assert whole[12:18, 12:18].all()
    assert not whole[25:].any()


# --- edges -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [1.0, 2.5])
def test_the_laplacian_of_a_parabola_is_constant(sigma: float) -> None:
    rows, columns = np.mgrid[-20:21, -20:21].astype(np.float32)
    response = laplacian_of_gaussian((rows**2 + 3 * columns**2) / 2, sigma)
    # second derivatives 1 and 3, times sigma squared
    np.testing.assert_allclose(response[15:-15, 15:-15], 4 * sigma**2, rtol=0.02)


def test_the_laplacian_is_strongest_on_a_blob_of_its_own_width() -> None:
    rows, columns = np.mgrid[-30:31, -30:31]
    blob = np.exp(-(rows**2 + columns**2) / (2 * 4.0**2)).astype(np.float32)
    centre = [abs(float(laplacian_of_gaussian(blob, sigma)[30, 30])) for sigma in (2.0, 4.0, 8.0)]
    assert centre[1] == max(centre)
    # of a Gaussian of width s smoothed by s: 2 s^2 / (2 s^2) * s^2 / (2 s^2) = 1/2
    assert centre[1] == pytest.approx(0.5, rel=0.02)


@given(st.floats(1.0, 3), st.floats(0, 5))
@settings(max_examples=20, deadline=None)
def test_boosting_leaves_plain_ground_alone(sigma: float, boost: float) -> None:
    plain = np.full((12, 12), 0.4, np.float32)
    np.testing.assert_allclose(
        high_boost(plain, sigma, boost), plain, rtol=0.01
    )  # the kernel is cut off at four sigma


def test_boosting_makes_a_border_steeper() -> None:
    step = np.zeros((9, 40), np.float32)
    step[:, 20:] = 1
    soft, sharp = high_boost(step, 1.5, 0.0)[4], high_boost(step, 1.5, 1.0)[4]
    assert np.diff(sharp).max() > 1.3 * np.diff(soft).max()
    assert sharp.max() > 1.05
    assert soft.max() <= 1 + 1e-6


# --- clusters --------------------------------------------------------------------------------------------------------


def lab(image: np.ndarray) -> np.ndarray:
    smooth = ndimage.gaussian_filter(image.astype(np.float32), (1, 1, 0), mode="nearest") / 255
    return cv2.cvtColor(smooth, cv2.COLOR_RGB2LAB).reshape(-1, 3)


@pytest.mark.parametrize("name", ["k-means", "k-medoids", "fuzzy-c-means"])
def test_clusters_are_those_of_scikit_learn(field: np.ndarray, name: str) -> None:
    owner = KMeans(4, n_init=4, random_state=0).fit_predict(lab(field)).reshape(field.shape[:2])
    green = [field[..., 1][owner == cluster].mean() for cluster in range(4)]
    nucleus = largest_parts(owner == int(np.argmin(green)), 0.2)
    found = threshold(field, name, clusters=4, sample=5000 if name != "k-medoids" else 1500)
    assert (found == 2).sum() > 0
    assert ((found == 2) != nucleus).mean() < 0.01


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_medoids_are_points_that_no_swap_betters(seed: int, count: int) -> None:
    points = np.random.default_rng(seed).normal(size=(25, 2))
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    found = k_medoids_indices(points, count, seed)
    assert len(set(found.tolist())) == count
    cost = distances[:, found].min(axis=1).sum()
    for place in range(count):
        others = np.delete(found, place)
        for candidate in range(25):
            assert distances[:, [*others, candidate]].min(axis=1).sum() >= cost - 1e-9


def test_more_starts_are_never_worse_and_a_seed_repeats() -> None:
    points = np.random.default_rng(5).uniform(size=(80, 3))
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    costs = [distances[:, k_medoids_indices(points, 6, 1, starts)].min(axis=1).sum() for starts in (1, 4, 8)]
    assert costs == sorted(costs, reverse=True)
    np.testing.assert_array_equal(k_medoids_indices(points, 6, 1), k_medoids_indices(points, 6, 1))
    assert costs[-1] <= 1.01 * kmedoids.pam(distances, 6).loss


def test_another_seed_draws_another_sample_and_finds_the_same_cells(field: np.ndarray) -> None:
    one, other = (threshold(field, "k-medoids", sample=300, seed=seed) for seed in (1, 2))
    assert ((one == 2) & (other == 2)).sum() > 0.9 * (one == 2).sum()


# --- the default's parts ---------------------------------------------------------------------------------------------


def test_purple_is_measured_against_the_glass() -> None:
    image = np.array([[GLASS, VIOLET, RED]], np.uint8)
    glass = np.array(GLASS, np.float32)
    found = purple(image, glass, blue=0.85, teal=1.0, sigma=0)[0]
    change = np.array(VIOLET, float) - GLASS
    assert found[0] == 0
    assert found[1] == pytest.approx(0.85 * change[2] - change[1] + min(change[0] - change[1], 0), abs=1e-3)
    assert found[2] < 60 < found[1]


def test_teal_is_no_nucleus() -> None:
    image = np.full((60, 60, 3), GLASS, np.uint8)
    image[disc(60, 30, 30, 12)] = (60, 120, 190)
    glass = background_colour(image)
    strict, lax = (purple(image, glass, blue=0.85, teal=teal, sigma=0)[30, 30] for teal in (1.0, 0.0))
    assert strict < lax


def test_a_pale_nucleus_beside_a_dark_one_is_left_out() -> None:
    image = np.full((90, 160, 3), GLASS, np.uint8)
    rows, columns = np.mgrid[:90, :160]
    image[(rows - 45) ** 2 + (columns - 40) ** 2 <= 18**2] = VIOLET
    image[(rows - 45) ** 2 + (columns - 115) ** 2 <= 18**2] = (170, 130, 190)
    found = find_nuclei(image, Nuclei())
    assert found[45, 40]
    assert not found[45, 115]
    assert find_nuclei(image, Nuclei(pale=0.0, floor=40.0))[45, 40]


def test_small_debris_beside_a_nucleus_is_left_out() -> None:
    image = np.full((100, 100, 3), GLASS, np.uint8)
    image[disc(100, 40, 40, 16)] = VIOLET
    image[disc(100, 85, 85, 4)] = VIOLET
    assert not find_nuclei(image, Nuclei())[85, 85]
    assert find_nuclei(image, Nuclei(small=0.1, opening=0.0))[85, 85]


def test_density_adds_and_scales_with_the_glass() -> None:
    glass = np.array([200.0, 180.0, 160.0], np.float32)
    once = glass * np.exp(-0.4)
    twice = glass * np.exp(-0.8)
    image = np.round(np.stack([once, twice])[None]).astype(np.uint8)
    np.testing.assert_allclose(optical_density(image, glass)[0], [[0.4] * 3, [0.8] * 3], atol=0.01)


@given(hnp.arrays(np.float32, (9, 7), elements=st.floats(0, 1, width=32)), st.floats(0.5, 2))
@settings(max_examples=25, deadline=None)
def test_blurring_is_scipys(values: np.ndarray, sigma: float) -> None:
    smooth = blur(values, sigma)
    np.testing.assert_allclose(smooth, ndimage.gaussian_filter(values, sigma, mode="nearest"), atol=0.02)
    np.testing.assert_array_equal(blur(values, 0), values)


# --- parts and watersheds --------------------------------------------------------------------------------------------


@given(hnp.arrays(np.int32, (6, 6), elements=st.integers(0, 4)), st.integers(0, 1000))
def test_values_of_parts_are_scipys(numbers: np.ndarray, seed: int) -> None:
    values = np.random.default_rng(seed).uniform(size=(6, 6))
    for number, (top, middle) in enumerate(
        zip(maximum_of(values, numbers, 5), median_of(values, numbers, 5), strict=True), 1
    ):
        own = values[numbers == number]
        assert top == (own.max() if own.size else 0)
        assert middle == pytest.approx(np.median(own) if own.size else 0)


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)), st.floats(0, 1))
def test_tidying_is_filling_and_dropping_small_parts(mask: np.ndarray, share: float) -> None:
    np.testing.assert_array_equal(tidy(mask, share), largest_parts(mask, share))


@pytest.mark.parametrize(
    "name", ["white-cells", "nuclei", "multi-otsu", "watershed", "high-boost-log", "hsv"]
)
@pytest.mark.parametrize("turn", [1, 2, 3])
def test_a_turned_image_has_turned_labels(field: np.ndarray, name: str, turn: int) -> None:
    labels = threshold(field, name)
    turned = threshold(np.ascontiguousarray(np.rot90(field, turn)), name)
    assert (np.rot90(labels, turn) != turned).mean() < 0.01


@pytest.mark.parametrize("name", ["white-cells", "multi-otsu", "watershed"])
def test_a_yellow_lamp_does_not_matter_much(field: np.ndarray, name: str) -> None:
    lit = (field * np.array([1.0, 0.97, 0.88])).astype(np.uint8)
    one, other = threshold(field, name) == 2, threshold(lit, name) == 2
    assert 2 * (one & other).sum() > 0.97 * (one.sum() + other.sum())


def test_a_record_of_settings_is_what_its_table_says() -> None:
    for name in ("white-cells", "hsv", "fuzzy-c-means", "channel-mixer"):
        record = method(name).parameters()
        for field_name, default, span, _ in record.table():
            assert str(getattr(record, field_name)) == default
            if " to " in span:
                low, high = (float(end) for end in span.split(" to "))
                assert low <= getattr(record, field_name) <= high


@pytest.mark.parametrize("channel", ["saturation", "value"])
def test_hsv_bounds_upside_down_are_refused_and_hue_may_go_round(channel: str) -> None:
    with pytest.raises(ParameterError, match=f"{channel}_low.*{channel}_high.*0.9 and 0.2"):
        HSVInterval(**{f"{channel}_low": 0.9, f"{channel}_high": 0.2})
    HSVInterval(**{f"{channel}_low": 0.4, f"{channel}_high": 0.4})
    HSVInterval(hue_low=350.0, hue_high=20.0)
