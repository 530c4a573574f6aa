from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import TINY_BACKBONE
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from stages.learners.network.backbones import create_backbone
from stages.learners.network.finetune import first_learning_groups, group_scale, rate_factor
from stages.learners.network.heads import Head
from stages.learners.network.module import stage_loss
from stages.learners.network.network import Network, depth_groups
from stages.settings import HEADS, HeadSettings, StageSettings, TrainSettings


def train(**values: object) -> TrainSettings:
    return TrainSettings.model_validate({"epochs": 10, "head_epochs": 2, **values})


@pytest.mark.parametrize(
    ("policy", "frozen"),
    [
        ("full", [5, 5, 0, 0, 0, 0, 0]),
        ("film", [5, 5, 0, 0, 0, 0, 0]),
        ("frozen", [5] * 7),
        ("layer_decay", [5, 5, 0, 0, 0, 0, 0]),
        ("gradual", [5, 5, 4, 3, 2, 1, 0]),
    ],
)
def test_what_is_frozen_epoch_by_epoch(policy: str, frozen: list[int]) -> None:
    assert [first_learning_groups(train(policy=policy), epoch, 5) for epoch in range(7)] == frozen


def test_layer_decay_falls_from_the_head_down() -> None:
    scales = [group_scale(train(policy="layer_decay", layer_decay=0.5), group, 3) for group in range(3)]
    assert scales == [0.125, 0.25, 0.5]
    assert group_scale(train(policy="full"), 0, 3) == 1


def test_exponential_schedule_is_paper_a_s() -> None:
    settings = train(schedule="exponential", decay=0.9, head_epochs=0)
    assert [rate_factor(settings, step, 4) for step in (0, 4, 8)] == pytest.approx([1, 0.9, 0.81])


def test_head_epochs_have_a_rate_of_their_own_and_the_schedule_starts_behind_them() -> None:
    settings = train(schedule="constant", learning_rate=1e-3, head_learning_rate=5e-3)
    assert [rate_factor(settings, step, 4) for step in (0, 7, 8)] == pytest.approx([5, 5, 1])


@given(st.integers(1, 20), st.integers(1, 30), st.floats(0, 0.9))
def test_cosine_stays_in_bounds_and_ends_low(epochs: int, steps: int, warmup: float) -> None:
    settings = TrainSettings(epochs=epochs, head_epochs=0, schedule="cosine", warmup=warmup)
    factors = [rate_factor(settings, step, steps) for step in range(epochs * steps)]
    assert all(0 <= factor <= 1 for factor in factors)
    assert rate_factor(settings, epochs * steps, steps) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", [TINY_BACKBONE, "test_vit", "inception_v3", "densenet121"])
def test_depth_groups_hold_every_parameter_once(name: str) -> None:
    backbone, _ = create_backbone(name, "none")
    names = [parameter for group in depth_groups(backbone) for parameter in group]
    assert sorted(names) == sorted(parameter for parameter, _ in backbone.named_parameters())
    assert len(depth_groups(backbone)) > 2


def test_losses_agree_with_torch() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(7, 4), torch.randint(0, 4, (7,))
    hot = functional.one_hot(labels, 4).float()
    weights = torch.tensor([1.0, 2.0, 0.5, 3.0])
    expected = functional.cross_entropy(logits, labels, weight=weights)
    assert torch.isclose(stage_loss(logits, hot, "softmax", weights=weights), expected)
    smooth = functional.cross_entropy(logits, labels, label_smoothing=0.1)
    assert torch.isclose(stage_loss(logits, hot, "softmax", 0.1), smooth)
    binary = functional.one_hot(labels % 2, 2).float()
    expected = functional.binary_cross_entropy_with_logits(logits[:, :1], (labels % 2).float()[:, None])
    assert torch.isclose(stage_loss(logits[:, :1], binary, "sigmoid"), expected)


@pytest.mark.parametrize(
    ("activation", "classes", "outputs"),
    [("sigmoid", 2, 1), ("sigmoid", 8, 8), ("softmax", 2, 2), ("softmax", 4, 4)],
)
def test_probabilities_sum_to_one(activation: str, classes: int, outputs: int) -> None:
    backbone, record = create_backbone(TINY_BACKBONE, "none")
    head = HeadSettings.model_validate(
        {"activation": activation, "hidden": [8], "batch_norm": True, "dropout": 0.1}
    )
    network = Network(backbone, record, head, tuple("abcdefgh"[:classes])).eval()
    logits = network(torch.rand(3, 3, 32, 32))
    assert logits.shape == (3, outputs)
    probabilities = network.probabilities(logits)
    assert probabilities.shape == (3, classes)
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(3))


def test_head_is_built_as_told() -> None:
    settings = HeadSettings(hidden=(32, 8), dropout=0.5, batch_norm=True)
    kinds = [type(layer).__name__ for layer in Head(16, 4, settings)]
    assert kinds == ["BatchNorm1d", *["Dropout", "Linear", "ReLU"] * 2, "Dropout", "Linear"]


def test_paper_c_s_head_is_built_layer_by_layer() -> None:
    head = Head(16, 2, HEADS["pushpalatha2024"])
    kinds = [type(layer).__name__ for layer in head]
    assert kinds == ["BatchNorm1d", "Linear", "ReLU", "Dropout", "Linear"]
    norm, dense, last = head[0], head[1], head[4]
    assert (norm.momentum, norm.eps) == (0.01, 1e-3)
    assert (dense.out_features, last.in_features, head[3].p) == (256, 256, 0.45)
    # Keras keeps 0.99 of the running mean and takes 0.01 of the batch's.
    features = torch.randn(8, 16) + 3
    head(features)
    assert torch.allclose(norm.running_mean, 0.01 * features.mean(dim=0), atol=1e-6)


def test_what_a_head_adds_to_the_loss_is_what_keras_adds() -> None:
    settings = HeadSettings(hidden=(5, 3), kernel_l1=0.1, kernel_l2=0.2, bias_l1=0.3, activity_l1=0.4)
    head = Head(4, 2, settings)
    features = torch.randn(7, 4)
    first, second = (head[index] for index in (1, 4))
    kernels, biases = [], []
    hidden = features.numpy()
    activity = 0.0
    for dense in (first, second):
        kernels.append(dense.weight.detach().numpy())
        biases.append(dense.bias.detach().numpy())
        hidden = np.maximum(hidden @ kernels[-1].T + biases[-1], 0)
        activity += hidden.sum()
    expected = sum(0.1 * np.abs(kernel).sum() + 0.2 * (kernel**2).sum() for kernel in kernels)
    expected += 0.3 * sum(np.abs(bias).sum() for bias in biases)
    assert float(head.weight_penalty().detach()) == pytest.approx(expected, rel=1e-5)
    logits, added = head.penalised(features)
    assert torch.equal(logits, head(features))
    assert float(added.detach()) == pytest.approx(0.4 * activity, rel=1e-5)
    assert float(Head(4, 2, HeadSettings(hidden=(5,))).penalised(features)[1].detach()) == 0


@pytest.mark.parametrize("change", [{"kernel_l1": 0.1}, {"dropout": 0.5, "dropout_at": "after"}])
def test_what_belongs_to_hidden_layers_asks_for_one(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"head\.hidden"):
        HeadSettings.model_validate(change)


def test_heads_have_names() -> None:
    stage = StageSettings.model_validate({"data": {"dataset": "x"}, "head": "pushpalatha2024"})
    assert stage.head == HEADS["pushpalatha2024"]
    with pytest.raises(ValidationError, match=r"linear, maaliw2022, pushpalatha2024"):
        StageSettings.model_validate({"data": {"dataset": "x"}, "head": "dense"})


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_agrees_with_torchvision_and_its_closed_form(gamma: float) -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(9, 4), torch.randint(0, 4, (9,))
    hot = functional.one_hot(labels, 4).float()
    expected = sigmoid_focal_loss(logits, hot, alpha=-1, gamma=gamma, reduction="mean")
    assert torch.isclose(stage_loss(logits, hot, "sigmoid", gamma=gamma), expected)
    one = logits[:, :1]
    expected = sigmoid_focal_loss(one, hot[:, 1:2], alpha=-1, gamma=gamma, reduction="mean")
    two = torch.stack([1 - hot[:, 1], hot[:, 1]], dim=1)
    assert torch.isclose(stage_loss(one, two, "sigmoid", gamma=gamma), expected)
    right = logits.softmax(dim=1)[torch.arange(9), labels]
    expected = (-((1 - right) ** gamma) * right.log()).mean()
    assert torch.isclose(stage_loss(logits, hot, "softmax", gamma=gamma), expected)
