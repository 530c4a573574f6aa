"""White balance: the gains that bring the empty background of a slide to one light grey."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.errors import ImageError
from segmentation.light import BACKGROUND_LEVEL, background_gains, check_image
from stages.data.smears import make_slide, render_field

LEVELS = st.tuples(*[st.integers(70, 255)] * 3)


@given(LEVELS)
@settings(max_examples=40, deadline=None)
def test_plain_ground_comes_to_lie_at_the_level(colour: tuple[int, int, int]) -> None:
    image = np.full((20, 30, 3), colour, np.uint8)
    balanced = image[0, 0] / 255 * background_gains(image)
    np.testing.assert_allclose(balanced, BACKGROUND_LEVEL, atol=1e-6)


@given(LEVELS, st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_cells_on_nine_tenths_of_the_image_have_no_say(colour: tuple[int, int, int], seed: int) -> None:
    random = np.random.default_rng(seed)
    image = np.full((100, 100, 3), colour, np.uint8)
    plain = background_gains(image)
    image[:90] = (image[:90] * random.uniform(0.2, 0.9, (90, 100, 1))).astype(np.uint8)
    np.testing.assert_allclose(background_gains(image), plain, rtol=0.02)


@pytest.mark.parametrize(("value", "gain"), [(0, 4.0), (10, 4.0), (255, BACKGROUND_LEVEL)])
def test_gains_have_limits(value: int, gain: float) -> None:
    assert background_gains(np.full((8, 8, 3), value, np.uint8)) == pytest.approx((gain,) * 3)


def test_a_speck_of_glare_does_not_set_the_level() -> None:
    image = np.full((200, 200, 3), 180, np.uint8)
    plain = background_gains(image)
    image[::40, ::40] = 255
    np.testing.assert_allclose(background_gains(image), plain, rtol=0.02)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (3, 1000)])
def test_any_shape_has_gains(shape: tuple[int, int]) -> None:
    assert background_gains(np.full((*shape, 3), 200, np.uint8)) == pytest.approx(
        (BACKGROUND_LEVEL * 255 / 200,) * 3
    )


def test_size_matters_little() -> None:
    field = render_field("L2", make_slide(4, 2), 1, 480, 640).image
    half = np.ascontiguousarray(field[::2, ::2])
    np.testing.assert_allclose(background_gains(field), background_gains(half), rtol=0.03)


@pytest.mark.parametrize("index", range(6))
def test_every_rendered_slide_gets_the_same_background(index: int) -> None:
    field = render_field("L1", make_slide(9, index), index, 320, 320)
    empty = ~(field.nucleus | field.cytoplasm | field.red_cells)
    balanced = field.image[empty].mean(axis=0) / 255 * background_gains(field.image)
    assert np.ptp(balanced) < 0.08
    assert balanced == pytest.approx(BACKGROUND_LEVEL, abs=0.13)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((1, 4, 4, 3), np.uint8),
    ],
)
def test_what_is_no_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ImageError, match=r"\(H, W, 3\) uint8 RGB"):
        check_image(image)


def test_an_image_comes_back_as_it_is() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    np.testing.assert_array_equal(check_image(image), image)
