import cv2
import numpy as np
import pytest
import torch
from torch import nn

from segmentation import predict
from segmentation.errors import ImageError, ParameterError
from segmentation.light import BACKGROUND_LEVEL, background_gains
from segmentation.networks import NetworkRecipe, SegmentationNetwork
from segmentation.predict import PredictSettings, Segmenter
from segmentation.tiles import TileSettings


class _ByGreen(nn.Module):
    # A perfect network for painted discs: green says what a pixel is.
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        green = images[:, 1]
        return torch.stack([(green - 0.75) * 100, torch.zeros_like(green), (0.4 - green) * 100], dim=1)


def _segmenter(**settings: object) -> Segmenter:
    recipe = NetworkRecipe(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    network = SegmentationNetwork(_ByGreen(), recipe, multiple=16)
    return Segmenter(network, PredictSettings(tiles=TileSettings(precision="32-true"), **settings))  # type: ignore[arg-type]


def _image(radius: int, height: int = 300, width: int = 411) -> np.ndarray:
    image = np.full((height, width, 3), (250, 240, 170), np.uint8)
    for x in (width // 3, 2 * width // 3):
        cv2.circle(image, (x, height // 2), radius, (200, 150, 160), -1)
        cv2.circle(image, (x, height // 2), radius * 2 // 3, (90, 40, 120), -1)
    return image


@pytest.mark.parametrize("radius", [12, 30, 60])
def test_cells_of_any_size_are_found_whole(radius: int) -> None:
    image = _image(radius)
    cells = _segmenter().cells(image).cells
    assert len(cells) == 2
    for cell in cells:
        assert cell.area == pytest.approx(np.pi * radius**2, rel=0.08)
        assert cell.nucleus_area / cell.area == pytest.approx(4 / 9, rel=0.15)


@pytest.mark.parametrize("radius", [12, 30, 60])
def test_scale_brings_cells_to_the_size_of_training(radius: int) -> None:
    scale = _segmenter(cell_size=50.0).estimate_scale(_image(radius))
    assert scale * 2 * radius == pytest.approx(50, rel=0.1)


@pytest.mark.parametrize("corner", [(150, 200), (1350, 1700)])
def test_large_fields_are_looked_at_where_their_cells_are(corner: tuple[int, int]) -> None:
    image = np.full((1500, 2000, 3), (250, 240, 170), np.uint8)
    for shift in (0, 140):
        cv2.circle(image, (corner[1] + shift, corner[0]), 60, (200, 150, 160), -1)
        cv2.circle(image, (corner[1] + shift, corner[0]), 42, (90, 40, 120), -1)
    segmenter = _segmenter(cell_size=60.0)
    seen: list[int] = []
    segmenter.network.register_forward_pre_hook(lambda _, given: seen.append(given[0][0, 0].numel()))
    assert segmenter.estimate_scale(image) == pytest.approx(0.5, rel=0.1)
    assert max(seen) <= 320 * 320
    assert sum(seen) < 0.15 * image.shape[0] * image.shape[1]


def test_dark_teal_red_cells_are_no_nuclei_unless_every_colour_may_pass() -> None:
    image = _image(30)
    cv2.circle(image, (60, 60), 30, (110, 160, 130), -1)  # haemoglobin takes red and blue
    cv2.circle(image, (60, 60), 25, (45, 90, 60), -1)
    every = _segmenter(violet=None).labels(image)
    assert every[60, 60] == 2
    found = _segmenter().labels(image)
    assert found[60, 60] == 0
    assert len(_segmenter().cells(image).cells) == 2
    np.testing.assert_array_equal(found[100:], every[100:])
    only = np.full((120, 120, 3), (250, 240, 170), np.uint8)
    only[30:90, 30:90] = image[30:90, 30:90]  # where all nuclei are like that, it is the stain
    assert _segmenter(scale=1.0).labels(only)[60, 60] == 2
    with pytest.raises(ParameterError, match="violet"):
        PredictSettings(violet=0.0)


def test_probabilities_sum_to_one_at_the_size_of_the_image() -> None:
    found = _segmenter().probabilities(_image(20, 151, 203))
    assert found.shape == (3, 151, 203)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-4)


def test_an_empty_image_has_no_cells() -> None:
    assert _segmenter().cells(np.full((60, 80, 3), 230, np.uint8)).cells == ()


def test_a_given_scale_is_kept_and_checked() -> None:
    assert len(_segmenter(scale=0.5).cells(_image(30)).cells) == 2
    with pytest.raises(ParameterError, match="scale"):
        PredictSettings(scale=9.0)


def test_images_are_checked() -> None:
    with pytest.raises(ImageError, match="uint8 RGB"):
        _segmenter().labels(np.zeros((10, 10), np.uint8))


def test_gains_whiten_the_background() -> None:
    image = _image(30)
    gains = background_gains(image)
    np.testing.assert_allclose(np.asarray(gains) * image[0, 0] / 255, BACKGROUND_LEVEL, rtol=0.01)


def _seen(segmenter: Segmenter) -> list[int]:
    seen: list[int] = []
    segmenter.network.register_forward_pre_hook(lambda _, given: seen.append(given[0][0, 0].numel()))
    return seen


def test_where_nothing_is_found_an_image_is_not_enlarged_beyond_the_budget() -> None:
    image = np.full((900, 1200, 3), (250, 240, 170), np.uint8)
    cv2.circle(image, (600, 450), 60, (230, 200, 150), -1)  # a pale red cell
    segmenter = _segmenter(pixels=400_000)
    seen = _seen(segmenter)
    assert not segmenter.labels(image).any()
    # At most half of the budget at once; the looks before it are a quarter of the next one each.
    assert max(seen) <= 200_000
    assert sum(seen) < 2.5 * 200_000
    found = _segmenter(pixels=400_000, scale=3.0)
    seen = _seen(found)
    found.labels(image)
    assert sum(seen) < 1.5 * image.shape[0] * image.shape[1]  # as it is, since that is more than the budget


def test_cells_of_a_field_above_the_budget_are_found_all_the_same() -> None:
    image = np.full((900, 1200, 3), (250, 240, 170), np.uint8)
    for x in (200, 700, 1000):
        cv2.circle(image, (x, 450), 30, (200, 150, 160), -1)
        cv2.circle(image, (x, 450), 20, (90, 40, 120), -1)
    assert len(_segmenter(pixels=100_000).cells(image).cells) == 3


def test_blocks_give_what_the_whole_image_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.full((700, 900, 3), (250, 240, 170), np.uint8)
    rng = np.random.default_rng(0)
    for x, y in rng.integers(30, 670, (40, 2)).tolist():
        cv2.circle(image, (x, y), 30, (200, 150, 160), -1)
        cv2.circle(image, (x, y), 20, (90, 40, 120), -1)
    told: list[tuple[int, int]] = []
    whole = _segmenter().labels(image)
    monkeypatch.setattr(predict, "_BLOCK", 256)
    blocks = _segmenter().labels(image, lambda done, total: told.append((done, total)))
    assert (whole != blocks).mean() < 0.005  # where edges were resized from another corner
    assert told[0] == (0, 0)
    assert [done for done, _ in told[1:]] == [*range(1, len(told))]
    assert told[-1] == (len(told) - 1, len(told) - 1)
    assert len(told) > 12


@pytest.mark.parametrize("side", [1, 255, 256, 257, 700, 1001])
def test_blocks_cover_every_pixel_once(monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    monkeypatch.setattr(predict, "_BLOCK", 256)
    covered = np.zeros((side, 400), int)
    numbers = np.arange(covered.size).reshape(covered.shape)
    for block in predict._blocks(side, 400, 0.5, 64):
        covered[block.kept] += 1
        np.testing.assert_array_equal(numbers[block.seen][block.inner], numbers[block.kept])
    assert (covered == 1).all()
