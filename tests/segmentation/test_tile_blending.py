"""How tiles are blended: weights by their formula, sums written out, probabilities that stay ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from torch import nn

from segmentation.tiles import TileSettings, blend_window, tile_starts, tiled_probabilities


class Pixelwise(nn.Module):
    """Logits of a pixel from its own colour alone, so that tiling must not change a thing."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        weights = np.random.default_rng(0).normal(size=(classes, 3)) * 3
        self.weights = nn.Parameter(torch.tensor(weights, dtype=torch.float32))
        self.seen: list[tuple[int, ...]] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(tuple(images.shape))
        return torch.einsum("kc,bchw->bkhw", self.weights, images)


class Position(nn.Module):
    """Logits that depend on the place within the tile: what a network does at a border."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        _, _, height, width = images.shape
        rows = torch.arange(height, dtype=torch.float32).view(1, 1, -1, 1).expand(len(images), 1, -1, width)
        return torch.cat([rows / 10, 1 - rows / 10], dim=1)


def image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.sampled_from([(16, 0), (16, 7), (32, 15), (40, 1)]),
    st.integers(1, 5),
    st.booleans(),
)
def test_a_network_without_context_gives_its_own_softmax(
    height: int, width: int, tiles: tuple[int, int], batch: int, flips: bool
) -> None:
    network, pixels = Pixelwise(), image(height, width)
    settings_ = TileSettings(*tiles, batch_size=batch, flips=flips, precision="32-true")
    gains = (0.9, 1.1, 1.3)
    found = tiled_probabilities(network, pixels, settings_, gains=gains)
    logits = np.einsum("kc,hwc->khw", network.weights.detach().numpy(), pixels * np.array(gains) / 255)
    np.testing.assert_allclose(found, softmax(logits, axis=0), atol=2e-5)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)
    assert all(shape[0] <= batch for shape in network.seen)


@given(st.integers(16, 200), st.floats(0, 0.49))
def test_windows_rise_as_half_a_hann_window_and_are_mirror_images(size: int, part: float) -> None:
    overlap = int(size * part)
    inner = blend_window(size, overlap, False, False)
    np.testing.assert_array_equal(inner, inner[::-1])
    np.testing.assert_array_equal(blend_window(size, overlap, True, True), np.ones(size))
    left = blend_window(size, overlap, True, False)
    np.testing.assert_array_equal(left[: size // 2], 1)
    np.testing.assert_array_equal(left[::-1], blend_window(size, overlap, False, True))
    quarter = overlap // 4
    assert not inner[:quarter].any()
    ramp = inner[quarter : overlap - quarter]
    for step, weight in enumerate(ramp):
        assert weight == pytest.approx(np.sin(np.pi / 2 * (step + 0.5) / len(ramp)) ** 2, abs=1e-6)
    assert inner[overlap - quarter : size - overlap + quarter].min(initial=1) == 1


@given(st.integers(16, 120), st.floats(0.05, 0.49))
def test_two_neighbours_that_share_the_overlap_sum_to_one(size: int, part: float) -> None:
    overlap = int(size * part)
    one, other = blend_window(size, overlap, True, False), blend_window(size, overlap, False, True)
    shared = one[size - overlap :] + other[:overlap]
    np.testing.assert_allclose(shared, 1, atol=1e-6)


def test_the_blend_is_the_weighted_mean_of_the_tiles() -> None:
    pixels = image(56, 16)
    found = tiled_probabilities(Position(), pixels, TileSettings(32, 8, precision="32-true"), classes=2)
    starts = tile_starts(56, 32, 8)
    assert starts == [0, 24]
    rows = np.arange(32)
    tile = softmax(np.stack([rows / 10, 1 - rows / 10]), axis=0)
    summed, total = np.zeros((2, 56)), np.zeros(56)
    for number, start in enumerate(starts):
        window = blend_window(32, 8, number == 0, number == 1)
        summed[:, start : start + 32] += tile * window
        total[start : start + 32] += window
    np.testing.assert_allclose(found[:, :, 3], summed / total, atol=1e-5)


def test_mirrors_are_averaged_and_not_the_logits() -> None:
    pixels = image(20, 16)
    found = tiled_probabilities(
        Position(), pixels, TileSettings(32, 8, flips=True, precision="32-true"), classes=2
    )
    rows = np.arange(20)
    plain = softmax(np.stack([rows / 10, 1 - rows / 10]), axis=0)
    np.testing.assert_allclose(found[:, :, 0], (plain + plain[:, ::-1]) / 2, atol=1e-5)


@pytest.mark.parametrize(
    ("length", "size", "overlap", "starts"),
    [
        (10, 16, 4, [0]),
        (16, 16, 4, [0]),
        (17, 16, 4, [0, 1]),
        (28, 16, 4, [0, 12]),
        (29, 16, 4, [0, 6, 13]),
        (100, 40, 10, [0, 30, 60]),
        (1000, 512, 64, [0, 244, 488]),
    ],
)
def test_starts_by_hand(length: int, size: int, overlap: int, starts: list[int]) -> None:
    found = tile_starts(length, size, overlap)
    assert len(found) == len(starts)
    assert all(abs(one - other) <= 1 for one, other in zip(found, starts, strict=True))


@given(st.integers(1, 3000), st.integers(16, 300), st.floats(0, 0.49))
def test_no_tile_more_than_are_needed(length: int, size: int, part: float) -> None:
    overlap = int(size * part)
    count = len(tile_starts(length, size, overlap))
    fewest = 1 if length <= size else int(np.ceil((length - size) / (size - overlap))) + 1
    assert count == fewest


def test_bf16_is_close_and_the_same_class_nearly_everywhere() -> None:
    network, pixels = Pixelwise(), image(40, 40)
    whole, short = (
        tiled_probabilities(network, pixels, TileSettings(64, 8, precision=precision))  # type: ignore[arg-type]
        for precision in ("32-true", "bf16-mixed")
    )
    assert short.dtype == np.float32
    assert np.abs(whole - short).max() < 0.05
    assert (whole.argmax(axis=0) == short.argmax(axis=0)).mean() > 0.97


def test_the_image_is_not_written_to() -> None:
    pixels = image(30, 30)
    before = pixels.copy()
    tiled_probabilities(Pixelwise(), pixels, TileSettings(16, 4), gains=(2.0, 0.5, 1.0))
    np.testing.assert_array_equal(pixels, before)
