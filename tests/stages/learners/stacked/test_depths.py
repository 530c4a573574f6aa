"""Features of many depths: against a plain pass through the backbone, and grey-world against what defines it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import TINY_BACKBONE

from stages.errors import ModelError
from stages.learners.network.backbones import create_backbone
from stages.learners.network.network import Network, depth_groups
from stages.learners.stacked.depths import DepthFeatures, grey_world, layers_between
from stages.settings import HeadSettings
from stages.stacked_settings import StackedSettings

SIZE = 32


def make(name: str = TINY_BACKBONE) -> Network:
    torch.manual_seed(0)
    backbone, record = create_backbone(name, "none", size=SIZE)
    return Network(backbone, record, HeadSettings(), ("a", "b")).eval()


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", [TINY_BACKBONE, "test_efficientnet", "test_vit", "test_convnext"])
def test_every_family_has_layers_and_they_are_asked_in_their_order(name: str) -> None:
    network = make(name)
    layers = layers_between(network.backbone, 0.0, 1.0)
    modules = [one for one, _ in network.backbone.named_modules()]
    assert sorted(layers, key=modules.index) == layers
    assert len(layers) <= len(depth_groups(network.backbone))
    features = DepthFeatures(network, layers, ("plain",))(pictures(3))
    assert features.shape[0] == 3
    assert np.isfinite(features).all()


def test_the_default_depths_are_the_measured_layers() -> None:
    backbone, _ = create_backbone("tf_efficientnet_lite0", "none")
    assert layers_between(backbone, *StackedSettings().depths) == [
        f"blocks.{place}" for place in (2, 3, 4, 5)
    ]


def test_features_are_mean_and_deviation_of_the_layers_output() -> None:
    network, images = make(), pictures(20)
    layers = layers_between(network.backbone, 0.0, 1.0)
    seen: list[torch.Tensor] = []
    hook = network.backbone.get_submodule(layers[0]).register_forward_hook(lambda *told: seen.append(told[2]))
    with torch.inference_mode():
        network(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)
    hook.remove()
    output = seen[0].numpy()
    features = DepthFeatures(network, layers[:1], ("plain",))(images)
    expected = np.concatenate([output.mean(axis=(2, 3)), output.std(axis=(2, 3))], axis=1)
    np.testing.assert_allclose(features, expected, atol=1e-5)


def test_what_is_remembered_is_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = make(), pictures(5)
    features = DepthFeatures(network, layers_between(network.backbone, 0.0, 1.0), ("plain",))
    once = features(images)
    features.remember(images[1:4], once[1:4] + 1)
    assert np.allclose(features(images) - once, np.array([0, 1, 1, 1, 0])[:, None], atol=1e-4)
    features.remember(images, once)
    monkeypatch.setattr(features, "_described", lambda images: pytest.fail("computed"))
    assert np.array_equal(features(images[::-1]), once[::-1])


def test_views_stand_side_by_side_and_leave_no_hook() -> None:
    network, images = make(), pictures(4)
    layers = layers_between(network.backbone, 0.0, 1.0)[:2]
    both = DepthFeatures(network, layers, ("plain", "grey-world"))(images)
    plain, grey = (DepthFeatures(network, layers, ("plain",))(one) for one in (images, grey_world(images)))
    np.testing.assert_allclose(both, np.concatenate([plain, grey], axis=1), atol=1e-6)
    assert not any(one._forward_hooks for one in network.backbone.modules())
    assert DepthFeatures(network, layers, ("plain",))(images[:0]).shape == (0, plain.shape[1])


def test_grey_world_takes_a_tint_away() -> None:
    image = np.random.default_rng(0).integers(60, 100, (1, 16, 16, 3)).astype(np.float32)
    tinted = (image * np.array([1.0, 0.8, 0.9])).astype(np.uint8)
    moved = grey_world(tinted)
    assert moved.dtype == np.uint8
    assert np.ptp(moved.mean(axis=(1, 2))) < 1
    np.testing.assert_allclose(moved, grey_world(image.astype(np.uint8)), atol=3)


def test_depths_that_hold_no_layer_are_one_sentence() -> None:
    with pytest.raises(ModelError, match="do widen it"):
        layers_between(make().backbone, 0.001, 0.002)
