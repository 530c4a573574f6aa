import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.crops import CropSettings, Pairs, sample_batch
from segmentation.errors import ImageError, MaskError


def _pairs(height: int = 90, width: int = 110) -> Pairs:
    # Labels can be read off the red channel, so that image and labels must move together.
    labels = np.zeros((height, width), np.uint8)
    labels[height // 4 : height // 2, width // 4 : -width // 4] = 1
    labels[height // 3 : height // 2, width // 3 : -width // 3] = 2
    image = np.stack([labels * 100, np.full_like(labels, 240), np.full_like(labels, 240)], axis=-1)
    return Pairs([(image, labels)])


@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.4, 0.5), (1.8, 2.0)])
def test_image_and_labels_move_together(scale: tuple[float, float]) -> None:
    pairs = _pairs()
    images, labels = sample_batch(pairs, 8, CropSettings(size=48, scale=scale), np.random.default_rng(0))
    gain = pairs[0][2][0]
    read = (images[:, 0] * 255 / gain / 100).round()
    assert images.shape == (8, 3, 48, 48)
    assert (read == labels).float().mean() > 0.93  # borders are blended in images, not in labels


@settings(max_examples=20, deadline=None)
@given(height=st.integers(5, 130), width=st.integers(5, 130), seed=st.integers(0, 100))
def test_any_image_gives_a_whole_crop(height: int, width: int, seed: int) -> None:
    images, labels = sample_batch(
        _pairs(height, width), 2, CropSettings(size=32), np.random.default_rng(seed)
    )
    assert images.shape == (2, 3, 32, 32)
    assert images[:, 1].min() > 0.8  # nothing black creeps in from outside
    assert set(labels.unique().tolist()) <= {0, 1, 2}


def test_upright_crops_at_scale_one_are_windows() -> None:
    plain = CropSettings(size=16, scale=(1.0, 1.0), rotate=False, flip=False, on_cells=1.0)
    pairs = _pairs()
    image, mask, _ = pairs[0]
    _, labels = sample_batch(pairs, 1, plain, np.random.default_rng(1))
    windows = np.lib.stride_tricks.sliding_window_view(mask, (16, 16))
    assert (windows == labels[0].numpy()).all(axis=(2, 3)).any()
    assert image.shape[:2] == mask.shape


def test_pairs_are_checked() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(MaskError, match="pair 0"):
        Pairs([(image, np.zeros((8, 9), np.uint8))])[0]
    with pytest.raises(ImageError, match="uint8 RGB"):
        Pairs([(image[..., 0], np.zeros((8, 8), np.uint8))])[0]
