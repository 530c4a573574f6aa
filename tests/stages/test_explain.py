"""Maps by hand, of networks that look where we know; shuffled weights change them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import TINY_BACKBONE
from torch import nn

from stages.errors import ModelError
from stages.explain import GRAD_CAM, OCCLUSION, Explainer, Explanation, side_by_side
from stages.learners.model import Model
from stages.learners.network.backbones import create_backbone
from stages.learners.network.model import NetworkModel
from stages.learners.network.network import Network
from stages.preprocess import Preprocess
from stages.settings import HeadSettings, PreprocessSettings


def make(name: str = TINY_BACKBONE, **head: object) -> NetworkModel:
    torch.manual_seed(0)
    backbone, record = create_backbone(name, "none", "avg")
    settings = HeadSettings.model_validate(head)
    network = Network(backbone, record, settings, ("a", "b"))
    return NetworkModel(network, record, settings, Preprocess(PreprocessSettings(image_size=64)))


class Corner(nn.Module):
    """A backbone that sees how dark the upper left quarter is, and nothing else."""

    feature_width = 1

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Conv2d(3, 1, 1, bias=False)
        nn.init.constant_(self.look.weight, -1.0)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        seen = torch.relu(self.look(images))
        return seen[:, :, :32, :32].mean(dim=(2, 3))


def looks_at_the_corner() -> NetworkModel:
    model = make()
    model.network.backbone, model.network.width = Corner(), 1
    linear = nn.Linear(1, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[-1.0], [1.0]]))
    model.network.head = nn.Sequential(linear)  # type: ignore[assignment]
    model.network.mean.fill_(1.0)  # white is nothing, ink is positive
    return model


def test_maps_are_where_the_network_looks() -> None:
    image = np.full((64, 64, 3), 255, np.uint8)
    image[8:24, 8:24] = 0  # what it looks at
    image[40:56, 40:56] = 0  # as dark, and elsewhere
    found = Explainer(looks_at_the_corner()).explain(image, "b")
    assert found.label == "b"
    assert set(found.maps) == {GRAD_CAM, OCCLUSION}
    for one in found.maps.values():
        assert one.shape == (64, 64)
        assert one.max() == 1
        assert one.min() >= 0
        assert one[8:24, 8:24].mean() > 0.3
    assert found.maps[OCCLUSION][48:, 48:].max() < 0.05


def test_a_binary_head_is_explained_for_both_classes() -> None:
    model = make(activation="sigmoid")
    image = np.random.default_rng(0).integers(0, 255, (50, 70, 3)).astype(np.uint8)
    explainer = Explainer(model)
    one, other = explainer.explain(image, "a"), explainer.explain(image, "b")
    assert not np.allclose(one.maps[OCCLUSION], other.maps[OCCLUSION])
    assert explainer.explain(image).label == model.predict(image).label


def test_explaining_leaves_the_model_as_it_was() -> None:
    model = make()
    image = np.random.default_rng(0).integers(0, 255, (50, 70, 3)).astype(np.uint8)
    before = model.probabilities([image])
    explainer = Explainer(model)
    explainer.sanity([explainer.explain(image)])
    np.testing.assert_array_equal(model.probabilities([image]), before)


def test_shuffled_weights_are_told_from_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [np.random.default_rng(seed).integers(0, 255, (64, 64, 3)).astype(np.uint8) for seed in (0, 1)]
    explainer = Explainer(make())
    explained = [explainer.explain(image) for image in images]
    changed = explainer.sanity(explained)
    assert changed[OCCLUSION] < 0.9
    monkeypatch.setattr("stages.explain._shuffled", lambda network, seed: network)
    same = explainer.sanity(explained)
    assert same == pytest.approx({GRAD_CAM: 1, OCCLUSION: 1})


def test_a_transformer_is_explained_by_occlusion_alone() -> None:
    model = make("test_vit2")
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    assert set(Explainer(model).explain(image).maps) == {OCCLUSION}


def test_pictures_stand_side_by_side() -> None:
    maps = {GRAD_CAM: np.eye(16), OCCLUSION: np.zeros((16, 16))}
    row = side_by_side(Explanation("a", np.zeros((16, 16, 3), np.uint8), maps), side=32)
    assert row.shape == (32, 3 * 32 + 2 * 4, 3)
    assert row.dtype == np.uint8


def test_what_has_no_network_is_one_sentence() -> None:
    class Other(Model):
        kind = "other"
        prepared_probabilities = prepared_embeddings = _state = _save_weights = _load = None  # type: ignore[assignment]

    with pytest.raises(ModelError, match="kind other"):
        Explainer(Other(("a", "b"), Preprocess(PreprocessSettings(image_size=32))))
