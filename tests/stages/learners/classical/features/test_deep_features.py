"""Deep features: those of the network itself, saved and read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY_BACKBONE
from drawn_textures import texture

from stages.errors import ModelError
from stages.learners.classical.features.deep import DeepFeatures
from stages.learners.network.backbones import create_backbone, imagenet_backbone
from stages.learners.network.loading import load_state, match_state


def images() -> np.ndarray:
    return np.stack([texture(seed, 32, 32) for seed in range(20)])


@pytest.mark.parametrize("pool", ["avg", "max"])
def test_they_are_the_backbones_pooled_features(tmp_path: Path, pool: str) -> None:
    record = imagenet_backbone(TINY_BACKBONE, "none", tmp_path / "weights.safetensors", 3)
    deep = DeepFeatures(record, tmp_path / "weights.safetensors", pool, 32)
    told: list[tuple[int, int]] = []
    found = deep(images(), lambda done, total: told.append((done, total)))
    backbone, _ = create_backbone(TINY_BACKBONE, "none", pool, 32)
    match_state(backbone, load_state(tmp_path / "weights.safetensors"), "it")
    pixels = torch.from_numpy(images()).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(part).view(1, 3, 1, 1) for part in (record.mean, record.std))
    with torch.inference_mode():
        expected = backbone.eval()((pixels - mean) / std).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert told == [(16, 20), (20, 20)]
    assert deep(images()[:0]).shape == (0, deep.width) == (0, found.shape[1])


def test_they_travel_with_a_model(tmp_path: Path) -> None:
    record = imagenet_backbone(TINY_BACKBONE, "none", tmp_path / "weights.safetensors", 3)
    deep = DeepFeatures(record, tmp_path / "weights.safetensors", "avg", 32)
    (tmp_path / "model").mkdir()
    deep.save(tmp_path / "model")
    again = DeepFeatures.load(tmp_path / "model", deep.state())
    np.testing.assert_array_equal(again(images()), deep(images()))
    assert again.key == deep.key
    with pytest.raises(ModelError, match=r"backbone\.safetensors is not there"):
        DeepFeatures.load(tmp_path, deep.state())


def test_the_key_tells_backbones_and_pooling_apart(tmp_path: Path) -> None:
    keys = set()
    for seed in (1, 2):
        file = tmp_path / f"{seed}.safetensors"
        record = imagenet_backbone(TINY_BACKBONE, "none", file, seed)
        keys |= {DeepFeatures(record, file, pool, 32).key for pool in ("avg", "max")}
    assert len(keys) == 4
