"""Adaptive unsharpening: blurred pictures come to the aim, sharp ones stay, and the amount solves its equation."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.optimize import brentq

from stages.preprocess.sharpen import sharpen, sharpness


def picture(seed: int = 0, blur: float = 0.0) -> np.ndarray:
    """Discs on a pale ground, blurred, in the middle of the grey scale."""
    random = np.random.default_rng(seed)
    image = np.full((64, 72, 3), (190.0, 170.0, 180.0))
    for x, y, radius in random.integers((8, 8, 3), (64, 56, 9), (12, 3)):
        cv2.circle(image, (int(x), int(y)), int(radius), random.uniform(80, 140, 3).tolist(), -1)
    return np.clip(ndimage.gaussian_filter(image, (blur, blur, 0)), 0, 255).round().astype(np.uint8)


def measured(image: np.ndarray, sigma: float) -> float:
    """The same by another library."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(float)
    detail = grey - ndimage.gaussian_filter(grey, sigma, mode="nearest", truncate=4)
    return float(np.sqrt((detail**2).mean()) / grey.std())


def test_sharpness_agrees_with_another_library_and_falls_with_blur() -> None:
    values = [sharpness(picture(blur=blur), 1.5) for blur in (0, 0.5, 1, 2, 4)]
    assert values == sorted(values, reverse=True)
    for blur, value in zip((0, 0.5, 1, 2, 4), values, strict=True):
        assert value == pytest.approx(measured(picture(blur=blur), 1.5), rel=0.01)


@pytest.mark.parametrize("blur", [0.6, 1.0, 1.5])
def test_a_blurred_picture_becomes_as_sharp_as_the_aim_and_then_stays(blur: float) -> None:
    aim = sharpness(picture(), 1.0) * 0.8
    blurred = picture(blur=blur)
    assert sharpness(blurred, 1.0) < aim * 0.9
    sharp = sharpen(blurred, aim, 1.0, 30.0)
    assert sharpness(sharp, 1.0) == pytest.approx(aim, rel=0.03)
    again = sharpen(sharp, aim, 1.0, 30.0)
    assert np.abs(again.astype(int) - sharp).max() <= 4


def test_the_amount_is_the_root_that_a_solver_finds() -> None:
    blurred, sigma = picture(blur=1.0), 1.0
    aim = sharpness(blurred, sigma) * 1.3
    grey = cv2.cvtColor(blurred, cv2.COLOR_RGB2GRAY).astype(float)
    detail = grey - ndimage.gaussian_filter(grey, sigma, mode="nearest")

    def missing(amount: float) -> float:
        light = grey + amount * detail
        own = light - ndimage.gaussian_filter(light, sigma, mode="nearest")
        return float(np.sqrt((own**2).mean()) - aim * light.std())

    root = brentq(missing, 0, 10)
    expected = np.clip(np.rint(blurred + root * detail[..., None]), 0, 255)
    assert np.abs(sharpen(blurred, aim, sigma, 10.0) - expected).max() <= 1


def test_by_hand_a_step_gets_its_own_detail() -> None:
    # The most that is allowed is added: a step of 100 to 200 overshoots by the amount times its detail, alike in all channels.
    image = np.repeat(np.where(np.arange(40) < 20, 100, 200)[None, :, None], 20, axis=0).repeat(3, axis=2)
    row = image[0, :, 0].astype(float)
    detail = row - ndimage.gaussian_filter1d(row, 2.0, mode="nearest", truncate=4)
    sharp = sharpen(image.astype(np.uint8), 10.0, 2.0, 0.5)
    np.testing.assert_allclose(sharp[7, :, 1], np.clip(row + 0.5 * detail, 0, 255), atol=1)
    assert sharp[0, 19, 0] < 85
    assert sharp[0, 20, 0] > 215


def test_what_is_sharp_or_blank_is_handed_back_itself() -> None:
    image = picture()
    assert sharpen(image, sharpness(image, 1.0), 1.0, 3.0) is image
    for level in (0, 127, 255):
        blank = np.full((20, 20, 3), level, np.uint8)
        assert sharpness(blank, 1.0) == 0
        assert sharpen(blank, 1.0, 1.0, 3.0) is blank


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.floats(0, 3),
    st.floats(0.3, 20),
    st.floats(0.01, 10),
)
def test_any_picture_keeps_shape_type_and_is_never_less_sharp(
    seed: int, shape: tuple[int, int], aim: float, sigma: float, most: float
) -> None:
    image = np.random.default_rng(seed).integers(60, 190, (*shape, 3)).astype(np.uint8)
    sharp = sharpen(image, aim, sigma, most)
    assert sharp.shape == image.shape
    assert sharp.dtype == np.uint8
    if aim <= sharpness(image, sigma):
        assert sharp is image
