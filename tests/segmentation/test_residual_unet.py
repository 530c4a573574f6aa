import pytest
import torch

from segmentation.errors import ModelError
from segmentation.residual_unet import ResidualBlock, ResidualUNet


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 8), (8, 8)])
def test_block_keeps_the_size(inputs: int, outputs: int) -> None:
    block = ResidualBlock(inputs, outputs)
    assert block(torch.randn(2, inputs, 6, 10)).shape == (2, outputs, 6, 10)


def test_block_without_its_convolutions_is_the_shortcut() -> None:
    block = ResidualBlock(4, 4).eval()
    torch.nn.init.zeros_(block.second.weight)
    features = torch.rand(1, 4, 5, 5)
    torch.testing.assert_close(block(features), features)


@pytest.mark.parametrize(("width", "depth"), [(4, 1), (4, 3), (2, 5)])
def test_logits_have_the_size_of_the_image(width: int, depth: int) -> None:
    network = ResidualUNet(width, depth).eval()
    side = 2 * network.multiple
    assert network(torch.rand(1, 3, side, side + network.multiple)).shape == (
        1,
        3,
        side,
        side + network.multiple,
    )


def test_deep_supervision_gives_one_map_a_level() -> None:
    network = ResidualUNet(2, 3, deep_supervision=True).eval()
    images = torch.rand(1, 3, 16, 24)
    levels = network.forward_levels(images)
    assert [tuple(level.shape[2:]) for level in levels] == [(16, 24), (8, 12), (4, 6)]
    torch.testing.assert_close(levels[0], network(images))


def test_every_parameter_learns() -> None:
    network = ResidualUNet(2, 2, deep_supervision=True)
    sum(level.square().mean() for level in network.forward_levels(torch.rand(2, 3, 16, 16))).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "arguments"), [("width", (0, 4)), ("depth", (8, 0)), ("classes", (8, 2, 1))]
)
def test_limits_are_named(name: str, arguments: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match=name):
        ResidualUNet(*arguments)
