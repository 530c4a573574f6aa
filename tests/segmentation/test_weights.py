from pathlib import Path

import pytest
import torch

from segmentation.errors import ModelError
from segmentation.networks import NetworkRecipe, SegmentationNetwork, create_network
from segmentation.weights import SHIPPED, ModelCard, load_network, load_shipped, read_card, save_network


@pytest.fixture
def network() -> SegmentationNetwork:
    torch.manual_seed(3)
    return create_network(NetworkRecipe(width=2, depth=2)).eval()


def _save(network: SegmentationNetwork, path: Path, half: bool = True) -> ModelCard:
    card = ModelCard(
        name="tiny", recipe=network.recipe, data="none", licence="Apache-2.0", scores={"x": {"dice": 0.5}}
    )
    return save_network(network, path, card, half=half)


@pytest.mark.parametrize(("half", "tolerance"), [(True, 1e-2), (False, 0)])
def test_round_trip(network: SegmentationNetwork, tmp_path: Path, half: bool, tolerance: float) -> None:
    path = tmp_path / "tiny.safetensors"
    card = _save(network, path, half)
    loaded = load_network(path)
    images = torch.rand(1, 3, 20, 24)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(images), network(images), rtol=0, atol=tolerance)
    assert read_card(path) == card
    assert not loaded.training


def test_a_changed_byte_is_noticed(network: SegmentationNetwork, tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    _save(network, path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="sha256"):
        load_network(path)


def test_missing_files_are_named(network: SegmentationNetwork, tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    with pytest.raises(ModelError, match=r"tiny\.json"):
        load_network(path)
    _save(network, path)
    path.unlink()
    with pytest.raises(ModelError, match=r"tiny\.safetensors"):
        load_network(path)


def test_the_shipped_model_loads_and_is_small() -> None:
    network = load_shipped()
    assert SHIPPED.stat().st_size <= 8 * 1024**2
    card = read_card(SHIPPED)
    assert card.recipe == network.recipe
    assert "rendered" in card.data
    assert card.scores
