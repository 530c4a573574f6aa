"""Gradients image by image, against one backward pass an image of the network as it is served."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY_BACKBONE
from torch import nn
from torch.nn import functional

pytest.importorskip("opacus")

from stages.errors import ModelError
from stages.learners.federated.private import Private
from stages.learners.federated.samples import FixedNorm, _conv_samples, fix_norms, sample_gradients
from stages.learners.network.backbones import imagenet_backbone, rebuild_backbone
from stages.learners.network.batches import StoreDataset
from stages.learners.network.network import Network, learning_names
from stages.learners.network.weights import WeightRecord
from stages.settings import HeadSettings

SIZE = 32


def make_network(folder: Path, backbone: str = TINY_BACKBONE) -> Network:
    torch.manual_seed(0)
    record = imagenet_backbone(backbone, "none", folder / "start.safetensors", 0)
    network = Network(rebuild_backbone(record, "avg", SIZE), record, HeadSettings(hidden=(6,)), ("a", "b"))
    for layer in network.modules():  # statistics of some training before
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 2)
    return network


def loss_of(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(network(images), torch.arange(len(images)) % 2)


@pytest.mark.parametrize("backbone", [TINY_BACKBONE, "test_efficientnet", "test_vit"])
@pytest.mark.parametrize("policy", ["frozen", "film", "full"])
def test_gradients_are_those_of_one_image_after_the_other(tmp_path: Path, backbone: str, policy: str) -> None:
    network = make_network(tmp_path, backbone)
    plain = copy.deepcopy(network).eval()
    names = learning_names(network, policy)
    sample_gradients(network, names, SIZE)
    network.train()
    if policy == "frozen":
        network.backbone.eval()  # as its features are computed
    images = torch.rand(3, 3, SIZE, SIZE)
    network.head.penalised(network.features(images))[0].logsumexp(dim=1).mean().backward()
    for at in range(3):
        plain.zero_grad()
        plain(images[at : at + 1]).logsumexp(dim=1).mean().backward()
        for name in names:
            found, wanted = network.get_parameter(name).grad_sample[at], plain.get_parameter(name).grad
            torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-6)
    learning = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert learning == set(names)


def test_a_fixed_norm_is_batch_normalisation_in_evaluation(tmp_path: Path) -> None:
    network = make_network(tmp_path, "test_efficientnet")  # its layers have an activation behind them
    plain = copy.deepcopy(network).eval()
    fix_norms(network.backbone)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
    assert any(isinstance(layer, FixedNorm) for layer in network.modules())
    assert network.state_dict().keys() == plain.state_dict().keys()
    images = torch.rand(4, 3, SIZE, SIZE)
    torch.testing.assert_close(network.train().features(images), plain.features(images), rtol=1e-4, atol=1e-5)
    for name, value in network.state_dict().items():
        assert torch.equal(value, plain.state_dict()[name])


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, 3, padding=1),
        nn.Conv2d(6, 6, 3, stride=2, padding=1, groups=6, bias=False),
        nn.Conv2d(6, 12, (3, 5), padding="same", dilation=2, groups=3),
    ],
)
@pytest.mark.parametrize("size", [(9, 8), (1, 1)])
def test_convolutions_group_by_group_are_opacus_own(layer: nn.Conv2d, size: tuple[int, int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from opacus.grad_sample.conv import compute_conv_grad_sample

    images = torch.rand(3, layer.in_channels, *size)
    pull = torch.rand_like(layer(images))
    theirs = compute_conv_grad_sample(layer, [images], pull)
    # Opacus' own rule is wrong where channels lie last.
    ours = _conv_samples(layer, [images.contiguous(memory_format=torch.channels_last)], pull)
    assert ours.keys() == theirs.keys()
    for parameter, value in theirs.items():
        torch.testing.assert_close(ours[parameter], value)


def test_a_private_step_by_hand(tmp_path: Path) -> None:
    network = make_network(tmp_path)
    plain, before = copy.deepcopy(network).eval(), copy.deepcopy(network.state_dict())
    names = learning_names(network, "film")
    data = StoreDataset(np.zeros((10, SIZE, SIZE, 3), np.uint8), range(10), np.zeros(10, np.int64))
    private = Private(noise=0.7, clip=0.05, secret=9)
    step = private.optimizer(torch.optim.SGD(network.parameters(), lr=2.0), network, names, data, 4)
    network.train()
    images = torch.rand(3, 3, SIZE, SIZE)  # four are drawn on average
    step.zero_grad()
    private.seed(5)
    loss_of(network, images).backward()
    step.step()

    clipped = [torch.zeros_like(plain.get_parameter(name)) for name in names]
    longest = 0.0
    for at in range(3):
        plain.zero_grad()
        functional.cross_entropy(plain(images[at : at + 1]), torch.tensor([at % 2])).backward()
        gradient = [plain.get_parameter(name).grad for name in names]
        norm = torch.cat([part.flatten() for part in gradient]).norm()
        longest = max(longest, float(norm))
        for whole, part in zip(clipped, gradient, strict=True):
            whole += part * min(1.0, 0.05 / float(norm))
    assert longest > 0.05
    same = Private(noise=0.7, clip=0.05, secret=9)
    same.seed(5)
    order = {name: at for at, name in enumerate(names)}
    moved = [name for name, _ in network.named_parameters() if name in order]
    for name in moved:
        noise = torch.normal(0, 0.7 * 0.05, clipped[order[name]].shape, generator=same.generator)
        wanted = before[name] - 2.0 * (clipped[order[name]] + noise) / 4
        torch.testing.assert_close(network.state_dict()[name], wanted, rtol=1e-4, atol=1e-6)
    for name, value in network.state_dict().items():
        assert name in order or torch.equal(value, before[name]), name


class Mixing(nn.Module):
    feature_width = 3

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.LayerNorm(3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = images.mean(dim=(2, 3))
        return self.scale(features - features.mean(dim=0))


class Idle(Mixing):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3))


class Halved(Mixing):
    """Half of what it learns goes by no layer's call, where no hook sees it."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = images.mean(dim=(2, 3))
        return self.scale(features) + functional.layer_norm(features, (3,), self.scale.weight)


@pytest.mark.parametrize(
    ("backbone", "said"), [(Mixing(), "others of its batch"), (Idle(), "no gradient"), (Halved(), "add up")]
)
def test_a_backbone_that_does_not_keep_images_apart_is_refused(backbone: nn.Module, said: str) -> None:
    record = WeightRecord(backbone="x", source="y", licence="z", sha256="", mean=(0, 0, 0), std=(1, 1, 1))
    network = Network(backbone, record, HeadSettings(), ("a", "b", "c"))
    with pytest.raises(ModelError, match=f"--dp-train head.*|{said}") as error:
        sample_gradients(network, learning_names(network, "film"), SIZE)
    assert said in str(error.value)


def test_film_needs_layers_that_normalise() -> None:
    record = WeightRecord(backbone="x", source="y", licence="z", sha256="", mean=(0, 0, 0), std=(1, 1, 1))
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    backbone.feature_width = 4
    network = Network(backbone, record, HeadSettings(), ("a", "b"))
    with pytest.raises(ModelError, match="Sequential has none"):
        learning_names(network, "film")
    assert learning_names(network, "frozen") == ["head.1.weight", "head.1.bias"]
