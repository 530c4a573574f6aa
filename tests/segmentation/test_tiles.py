import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from segmentation.errors import ParameterError
from segmentation.tiles import TileSettings, blend_window, tile_starts, tiled_probabilities


class _Local(nn.Module):
    # Sees two pixels around each: less than the outer quarter of an overlap of 16.
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(3, 3, 5, padding=2)
        self.largest = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.largest = max(self.largest, images.numel())
        logits: torch.Tensor = self.convolution(images) * 8
        return logits


def _image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, 150), width=st.integers(1, 150))
def test_tiled_equals_whole(height: int, width: int) -> None:
    network, image = _Local(), _image(height, width)
    whole = tiled_probabilities(network, image, TileSettings(size=256, precision="32-true"))
    tiled = tiled_probabilities(network, image, TileSettings(size=48, overlap=16, precision="32-true"))
    assert tiled.shape == (3, height, width)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


@given(length=st.integers(1, 5000), size=st.integers(16, 600), part=st.floats(0, 0.49))
def test_tiles_cover_and_overlap(length: int, size: int, part: float) -> None:
    overlap = int(size * part)
    starts = tile_starts(length, size, overlap)
    assert starts[0] == 0
    assert starts[-1] + size >= length
    assert all(0 < after - before <= size - overlap for before, after in itertools.pairwise(starts))


@given(length=st.integers(1, 900), part=st.floats(0, 0.49))
def test_every_pixel_has_weight(length: int, part: float) -> None:
    size = 64
    overlap = int(size * part)
    total = np.zeros(length)
    starts = tile_starts(length, size, overlap)
    for number, start in enumerate(starts):
        window = blend_window(min(size, length), overlap, number == 0, number == len(starts) - 1)
        total[start : start + size] += window
    assert total.min() > 0


def test_flips_make_the_answer_turn_with_the_image() -> None:
    network, image = _Local(), _image(40, 56)
    options = TileSettings(size=64, overlap=16, flips=True, precision="32-true")
    plain = tiled_probabilities(network, image, options)
    turned = tiled_probabilities(network, image[::-1, ::-1], options)
    np.testing.assert_allclose(turned, plain[:, ::-1, ::-1], atol=1e-5)


def test_the_network_never_sees_more_than_a_batch_of_tiles() -> None:
    network = _Local()
    tiled_probabilities(network, _image(500, 700), TileSettings(size=64, overlap=16, batch_size=2))
    assert network.largest == 2 * 3 * 64 * 64


def test_gains_whiten_before_the_network() -> None:
    network = _Local()
    image = np.full((16, 16, 3), 51, np.uint8)
    bright = tiled_probabilities(network, image * 2, TileSettings(precision="32-true"))
    lifted = tiled_probabilities(network, image, TileSettings(precision="32-true"), gains=(2.0, 2.0, 2.0))
    np.testing.assert_allclose(lifted, bright, atol=1e-6)


@pytest.mark.parametrize("wrong", [{"size": 8}, {"size": 64, "overlap": 32}, {"batch_size": 0}])
def test_settings_are_checked(wrong: dict[str, int]) -> None:
    with pytest.raises(ParameterError, match="overlap"):
        TileSettings(**wrong)
