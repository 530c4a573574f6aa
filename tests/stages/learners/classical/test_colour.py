from __future__ import annotations

import numpy as np
import pytest
from skimage.color import rgb2hsv

from stages.learners.classical.colour import colour_baselines, colour_histogram, colour_statistics


def tinted(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = random.integers(80, 140, (count, 20, 20, 3))
    images[labels == 1, :, :, 2] += 60
    return images.astype(np.uint8), labels


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (7, 11), (40, 33)])
def test_statistics_are_numpys(shape: tuple[int, int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, *shape, 3)).astype(np.uint8)
    images[1] //= 9
    flat = images.reshape(3, -1, 3).astype(float)
    expected = np.concatenate(
        [flat.mean(1), flat.std(1), np.percentile(flat, 10, axis=1), np.percentile(flat, 90, axis=1)], axis=1
    )
    np.testing.assert_allclose(colour_statistics(images), expected, rtol=1e-5)


def test_histogram_sums_to_one_and_puts_a_colour_where_scikit_image_does() -> None:
    image = np.full((1, 8, 8, 3), (200, 40, 90), np.uint8)
    histogram = colour_histogram(image)[0]
    assert histogram.sum() == pytest.approx(1)
    hue, saturation, value = np.minimum((rgb2hsv(image[0])[0, 0] * 8).astype(int), 7)
    assert histogram[hue * 64 + saturation * 8 + value] == pytest.approx(1)


def test_baselines_solve_what_colour_solves_and_nothing_else() -> None:
    images, labels = tinted(60, 0)
    test, truth = tinted(30, 1)
    for votes in colour_baselines(images, labels, test, 2).values():
        np.testing.assert_allclose(votes.sum(axis=1), 1)
        assert (votes.argmax(axis=1) == truth).mean() > 0.95
    noise = np.random.default_rng(2).integers(0, 255, (60, 20, 20, 3)).astype(np.uint8)
    for votes in colour_baselines(noise, labels, noise[::-1].copy(), 2).values():
        assert votes.shape == (60, 2)


def test_a_class_that_was_not_trained_gets_no_vote() -> None:
    images, labels = tinted(20, 0)
    for votes in colour_baselines(images, labels * 2, images, 3).values():
        assert (votes[:, 1] == 0).all()
