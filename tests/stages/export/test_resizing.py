"""Resizing inside a graph against OpenCV's own, for any size of image."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.data.store import resize
from stages.export.resizing import resized

sides = st.integers(16, 150)


def levels(height: int, width: int, size: int, fit: str, seed: int = 0) -> np.ndarray:
    """How many levels every value is off."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    image = np.asarray(
        cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 1), None, 0, 255, cv2.NORM_MINMAX), np.uint8
    )  # type: ignore[call-overload]
    own = resized(torch.from_numpy(image)[None], size, fit)[0].permute(1, 2, 0).numpy()
    return np.abs(own - resize(image, size, fit).astype(np.float32))


@settings(max_examples=60, deadline=None)
@given(sides, sides, st.integers(16, 96), st.sampled_from(["stretch", "crop", "pad"]), st.integers(0, 3))
def test_any_image_is_resized_as_opencv_does(height: int, width: int, size: int, fit: str, seed: int) -> None:
    off = levels(height, width, size, fit, seed)
    assert off.max() <= 1
    if fit != "pad" and min(height, width) >= size:
        assert off.mean() <= 0.1  # borders on borders of pixels are halves, which OpenCV rounds in two ways


@pytest.mark.parametrize(
    ("height", "width", "size"), [(64, 64, 32), (96, 96, 32), (257, 257, 224), (486, 648, 224), (50, 50, 50)]
)
def test_shrinking_is_the_same_but_for_one_value_in_ten_thousand(height: int, width: int, size: int) -> None:
    # Twice the size rounds halves up, other whole factors round them to even.
    assert levels(height, width, size, "stretch").mean() < 1e-4


@pytest.mark.parametrize(("height", "width"), [(300, 100), (100, 300), (224, 100)])
def test_one_axis_may_grow_while_the_other_shrinks(height: int, width: int) -> None:
    # 168 of 224 rows of 300 fall on the border of two pixels.
    assert levels(height, width, 224, "stretch").max() <= 1
