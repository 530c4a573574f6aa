"""Networks and losses against what PyTorch, MONAI and arithmetic give."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch.nn import functional

from segmentation.errors import ModelError
from segmentation.losses import border_weights, cross_entropy_dice, levels_loss, soft_dice_loss
from segmentation.networks import NetworkRecipe, architectures, create_network, fused, pad_to_multiple
from segmentation.residual_unet import ResidualBlock, ResidualUNet


def labels(count: int = 2, size: int = 12, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 3, (count, size, size), generator=torch.Generator().manual_seed(seed))


def logits(count: int = 2, size: int = 12, seed: int = 1) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def weights_of(inputs: int, outputs: int) -> int:
    """Numbers in a residual block: two 3x3 convolutions, norms, and a 1x1 shortcut where channels differ."""
    own = 9 * inputs * outputs + 9 * outputs * outputs + 4 * outputs
    return own + (inputs * outputs + 2 * outputs if inputs != outputs else 0)


# --- the residual U-Net ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "depth"), [(2, 1), (4, 2), (16, 4)])
def test_the_number_of_weights_is_that_of_the_design(width: int, depth: int) -> None:
    channels = [width * 2**level for level in range(depth + 1)]
    encoder = sum(weights_of(a, b) for a, b in zip([3, *channels], channels, strict=False))
    decoder = sum(deep * skip + skip + weights_of(2 * skip, skip) for skip, deep in pairwise(channels))
    head = width * 3 + 3
    network = ResidualUNet(width, depth)
    assert sum(p.numel() for p in network.parameters()) == encoder + decoder + head
    assert network.multiple == 2**depth


def test_a_block_of_zero_weights_is_its_shortcut() -> None:
    block = ResidualBlock(4, 4).eval()
    for parameter in (block.first.weight, block.second.weight):
        torch.nn.init.zeros_(parameter)
    features = torch.randn(1, 4, 5, 5)
    torch.testing.assert_close(block(features), features.clamp_min(0))


def test_a_block_does_not_write_into_its_input() -> None:
    features = torch.randn(1, 4, 5, 5)
    before = features.clone()
    ResidualBlock(4, 4).eval()(features)
    torch.testing.assert_close(features, before, rtol=0, atol=0)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_coarse_levels_halve_and_are_supervised_alone_where_asked(depth: int) -> None:
    images = torch.rand(1, 3, 16, 24)
    levels = ResidualUNet(2, depth, deep_supervision=True).forward_levels(images)
    assert [tuple(level.shape) for level in levels] == [(1, 3, 16 >> k, 24 >> k) for k in range(depth)]
    assert len(ResidualUNet(2, depth).forward_levels(images)) == 1


def test_every_weight_learns() -> None:
    network = ResidualUNet(2, 2, deep_supervision=True)
    levels_loss(network.forward_levels(torch.rand(2, 3, 16, 16)), labels(2, 16)).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0 or "bias" in name, name


@pytest.mark.parametrize("shift", [4, 8])
def test_a_shift_by_the_multiple_shifts_the_answer(shift: int) -> None:
    torch.manual_seed(0)
    network = ResidualUNet(2, 2).eval()
    images = torch.zeros(1, 3, 64, 64)
    images[..., 24:32, 24:32] = torch.rand(3, 8, 8)
    moved = images.roll((shift, shift), (2, 3))
    with torch.inference_mode():
        one, other = network(images), network(moved)
    torch.testing.assert_close(
        one.roll((shift, shift), (2, 3))[..., 24:48, 24:48], other[..., 24:48, 24:48], atol=1e-4, rtol=1e-3
    )


@pytest.mark.parametrize(("name", "value"), [("width", 0), ("width", 257), ("depth", 7), ("classes", 1)])
def test_limits_are_said(name: str, value: int) -> None:
    with pytest.raises(ModelError, match=f"`{name}`"):
        ResidualUNet(**{name: value})


# --- padding and interface -------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from([2, 4, 8, 16, 32]))
def test_padding_is_numpys_reflection(height: int, width: int, multiple: int) -> None:
    values = torch.arange(height * width, dtype=torch.float32).view(1, 1, height, width)
    padded = pad_to_multiple(values, multiple)[0, 0].numpy()
    down, right = -height % multiple, -width % multiple
    expected = np.pad(values[0, 0].numpy(), ((0, down), (0, right)), mode="reflect")
    np.testing.assert_array_equal(padded, expected)


def test_fusing_twice_and_training_after_leave_the_first_alone() -> None:
    network = create_network(NetworkRecipe(width=2, depth=1)).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    folded = fused(network)
    with torch.no_grad():
        for parameter in folded.parameters():
            parameter.add_(1)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_known_architectures_are_those_of_the_library_and_ours_first() -> None:
    known = architectures()
    assert known[0] == "residual-unet"
    assert {"unet", "fpn", "deeplabv3plus", "unetplusplus"} <= set(known)
    assert len(set(known)) == len(known)


def test_normalisation_moves_with_the_network_and_is_no_weight() -> None:
    network = create_network(NetworkRecipe(width=2, depth=1))
    assert not any(name == "mean" or name == "std" for name in network.state_dict())
    assert network.to(torch.float64).mean.dtype == torch.float64


# --- losses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_entropy_without_borders_is_pytorchs(seed: int) -> None:
    said, truth = logits(seed=seed), labels(seed=seed)
    expected = functional.cross_entropy(said, truth) + soft_dice_loss(said.softmax(dim=1), truth)
    torch.testing.assert_close(cross_entropy_dice(said, truth), expected)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("smooth", [1.0, 1e-5])
def test_soft_dice_is_monais(smooth: float) -> None:
    losses = pytest.importorskip("monai.losses")
    theirs = losses.DiceLoss(
        include_background=False, to_onehot_y=True, softmax=True, squared_pred=True, batch=True,
        smooth_nr=smooth, smooth_dr=smooth,
    )  # fmt: skip
    said, truth = logits(), labels()
    expected = theirs(said, truth[:, None])
    torch.testing.assert_close(soft_dice_loss(said.softmax(dim=1), truth, smooth), expected)


def test_an_absent_class_costs_nothing_where_nobody_says_it() -> None:
    truth = torch.zeros(1, 8, 8, dtype=torch.int64)
    sure = functional.one_hot(truth, 3).permute(0, 3, 1, 2).float()
    assert float(soft_dice_loss(sure, truth)) == pytest.approx(0)
    wrong = functional.one_hot(truth + 1, 3).permute(0, 3, 1, 2).float()
    # cytoplasm: 1 - 1 / (64 + 1); nucleus: 1 - 1 / 1
    assert float(soft_dice_loss(wrong, truth)) == pytest.approx((1 - 1 / 65) / 2)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.integers(1, 3), st.floats(0, 5))
def test_borders_are_where_a_window_holds_two_labels(seed: int, reach: int, weight: float) -> None:
    truth = labels(1, 9, seed) * (torch.rand(1, 9, 9, generator=torch.Generator().manual_seed(seed)) < 0.1)
    side = 2 * reach + 1
    plane = truth[0].numpy()
    expected = 1 + weight * (ndimage.maximum_filter(plane, side) > ndimage.minimum_filter(plane, side))
    np.testing.assert_allclose(border_weights(truth, weight, reach)[0].numpy(), expected, rtol=1e-6)


def test_weighing_borders_is_a_weighted_mean() -> None:
    said, truth = logits(), labels()
    weights = border_weights(truth, 4.0).numpy()
    each = functional.cross_entropy(said, truth, reduction="none").numpy()
    expected = float(np.average(each, weights=weights)) + float(soft_dice_loss(said.softmax(dim=1), truth))
    assert float(cross_entropy_dice(said, truth, 4.0)) == pytest.approx(expected, rel=1e-5)


def test_one_level_alone_is_its_own_loss() -> None:
    said, truth = logits(), labels()
    torch.testing.assert_close(levels_loss([said], truth, 2.0), cross_entropy_dice(said, truth, 2.0))


def test_guessing_costs_the_logarithm_of_the_classes() -> None:
    truth = labels(2, 30)
    even = torch.zeros(2, 3, 30, 30)
    dice = float(soft_dice_loss(even.softmax(dim=1), truth))
    assert float(cross_entropy_dice(even, truth)) == pytest.approx(math.log(3) + dice, rel=1e-5)


def test_half_precision_logits_lose_nothing() -> None:
    said, truth = 40 * logits(), labels()
    short = cross_entropy_dice(said.bfloat16(), truth)
    assert short.dtype == torch.float32
    assert float(short) == pytest.approx(float(cross_entropy_dice(said, truth)), rel=0.02)
