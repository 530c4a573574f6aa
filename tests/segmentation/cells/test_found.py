import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage
from skimage.measure import regionprops

from segmentation.cells import CellSettings, crop_cell, find_cells, find_instances, keep_cells, main_cell
from segmentation.errors import ParameterError

Disc = tuple[int, int, int, int]  # x, y, radius, radius of the nucleus


def _draw(discs: list[Disc], shape: tuple[int, int] = (120, 160)) -> np.ndarray:
    labels = np.zeros(shape, np.uint8)
    for x, y, radius, _ in discs:
        cv2.circle(labels, (x, y), radius, 1, -1)
    for x, y, _, nucleus in discs:
        cv2.circle(labels, (x, y), nucleus, 2, -1)
    return labels


def test_one_disc_is_measured() -> None:
    labels = _draw([(80, 60, 20, 14)])
    image = np.full((120, 160, 3), (10, 20, 30), np.uint8)
    (cell,) = find_cells(labels, image).cells
    assert cell.centroid == pytest.approx((80, 60), abs=0.1)
    assert cell.box == (60, 40, 101, 81)
    assert cell.area == pytest.approx(np.pi * 20**2, rel=0.05)
    assert cell.nucleus_to_cytoplasm == pytest.approx(14**2 / (20**2 - 14**2), rel=0.1)
    assert cell.eccentricity < 0.2
    assert cell.solidity > 0.95
    assert cell.mean_colour == (10, 20, 30)
    assert not cell.touches_border


@pytest.mark.parametrize("gap", [1.9, 1.75, 1.6])
@pytest.mark.parametrize("angle", [0.0, 0.7, 1.57])
def test_touching_discs_are_split(gap: float, angle: float) -> None:
    step = gap * 20
    other = (round(60 + step * np.cos(angle)), round(40 + step * np.sin(angle)), 20, 17)
    found = find_cells(_draw([(60, 40, 20, 17), other]))
    assert len(found.cells) == 2
    assert {found.instances[40, 60], found.instances[other[1], other[0]]} == {1, 2}


def test_lobes_of_one_nucleus_stay_one_cell() -> None:
    labels = _draw([(80, 60, 30, 8)])
    cv2.circle(labels, (66, 52), 8, 2, -1)
    cv2.circle(labels, (94, 68), 8, 2, -1)
    assert len(find_cells(labels).cells) == 1


def test_an_oval_cell_stays_one() -> None:
    labels = np.zeros((120, 160), np.uint8)
    cv2.ellipse(labels, (80, 60), (40, 22), 30, 0, 360, 1, -1)
    cv2.ellipse(labels, (80, 60), (30, 15), 30, 0, 360, 2, -1)
    assert len(find_cells(labels).cells) == 1


def test_small_parts_and_parts_without_nucleus_are_dropped() -> None:
    found = find_cells(_draw([(40, 40, 20, 14), (100, 40, 3, 3), (100, 90, 18, 0)]))
    assert [cell.centroid for cell in found.cells] == [pytest.approx((40, 40), abs=0.2)]
    assert found.instances.max() == 1


def test_cells_at_the_border_are_marked() -> None:
    inner, cut = sorted(
        find_cells(_draw([(60, 60, 20, 14), (155, 60, 20, 14)])).cells, key=lambda c: c.centroid
    )
    assert not inner.touches_border
    assert cut.touches_border


def test_nothing_is_found_in_nothing() -> None:
    found = find_cells(np.zeros((20, 30), np.uint8))
    assert found.cells == ()
    assert found.instances.shape == (20, 30)
    assert main_cell(found) is None


def test_the_main_cell_is_large_and_central() -> None:
    found = find_cells(_draw([(80, 60, 20, 14), (20, 20, 18, 12)]), settings=CellSettings())
    main = main_cell(found)
    assert main is not None
    assert main.centroid == pytest.approx((80, 60), abs=0.2)
    kept = keep_cells(_draw([(80, 60, 20, 14), (20, 20, 18, 12)]), found, [main])
    assert kept[60, 80] == 2
    assert kept[20, 20] == 0


def test_crops_are_centred_and_blackened() -> None:
    labels = _draw([(150, 60, 20, 14)])
    image = np.full((120, 160, 3), 200, np.uint8)
    found = find_cells(labels)
    plain = crop_cell(image, found, found.cells[0], size=64)
    black = crop_cell(image, found, found.cells[0], size=64, black=True)
    assert plain.shape == black.shape == (64, 64, 3)
    assert (black > 0).any(axis=2).sum() == found.cells[0].area
    assert plain[:, :16].min() == 200
    assert plain[:, -8:].max() == 0  # outside the image


def test_image_and_labels_must_fit() -> None:
    with pytest.raises(ParameterError, match=r"\(10, 10\)"):
        find_cells(np.zeros((10, 10), np.uint8), np.zeros((9, 10, 3), np.uint8))


def test_an_image_that_is_nothing_but_cell_is_one_cell() -> None:
    found = find_cells(np.full((40, 50), 2, np.uint8))
    assert [(cell.area, cell.touches_border) for cell in found.cells] == [(2000, True)]


SHAPES = st.tuples(st.integers(1, 14), st.integers(1, 14))
ALL = CellSettings(min_area=1, min_share=0.0, min_nucleus=0.0)


@settings(max_examples=200, deadline=None)
@given(arrays.arrays(np.uint8, SHAPES, elements=st.integers(0, 2)))
def test_cells_cover_the_filled_mask_once_and_each_is_connected(labels: np.ndarray) -> None:
    instances = find_instances(labels, ALL)
    np.testing.assert_array_equal(instances > 0, ndimage.binary_fill_holes(labels > 0))
    numbers = np.unique(instances[instances > 0])
    assert numbers.tolist() == list(range(1, len(numbers) + 1))
    for number in numbers if not instances.all() else ():
        assert ndimage.label(instances == number)[1] == 1


def test_instances_are_those_of_the_cells() -> None:
    labels = _draw([(40, 40, 20, 14), (75, 40, 20, 14), (120, 80, 22, 15)])
    np.testing.assert_array_equal(find_instances(labels), find_cells(labels).instances)
    assert find_instances(labels).max() == 3


@settings(max_examples=100, deadline=None)
@given(
    axes=st.tuples(st.integers(12, 30), st.integers(12, 30)),
    angle=st.integers(0, 179),
    bite=st.integers(0, 12),
)
def test_shapes_are_measured_as_scikit_image_does(axes: tuple[int, int], angle: int, bite: int) -> None:
    labels = np.zeros((90, 100), np.uint8)
    cv2.ellipse(labels, (50, 45), axes, angle, 0, 360, 2, -1)
    cv2.circle(labels, (50 + axes[0], 45), bite, 0, -1)
    cells = find_cells(labels, settings=CellSettings(min_area=40, min_share=0.0, neck=0.0))
    for cell, region in zip(cells.cells, regionprops(cells.instances), strict=True):
        assert cell.area == region.area
        top, left, bottom, right = region.bbox
        assert cell.box == (left, top, right, bottom)
        assert cell.centroid == pytest.approx(region.centroid[::-1], abs=1e-6)
        assert cell.eccentricity == pytest.approx(region.eccentricity, abs=1e-6)
        assert cell.solidity == pytest.approx(region.solidity, abs=0.03)
