"""The parts that smears are made of: outlines, noise, light and camera, each against geometry or arithmetic."""

from __future__ import annotations

from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from stages.data.smears.canvas import Canvas
from stages.data.smears.field import Field, render_field
from stages.data.smears.noise import BANDS, TILE, texture, tile
from stages.data.smears.nuclei import nucleus_distance
from stages.data.smears.optics import jpeg_decode, jpeg_encode, photograph
from stages.data.smears.recipes import CELL_TYPES, FAB, NORMAL_MIX, RECIPES, Recipe
from stages.data.smears.red_cells import place_red
from stages.data.smears.shapes import (
    Notch,
    Outline,
    chain_distance,
    coverage,
    intersect,
    outline_distance,
    wobbly,
)
from stages.data.smears.slides import STAINS, Slide, make_slide
from stages.errors import DataError


def grid(half: int) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float32)
    return columns, rows


# --- outlines --------------------------------------------------------------------------------------------------------


@given(st.floats(12, 30), st.floats(1, 2), st.floats(0, 6.28))
@settings(max_examples=40, deadline=None)
def test_an_ellipse_has_the_area_of_its_circle_and_its_axes(
    radius: float, aspect: float, angle: float
) -> None:
    inside = outline_distance(Outline(radius, aspect, angle), *grid(50)) < 0
    assert inside.sum() == pytest.approx(np.pi * radius**2, rel=0.05, abs=12)
    x, y = grid(50)
    along = (x * np.cos(angle) + y * np.sin(angle))[inside]
    across = (y * np.cos(angle) - x * np.sin(angle))[inside]
    assert along.std() == pytest.approx(radius * np.sqrt(aspect) / 2, rel=0.05)
    assert across.std() == pytest.approx(radius / np.sqrt(aspect) / 2, rel=0.05)


@given(st.floats(5, 40))
@settings(max_examples=20, deadline=None)
def test_the_distance_to_a_circle_is_exact(radius: float) -> None:
    x, y = grid(45)
    np.testing.assert_allclose(
        outline_distance(Outline(radius, 1.0, 0.0), x, y), np.hypot(x, y) - radius, atol=0.01
    )


@given(st.integers(0, 999), st.floats(0.0, 0.1))
@settings(max_examples=20, deadline=None)
def test_harmonics_leave_the_mean_radius(seed: int, wobble: float) -> None:
    outline = wobbly(np.random.default_rng(seed), 20.0, wobble)
    table = outline.table()
    assert table.mean() == pytest.approx(20.0, rel=1e-4)
    expected = 20 * np.sqrt(sum(a**2 for a in outline.amplitudes) / 2)  # Parseval
    assert table.std() == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_low_harmonics_weigh_most() -> None:
    drawn = np.array([wobbly(np.random.default_rng(seed), 1.0, 0.1).amplitudes for seed in range(300)])
    spread = drawn.std(axis=0)
    np.testing.assert_allclose(spread, 0.1 / np.arange(2, 8) ** 0.8, rtol=0.15)


@given(st.floats(0, 6.28), st.floats(0.1, 0.8), st.floats(0.1, 0.4))
@settings(max_examples=30, deadline=None)
def test_a_notch_takes_its_depth_where_it_lies(angle: float, depth: float, width: float) -> None:
    table = Outline(10.0, 1.0, 0.0, notches=(Notch(angle, depth, width),)).table()
    turns = np.arange(len(table)) * 2 * np.pi / len(table)
    deepest = turns[table.argmin()]
    assert (deepest - angle + np.pi) % (2 * np.pi) - np.pi == pytest.approx(0, abs=0.01)
    assert table.min() == pytest.approx(10 * (1 - depth), rel=5e-3)  # between two places of the table
    opposite = int((angle + np.pi) % (2 * np.pi) / (2 * np.pi) * len(table)) % len(table)
    assert table[opposite] == pytest.approx(10.0, rel=1e-3)


def test_one_disc_alone_is_a_disc() -> None:
    x, y = grid(20)
    found = chain_distance([(3.0, -2.0, 6.0)], x, y, 1.5)
    near = np.abs(found) < 20
    np.testing.assert_allclose(found[near], (np.hypot(x - 3, y + 2) - 6)[near], atol=0.01)


@given(st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_a_chain_holds_its_discs_and_little_more(seed: int) -> None:
    random = np.random.default_rng(seed)
    discs = [tuple(random.uniform([-10, -10, 3], [10, 10, 7])) for _ in range(3)]
    x, y = grid(30)
    inside = chain_distance(discs, x, y, 1.0) < 0
    union = np.any([np.hypot(x - a, y - b) < r for a, b, r in discs], axis=0)
    assert (inside | ~union).all()
    grown = np.any([np.hypot(x - a, y - b) < r + np.log(3) + 0.1 for a, b, r in discs], axis=0)
    assert (grown | ~inside).all()  # the blend of three adds ln 3 at most


@given(st.floats(-20, 20), st.floats(-20, 20), st.floats(0.1, 5))
def test_a_smooth_maximum_is_above_the_maximum_by_a_quarter_of_the_blend_at_most(
    one: float, other: float, blend: float
) -> None:
    found = float(intersect(np.float32([one]), np.float32([other]), blend)[0])
    assert -1e-4 <= found - max(one, other) <= blend / 4 + 1e-4
    if abs(one - other) > blend:
        assert found == pytest.approx(max(one, other), abs=1e-4)


def test_coverage_is_a_smooth_step() -> None:
    distance = np.linspace(-4, 4, 81, dtype=np.float32)
    share = coverage(distance, 2.0)
    assert (np.diff(share) <= 0).all()
    np.testing.assert_allclose(share + share[::-1], 1, atol=1e-6)
    assert share[distance <= -1].min() == 1
    assert share[distance >= 1].max() == 0
    assert share[40] == 0.5


# --- noise -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("band", BANDS)
@pytest.mark.parametrize("scale", [3.0, 10.0])
def test_a_tile_is_standard_noise_of_its_wavelength(band: str, scale: float) -> None:
    noise = tile(band, scale)
    assert noise.shape == (TILE, TILE)
    assert noise.mean() == pytest.approx(0, abs=1e-3)
    assert noise.std() == pytest.approx(1, abs=1e-3)
    power = np.abs(np.fft.rfft2(noise)) ** 2
    frequency = np.hypot(np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)[None])
    centre = min(1 / (BANDS[band] * scale), 0.45)
    within = power[(frequency > centre / 3) & (frequency < centre * 3)].sum()
    assert within > 0.9 * power.sum()
    with pytest.raises(ValueError, match="read-only"):
        noise[0, 0] = 1


@given(st.integers(1, 700), st.integers(1, 40), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_a_patch_of_any_size_is_cut_and_the_tile_repeats(height: int, width: int, seed: int) -> None:
    patch = texture(np.random.default_rng(seed), "fine", (height, width), 5.0)
    assert patch.shape == (height, width)
    if height > TILE:
        np.testing.assert_array_equal(patch[TILE:], patch[: height - TILE])


def test_patches_differ_by_place_and_repeat_by_seed() -> None:
    one, again, other = (texture(np.random.default_rng(seed), "cloud", (50, 50), 6.0) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.5


# --- the canvas ------------------------------------------------------------------------------------------------------


@given(st.floats(-50, 150), st.floats(-50, 120), st.floats(1, 40))
@settings(max_examples=60, deadline=None)
def test_a_window_holds_offsets_from_its_centre(x: float, y: float, reach: float) -> None:
    canvas = Canvas(80, 100, 5.0)
    window = canvas.window(x, y, reach)
    if window is None:
        assert not (reach < x < 100 - reach and reach < y < 80 - reach)
        return
    assert window.shape == canvas.path[window.place].shape
    columns = np.arange(100)[window.columns]
    rows = np.arange(80)[window.rows]
    np.testing.assert_allclose(window.x[0], columns - x, atol=1e-4)
    np.testing.assert_allclose(window.y[:, 0], rows - y, atol=1e-4)
    if reach < x < 99 - reach and reach < y < 79 - reach:
        assert min(window.shape) >= 2 * int(reach)


# --- nuclei ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CELL_TYPES)
def test_nuclei_have_about_the_share_of_their_recipe(kind: str) -> None:
    recipe, x, y = RECIPES[kind], *grid(60)
    shares = []
    for seed in range(25):
        inside = nucleus_distance(np.random.default_rng(seed), recipe, 40.0, x, y, 6.0) < 0
        shares.append(inside.sum() / (np.pi * 40**2))
        assert np.hypot(x, y)[inside].max() < 1.25 * 40
    low, high = recipe.nuclear_share
    assert 0.7 * low < np.mean(shares) < 1.3 * high


def test_lobed_nuclei_are_less_solid_than_round_ones() -> None:
    x, y = grid(60)

    def solidity(recipe: Recipe, seed: int) -> float:
        inside = nucleus_distance(np.random.default_rng(seed), recipe, 40.0, x, y, 6.0) < 0
        outline = max(cv2.findContours(inside.astype(np.uint8), 0, 1)[0], key=cv2.contourArea)
        return cv2.contourArea(outline) / cv2.contourArea(cv2.convexHull(outline))

    means = {
        kind: np.mean([solidity(RECIPES[kind], seed) for seed in range(15)])
        for kind in ("neutrophil", "monocyte", "L2", "L1")
    }
    assert means["neutrophil"] < means["monocyte"] < means["L1"]
    assert means["L2"] < means["L1"]
    assert means["L1"] > 0.96


def test_recipes_are_whole() -> None:
    assert set(NORMAL_MIX) | set(FAB) - {"normal"} == set(RECIPES)
    assert sum(NORMAL_MIX.values()) == pytest.approx(1)
    for recipe in RECIPES.values():
        for field in fields(recipe):
            value = getattr(recipe, field.name)
            if isinstance(value, tuple):
                assert value[0] <= value[1], field.name
        assert 0 < recipe.nuclear_share[0] < 1
        assert 4 < recipe.radius < 9  # micrometres


# --- slides and camera -----------------------------------------------------------------------------------------------


def clean(**changes: object) -> Slide:
    """A slide without anything that blurs, shades, tints or speckles."""
    still = {
        "illuminant": (1.0, 1.0, 1.0), "gain": 1.0, "gamma": 1.0, "vignette": 0.0, "vignette_centre": (0.5, 0.5),
        "defocus": 0.0, "aberration": (0.0, 0.0), "refraction": 0.0, "shot_noise": 0.0, "read_noise": 0.0,
        "jpeg_quality": 100, "film": 0.0,
    }  # fmt: skip
    return replace(make_slide(0, 0), **{**still, **changes})  # type: ignore[arg-type]


def picture(slide: Slide, amount: float = 0.0, plane: int = 1) -> np.ndarray:
    stains = np.zeros((len(STAINS), 40, 60), np.float32)
    stains[plane] = amount
    return photograph(np.random.default_rng(0), slide, stains, np.zeros((40, 60), np.float32), 5.0)


@pytest.mark.parametrize("plane", range(len(STAINS)))
@pytest.mark.parametrize("amount", [0.0, 0.5, 1.0])
def test_light_follows_beer_and_lambert(plane: int, amount: float) -> None:
    slide = clean()
    expected = 255 * 10 ** (-amount * np.array(slide.stains[plane]))
    np.testing.assert_allclose(picture(slide, amount, plane).mean(axis=(0, 1)), expected, atol=2.0)


def test_the_lamp_colours_the_background_and_gamma_does_not() -> None:
    lamp = (0.9, 0.8, 0.7)
    for gamma in (0.8, 1.0, 1.3):
        found = picture(clean(illuminant=lamp, gamma=gamma)).mean(axis=(0, 1))
        np.testing.assert_allclose(found, 255 * np.array(lamp), atol=2.0)


def test_exposure_scales_and_clips() -> None:
    dark, bright = (picture(clean(gain=gain), 0.3).astype(float) for gain in (0.5, 0.9))
    np.testing.assert_allclose(bright.mean(axis=(0, 1)) / dark.mean(axis=(0, 1)), 1.8, rtol=0.03)
    assert picture(clean(gain=1.5)).min() == 255


def test_corners_lose_light() -> None:
    found = picture(clean(vignette=0.2, gain=0.9))[..., 1].astype(float)
    middle, corner = found[20, 30], found[0, 0]
    # 2 * 0.2 * (0.5^2 + 0.5^2) of the light
    assert corner / middle == pytest.approx(0.8, abs=0.02)


def test_noise_has_the_spread_of_the_sensor() -> None:
    quiet, loud = (
        picture(clean(read_noise=noise, gain=0.6)).astype(float)[..., 1].std() for noise in (0.0, 0.02)
    )
    assert quiet < 1
    assert 0.6 < loud / (255 * 0.02) < 1.4


def test_jpeg_of_quality_100_loses_little_and_a_lower_one_more() -> None:
    image = render_field("L1", make_slide(3, 1), 3, 96, 96).image
    errors = [
        np.abs(jpeg_decode(jpeg_encode(image, quality)).astype(int) - image).mean()
        for quality in (100, 90, 50)
    ]
    assert errors == sorted(errors)
    assert errors[0] < 2
    assert len(jpeg_encode(image, 50)) < len(jpeg_encode(image, 95))
    with pytest.raises(DataError, match="JPEG"):
        jpeg_decode(b"no image")


def test_channels_are_red_green_blue() -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    image[..., 0] = 250
    decoded = jpeg_decode(jpeg_encode(image, 100))
    assert decoded[..., 0].min() > 200
    assert decoded[..., 2].max() < 60


def test_slides_stay_within_what_their_record_says() -> None:
    slides = [make_slide(1, index) for index in range(200)]
    assert len({slide.stains for slide in slides}) == 200
    for slide in slides:
        assert len(slide.stains) == len(STAINS)
        assert all(0 < density < 3 for stain in slide.stains for density in stain)
        assert all(0.45 <= level <= 1 for level in slide.illuminant)
        assert 0 <= slide.vignette <= 0.4
        assert 1 <= slide.jpeg_quality <= 100
        assert all(0 <= share <= 1 for share in (slide.red_cover, slide.pallor, slide.ghost, slide.overlap))
    uniform = stats.kstest([slide.gain for slide in slides], "uniform", (0.88, 0.2))
    assert uniform.pvalue > 0.01


@pytest.mark.parametrize("overlap", [0.0, 0.4])
def test_red_cells_overlap_as_far_as_their_slide_allows(overlap: float) -> None:
    slide = replace(make_slide(2, 5), rouleaux=0.0, overlap=overlap, red_cover=0.4)
    spots = np.array(place_red(np.random.default_rng(0), slide, (300, 400), 8.0))
    gaps = np.hypot(*(spots[:, None, :2] - spots[None, :, :2]).transpose(2, 0, 1))
    gaps -= spots[:, 2][:, None] + spots[:, 2]
    np.fill_diagonal(gaps, np.inf)
    assert gaps.min() >= -overlap * 2 * slide.red_radius * 8.0 - 1e-6
    assert (gaps.min() < -1) == (overlap > 0)


# --- masks and pixels ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def several() -> list[tuple[Field, Slide]]:
    pairs = []
    for index in range(8):
        slide = replace(make_slide(21, index), ghost=0.0, dirt=0.0)
        pairs.append((render_field(FAB[index % 4], slide, index, 240, 300, 6.0), slide))
    return pairs


def test_masks_lie_where_the_pixels_are_dark(several: list[tuple[Field, Slide]]) -> None:
    for field, _ in several:
        green = field.image[..., 1].astype(float)
        empty = ~(field.nucleus | field.cytoplasm | field.red_cells)
        assert np.median(green[field.nucleus]) < np.median(green[field.cytoplasm]) < np.median(green[empty])
        assert np.median(green[field.red_cells]) < np.median(green[empty])


def test_the_border_of_a_nucleus_is_where_the_image_changes(several: list[tuple[Field, Slide]]) -> None:
    for field, _ in several:
        grey = cv2.GaussianBlur(field.image[..., 1].astype(np.float32), (0, 0), 1.0)
        slope = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
        nucleus = field.nucleus.astype(np.uint8)
        border = cv2.morphologyEx(nucleus, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
        inner = cv2.erode(nucleus, np.ones((9, 9), np.uint8)) > 0
        if inner.any():
            assert np.median(slope[border]) > np.median(slope[inner])


def test_a_smaller_frame_shows_cells_of_the_same_size() -> None:
    slide = make_slide(6, 1)
    sizes = []
    for scale in (5.0, 10.0):
        cells = [
            cell
            for seed in range(4)
            for cell in render_field("L1", slide, seed, round(40 * scale), round(50 * scale), scale).cells
        ]
        whole = [cell.area / scale**2 for cell in cells if cell.area / scale**2 > 60]
        sizes.append(np.median(whole))
    assert sizes[0] == pytest.approx(sizes[1], rel=0.15)
    assert sizes[0] == pytest.approx(np.pi * RECIPES["L1"].radius ** 2, rel=0.2)
