import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.errors import ModelError
from segmentation.networks import NetworkRecipe, SegmentationNetwork, create_network, fused, pad_to_multiple


@pytest.fixture(scope="module")
def tiny() -> SegmentationNetwork:
    torch.manual_seed(0)
    return create_network(NetworkRecipe(width=2, depth=4)).eval()


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 70), width=st.integers(1, 70))
def test_any_size_keeps_its_size(tiny: SegmentationNetwork, height: int, width: int) -> None:
    with torch.inference_mode():
        assert tiny(torch.rand(1, 3, height, width)).shape == (1, 3, height, width)


def test_padding_reflects_without_repeating_the_edge() -> None:
    row = torch.tensor([1.0, 2.0, 3.0]).view(1, 1, 1, 3)
    assert pad_to_multiple(row, 4)[0, 0, 0].tolist() == [1, 2, 3, 2]
    assert pad_to_multiple(row, 8)[0, 0, 2].tolist() == [1, 2, 3, 2, 1, 2, 3, 2]


def test_a_multiple_is_left_alone() -> None:
    images = torch.rand(1, 3, 8, 16)
    assert pad_to_multiple(images, 8) is images


def test_normalisation_comes_from_the_recipe() -> None:
    network = SegmentationNetwork(
        torch.nn.Identity(), NetworkRecipe(mean=(0.5, 0.5, 0.5), std=(0.5, 0.25, 0.1)), multiple=1
    )
    torch.testing.assert_close(network(torch.ones(1, 3, 1, 1)).flatten(), torch.tensor([1.0, 2.0, 5.0]))


@pytest.mark.parametrize(
    ("architecture", "encoder"), [("unet", "resnet18"), ("fpn", "tu-mobilenetv3_small_100")]
)
def test_smp_architectures_speak_the_same_interface(architecture: str, encoder: str) -> None:
    network = create_network(NetworkRecipe(architecture=architecture, encoder=encoder)).eval()
    with torch.inference_mode():
        assert network(torch.rand(1, 3, 33, 50)).shape == (1, 3, 33, 50)


def test_unknown_names_list_the_known() -> None:
    with pytest.raises(ModelError, match=r"residual-unet.*unet"):
        create_network(NetworkRecipe(architecture="unett"))
    with pytest.raises(ModelError, match="resnet18"):
        create_network(NetworkRecipe(architecture="unet", encoder="resnet17"))
    with pytest.raises(ModelError, match="another architecture"):
        create_network(NetworkRecipe(encoder="resnet18"))


def test_folded_batch_norms_are_the_same_function() -> None:
    torch.manual_seed(0)
    network = create_network(NetworkRecipe(width=4, depth=2))
    with torch.no_grad():
        network.forward_levels(torch.rand(8, 3, 32, 32))  # running statistics that are not 0 and 1
        for name, value in network.named_parameters():
            if "norm" in name:
                value.uniform_(0.5, 1.5)
    network.eval()
    folded = fused(network)
    images = torch.rand(2, 3, 40, 24)
    with torch.inference_mode():
        torch.testing.assert_close(folded(images), network(images), rtol=1e-4, atol=1e-5)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
