from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from segmentation.errors import ImageError, ParameterError
from segmentation.masks import cell_of, nucleus_of, read_mask
from segmentation.scores import dice
from segmentation.threshold import DEFAULT, METHODS, method, threshold

GLASS, RED, CYTOPLASM, NUCLEUS = (250, 245, 240), (215, 150, 150), (190, 165, 205), (90, 40, 140)


def disc(size: int, row: float, column: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    mask: np.ndarray = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    return mask


def smear(
    size: int = 160, *, cells: tuple[tuple[int, int], ...] = ((60, 70),), red: bool = True, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """A drawn field: white cells (cytoplasm 24, nucleus 15 pixels), red ones that touch the first, and its labels."""
    image = np.full((size, size, 3), GLASS, float)
    labels = np.zeros((size, size), np.uint8)
    spots = [(60, 70 + 24 + 8), (120, 30), (140, 80), (110, 130), (20, 20), (20, 140), (cells[0][0] + 33, 60)] if cells else [
        (40, 40), (40, 100), (110, 60), (120, 130)
    ]  # fmt: skip
    for row, column in spots if red else ():
        image[disc(size, row, column, 14)] = RED
    for row, column in cells:
        for radius, colour, label in ((24, CYTOPLASM, 1), (15, NUCLEUS, 2)):
            where = disc(size, row, column, radius)
            image[where], labels[where] = colour, label
    noise = np.random.default_rng(seed).normal(0, 3, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8), labels


@pytest.mark.parametrize("name", METHODS)
def test_every_method_finds_what_it_says_it_gives(name: str) -> None:
    image, truth = smear(red=False)
    before = image.copy()
    labels = threshold(image, name, **({"keep_luminosity": True} if name == "channel-mixer" else {}))
    np.testing.assert_array_equal(image, before)
    assert labels.shape == truth.shape
    assert labels.dtype == np.uint8
    gives = METHODS[name].gives
    assert (
        set(np.unique(labels))
        == {
            "nucleus": {0, 2},
            "cell": {0, 1},
            "nucleus and cytoplasm": {0, 1, 2},
        }[gives]
    )
    if "nucleus" in gives:
        assert dice(nucleus_of(labels), nucleus_of(truth)) > 0.9
    if gives != "nucleus":
        assert dice(cell_of(labels), cell_of(truth)) > 0.5


def test_default_separates_touching_red_cells() -> None:
    image, truth = smear()
    assert DEFAULT == "white-cells"
    labels = threshold(image)
    assert dice(nucleus_of(labels), nucleus_of(truth)) > 0.97
    assert dice(cell_of(labels), cell_of(truth)) > 0.95
    kept = threshold(image, red=False, neck=0.0)
    assert cell_of(kept).sum() > 1.2 * cell_of(truth).sum()


def test_default_finds_cells_anywhere_and_cut_ones_too() -> None:
    image, truth = smear(cells=((60, 70), (5, 60), (130, 150)), red=False)
    labels = threshold(image)
    assert dice(nucleus_of(labels), nucleus_of(truth)) > 0.97
    assert dice(cell_of(labels), cell_of(truth)) > 0.95
    whole = threshold(image, drop_cut=True)
    assert nucleus_of(whole)[60, 70]
    assert not whole[:20, 60].any()
    assert not whole[130, 150]


@pytest.mark.parametrize("red", [True, False])
def test_default_finds_nothing_where_there_is_no_white_cell(red: bool) -> None:
    image, truth = smear(cells=(), red=red)
    assert not truth.any()
    assert not threshold(image).any()
    assert not threshold(image, "nuclei").any()


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 2), (40, 30)])
def test_images_of_one_grey_are_empty(name: str, value: int, shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), value, np.uint8)
    labels = threshold(image, name)
    assert labels.shape == shape
    if not (name == "channel-mixer" and value < 98 / 1.49):
        assert not labels.any()


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"k-means", "k-medoids", "fuzzy-c-means"}))
@settings(max_examples=25, deadline=None)
@given(image=hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_any_image_gives_labels_of_its_size(name: str, image: np.ndarray) -> None:
    labels = threshold(image, name)
    assert labels.shape == image.shape[:2]
    assert labels.dtype == np.uint8
    assert labels.max() <= 2
    np.testing.assert_array_equal(labels, threshold(image, name))


@pytest.mark.parametrize("name", ["k-means", "k-medoids", "fuzzy-c-means"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 2), (3, 9)])
def test_clusters_of_tiny_images(name: str, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    labels = threshold(image, name)
    assert labels.shape == shape
    np.testing.assert_array_equal(labels, threshold(image, name))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((5, 5), np.uint8), r"a grey one \(5, 5\)"),
        (np.zeros((5, 5, 1), np.uint8), "a grey one"),
        (np.zeros((5, 5, 4), np.uint8), "RGBA .* drop the alpha"),
        (np.zeros((3, 5, 5), np.uint8), "channels last"),
        (np.zeros((2, 5, 5, 3), np.uint8), "one image"),
        (np.zeros((5, 5, 3), np.float32), "float32; scale it"),
        (np.zeros((0, 5, 3), np.uint8), "with pixels"),
        ("smear.png", "str"),
    ],
)
@pytest.mark.parametrize("name", ["white-cells", "hsv"])
def test_what_is_no_rgb_image_is_refused(name: str, image: np.ndarray, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        threshold(image, name)


def test_names_and_settings_are_checked() -> None:
    image, _ = smear()
    with pytest.raises(
        ParameterError, match=r"one of white-cells, .* but got 'multiotsu'; did you mean multi-otsu\?"
    ):
        threshold(image, "multiotsu")
    with pytest.raises(ParameterError, match="choose one of them"):
        method("")
    with pytest.raises(
        ParameterError, match=r"`multi-otsu` to be given only classes, .*; did you mean sigma\?"
    ):
        threshold(image, "multi-otsu", sigmaa=1)
    with pytest.raises(ParameterError, match=r"a whole number from 2 to 5, but got 3\.5"):
        threshold(image, "multi-otsu", classes=3.5)
    with pytest.raises(ParameterError, match="a number from 0 to 10, but got nan"):
        threshold(image, "multi-otsu", sigma=float("nan"))
    with pytest.raises(ParameterError, match="a number from 0 to 10, but got True"):
        threshold(image, "multi-otsu", sigma=True)
    with pytest.raises(ParameterError, match="true or false, but got 1"):
        threshold(image, "channel-mixer", otsu=1)


@pytest.mark.parametrize("entry", METHODS.values(), ids=METHODS)
def test_every_setting_says_its_range_and_meaning(entry: object) -> None:
    rows = entry.parameters.table()  # type: ignore[attr-defined]
    assert rows
    assert all(all(cell for cell in row) for row in rows)


@pytest.mark.realdata
@pytest.mark.parametrize(("index", "nucleus", "cell"), [(1, 0.955, 0.93), (2, 0.955, 0.85)])
def test_default_on_real_smears(realdata: Path, index: int, nucleus: float, cell: float) -> None:
    images = sorted((realdata / "wbc" / f"Dataset {index}").glob("*.bmp"))[:: 3 if index == 1 else 1]
    scores = []
    for path in images:
        labels = threshold(np.asarray(Image.open(path).convert("RGB")))
        truth = read_mask(path.with_suffix(".png"), encoding="zheng", snap=True)
        scores.append((dice(nucleus_of(labels), nucleus_of(truth)), dice(cell_of(labels), cell_of(truth))))
    found_nucleus, found_cell = np.mean(scores, axis=0)
    assert found_nucleus >= nucleus
    assert found_cell >= cell
