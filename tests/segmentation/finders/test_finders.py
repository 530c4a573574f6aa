"""White cells by any name: what is found is what the method itself finds, and what does not exist is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segmentation.errors import ModelError, ParameterError
from segmentation.files import write_tensors
from segmentation.finders import NETWORK, check_finder, make_finder, weight_file
from segmentation.networks import NetworkRecipe, create_network
from segmentation.predict import Segmenter
from segmentation.threshold import METHODS, threshold
from segmentation.weights import ModelCard, load_shipped, save_network
from stages.data.smears.masked import render_masked


@pytest.fixture(scope="module")
def field() -> np.ndarray:
    images, _ = render_masked(1, 3, side=128)
    return images[0]


def save_tiny(path: Path, width: int = 2) -> Path:
    """A network of random weights, saved as `mtl segment train` saves one."""
    recipe = NetworkRecipe(width=width, depth=2)
    save_network(create_network(recipe), path, ModelCard("tiny", recipe, "nothing", "Apache-2.0"))
    return path


@pytest.mark.parametrize("name", METHODS)
def test_a_method_finds_what_thresholding_finds(name: str, field: np.ndarray) -> None:
    found = make_finder(name)(field)
    assert found.dtype == bool
    np.testing.assert_array_equal(found, threshold(field, name) > 0)


def test_settings_reach_the_method(field: np.ndarray) -> None:
    asked = {"level": 200.0, "small": 0.0}
    found = make_finder("channel-mixer", asked)(field)
    np.testing.assert_array_equal(found, threshold(field, "channel-mixer", **asked) > 0)
    assert found.sum() > make_finder("channel-mixer")(field).sum()


def test_the_network_finds_what_its_segmenter_finds(field: np.ndarray) -> None:
    found = make_finder(NETWORK)(field)
    np.testing.assert_array_equal(found, Segmenter(load_shipped()).cells(field).instances > 0)
    assert found.any()
    scaled = make_finder(NETWORK, {"cell_size": 30.0, "any_hue": True})(field)
    assert not np.array_equal(scaled, found)


def test_own_weights_are_taken_by_file_or_folder(tmp_path: Path, field: np.ndarray) -> None:
    path = save_tiny(tmp_path / "weights.safetensors")
    assert weight_file(tmp_path) == weight_file(path) == path
    assert make_finder(NETWORK, weights=tmp_path)(field).shape == field.shape[:2]


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("watershd", {}, "did you mean watershed"),
        ("residual-unet", {}, "did you mean residual_unet"),
        ("channel_mixer", {}, "did you mean channel-mixer"),
        ("k-means", {"sigm": 1}, "`k-means` to be given only"),
        ("residual_unet", {"cell_size": "big"}, "`cell_size` to be a number from 0 to 1200"),
        ("hsv", {"hue_low": 400}, "hue_low"),
        ("hsv", {"saturation_low": 0.8, "saturation_high": 0.2}, "`saturation_low` to be at most"),
        ("hsv", {"value_low": 0.9}, "`value_low` to be at most"),
    ],
)
def test_what_does_not_exist_is_one_sentence(name: str, given: dict[str, object], said: str) -> None:
    with pytest.raises(ParameterError, match=said) as caught:
        check_finder(name, given)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_hue_may_go_round_through_red() -> None:
    given = {"hue_low": 300, "hue_high": 20}
    check_finder("hsv", given)
    image = np.full((60, 60, 3), (235, 225, 230), np.uint8)
    image[15:45, 15:45] = (150, 20, 45)  # a hue of 348 degrees
    assert make_finder("hsv", given)(image)[20:40, 20:40].all()
    assert not make_finder("hsv", {"hue_low": 20, "hue_high": 300})(image)[20:40, 20:40].any()


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no weights\.safetensors"):
        weight_file(tmp_path)
    write_tensors(tmp_path / "weights.safetensors", {})
    with pytest.raises(ModelError, match=r"no card weights\.json"):
        make_finder(NETWORK, weights=tmp_path)
    (tmp_path / "weights.json").write_text('{"best": 1}')
    with pytest.raises(ModelError, match="to be the card of"):
        make_finder(NETWORK, weights=tmp_path)
    save_tiny(tmp_path / "weights.safetensors")
    save_tiny(tmp_path / "other.safetensors", width=3)
    (tmp_path / "weights.safetensors").write_bytes((tmp_path / "other.safetensors").read_bytes())
    with pytest.raises(ModelError, match="damaged or another"):
        make_finder(NETWORK, weights=tmp_path)
