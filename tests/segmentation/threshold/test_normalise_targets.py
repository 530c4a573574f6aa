"""Colour moved to a target that was measured elsewhere: closed forms, a case by hand, round trips, and fields without stain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.threshold import NORMALISERS, measure, move, normalise, pool
from segmentation.threshold.normalise import stain_vectors

STAINS = np.array([[0.65, 0.70, 0.29], [0.30, 0.90, 0.30]])
STAINS /= np.linalg.norm(STAINS, axis=1, keepdims=True)


def smear(seed: int = 0, stains: np.ndarray = STAINS, strength: float = 1.0, side: int = 60) -> np.ndarray:
    """Glass, and pixels with random amounts of two stains: light is 240 exp(-density), so densities are known."""
    random = np.random.default_rng(seed)
    amounts = random.uniform(0, 1.2, (side, side, 2)) * strength
    amounts[: side // 3] = 0
    amounts[side // 3 : side // 2, :, 1] = 0
    amounts[side // 2 : 2 * side // 3, :, 0] = 0
    return np.clip(241 * np.exp(-amounts @ stains) - 1, 0, 255).round().astype(np.uint8)


def test_grey_world_by_hand() -> None:
    # Means (100, 50, 200) to (120, 100, 100): gains 1.2, 2, 0.5.
    image = np.array([[[50, 20, 100], [150, 80, 255]], [[100, 50, 245], [100, 50, 200]]], np.uint8)
    assert measure(image, "grey-world") == pytest.approx([100, 50, 200])
    moved = move(image, "grey-world", np.array([120.0, 100.0, 100.0]))
    np.testing.assert_array_equal(
        moved, [[[60, 40, 50], [180, 160, 128]], [[120, 100, 122], [120, 100, 100]]]
    )


def test_reinhard_brings_means_and_deviations_of_the_target() -> None:
    image, other = smear(), smear(1, strength=0.7)
    target = measure(other, "reinhard")
    assert target is not None
    found = measure(move(image, "reinhard", target), "reinhard")
    assert found is not None
    np.testing.assert_allclose(found, target, atol=1.5)


def test_macenko_gives_one_smear_the_stains_of_another() -> None:
    other_stains = np.array([[0.55, 0.80, 0.30], [0.28, 0.88, 0.38]])
    other_stains /= np.linalg.norm(other_stains, axis=1, keepdims=True)
    theirs = smear(1, other_stains, 0.8)
    target = measure(theirs, "macenko")
    assert target is not None
    found = measure(move(smear(), "macenko", target), "macenko")
    assert found is not None
    np.testing.assert_allclose(found[:6], other_stains.ravel(), atol=0.04)
    np.testing.assert_allclose(found[6:], target[6:], rtol=0.06)
    # Drawn with the same amounts in other stains, the moved picture is that picture.
    drawn = smear(0, other_stains, 0.8)
    assert np.abs(move(smear(), "macenko", measure(drawn, "macenko")).astype(int) - drawn).mean() < 3


@pytest.mark.parametrize("name", ["grey-world", "reinhard", "macenko"])
def test_an_image_moved_to_its_own_values_stays(name: str) -> None:
    image = smear()
    assert np.abs(move(image, name, measure(image, name)).astype(int) - image).max() <= 2
    target = measure(smear(1, strength=0.8), name)
    once = move(image, name, target)
    assert np.abs(move(once, name, target).astype(int) - once).mean() < 1.5


def test_a_pool_of_one_is_itself_and_of_several_the_mean_or_the_median() -> None:
    for name in NORMALISERS:
        own = measure(smear(), name)
        assert own is not None
        np.testing.assert_allclose(pool([own], name), own, atol=1e-9)
    rows = [np.array([1.0, 2, 3]), np.array([3.0, 6, 9])]
    np.testing.assert_array_equal(pool(rows, "grey-world"), [2, 4, 6])
    stains = [np.array([1.0, 0, 0, 0, 1, 0, strength, 1]) for strength in (1.0, 2.0, 30.0)]
    np.testing.assert_allclose(pool(stains, "macenko"), [1, 0, 0, 0, 1, 0, 2, 1])
    tilted = [np.array([*stain, 0, 1, 0, 1, 1]) for stain in ((1.0, 0, 0), (0.6, 0.8, 0), (0.6, 0.8, 0))]
    assert np.linalg.norm(pool(tilted, "macenko")[:3]) == pytest.approx(1)


@pytest.mark.parametrize(
    "kind", ["white", "black", "grey", "noisy glass", "noisy black", "one stain", "specks"]
)
def test_macenko_leaves_a_field_without_two_stains_as_it_is(kind: str) -> None:
    random = np.random.default_rng(0)
    image = {
        "white": np.full((40, 40, 3), 255),
        "black": np.zeros((40, 40, 3)),
        "grey": np.full((40, 40, 3), 120),
        "noisy glass": random.integers(225, 250, (40, 40, 3)),
        "noisy black": random.integers(0, 4, (40, 40, 3)),
        "one stain": 241 * np.exp(-random.uniform(0, 1.5, (40, 40, 1)) * STAINS[0]) - 1,
        "specks": np.where(
            random.random((400, 400, 1)) < 0.002, random.integers(40, 200, (400, 400, 3)), 235
        ),
    }[kind].astype(np.uint8)
    assert stain_vectors(image) is None
    assert measure(image, "macenko") is None
    np.testing.assert_array_equal(normalise(image, "macenko"), image)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(NORMALISERS)),
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.tuples(st.integers(0, 255), st.integers(0, 255)),
)
def test_any_image_gives_an_image_of_its_shape_and_says_the_same_twice(
    name: str, seed: int, shape: tuple[int, int], ends: tuple[int, int]
) -> None:
    image = np.random.default_rng(seed).integers(min(ends), max(ends) + 1, (*shape, 3)).astype(np.uint8)
    before = image.copy()
    for target in (None, measure(smear(), name)):
        moved = move(image, name, target)
        assert moved.shape == image.shape
        assert moved.dtype == np.uint8
        np.testing.assert_array_equal(moved, move(image, name, target))
    np.testing.assert_array_equal(image, before)
