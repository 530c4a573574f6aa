import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.segmentation import watershed

from segmentation.cells import CellSettings, find_cells, split
from segmentation.cells.split import split_parts


def _bumps(seed: int, shape: tuple[int, int], sigma: float, share: float) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), sigma)
    return np.asarray(ndimage.binary_fill_holes(smooth > np.quantile(smooth, 1 - share)))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**16), st.floats(0.6, 6), st.floats(0.1, 0.9), st.integers(1, 12))
def test_peaks_are_those_of_scikit_image(seed: int, sigma: float, share: float, levels: int) -> None:
    mask = _bumps(seed, (70, 60), sigma, share)
    numbered, count = ndimage.label(mask)
    distance = cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, 5)
    distance = np.round(distance * levels).astype(np.float32) / levels  # ties and plateaus
    for part in range(1, count + 1):
        inside = numbered == part
        if len(np.unique(distance[inside])) == 1:
            continue  # flat: scikit-image takes single pixels for peaks, and nothing is split either way
        expected = peak_local_max(
            distance, min_distance=2, threshold_abs=0.2, labels=inside.astype(np.int32), exclude_border=False
        )
        np.testing.assert_array_equal(split._peaks(distance, inside, 0.2), expected)


@pytest.mark.parametrize("band", [3, 7, 512])
def test_peaks_do_not_depend_on_bands(band: int, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = _bumps(3, (64, 50), 3, 0.6)
    distance = cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, 5)
    expected = split._peaks(distance, mask, 0.0)
    monkeypatch.setattr(split, "_BAND", band)
    np.testing.assert_array_equal(split._peaks(distance, mask, 0.0), expected)
    assert len(expected) > 5


def test_basins_are_those_of_scikit_image_and_nearly_so_at_a_reduced_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mask = np.zeros((300, 420), np.uint8)
    for x in range(60, 400, 75):
        for y in (60, 135, 210):
            cv2.circle(mask, (x, y), 40, 1, -1)
    inside = mask.view(bool)
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    peaks = split._peaks(cv2.GaussianBlur(distance, (0, 0), 2), inside, 0.0)
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    expected = watershed(-distance, markers, mask=inside)
    np.testing.assert_array_equal(split._flooded(distance, peaks, inside), expected)
    monkeypatch.setattr(split, "_FLOODED", 10_000)
    reduced = split._flooded(distance, peaks, inside)
    np.testing.assert_array_equal(reduced > 0, inside)
    assert (reduced == expected)[inside].mean() > 0.97


def test_a_huge_part_is_smoothed_as_ever_at_a_reduced_size(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = np.zeros((900, 1000), np.uint8)
    cv2.circle(mask, (500, 450), 420, 1, -1)
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    expected = cv2.GaussianBlur(distance, (0, 0), 0.04 * float(distance.max()))
    exact = split._smooth(distance.copy())
    np.testing.assert_array_equal(exact, expected)
    monkeypatch.setattr(split, "_BLUR", 1)
    np.testing.assert_allclose(split._smooth(distance), expected, atol=2.0)


def test_the_kernel_of_a_huge_part_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    # A field that is one slanting edge: the kernel was 0.04 of its width for every pixel.
    rows, columns = np.ogrid[:3000, :3000]
    mask = rows + columns < 3600
    monkeypatch.setattr(split, "_BLUR", 1_000_000)
    taps: list[float] = []
    real = cv2.GaussianBlur

    def blur(image: np.ndarray, size: tuple[int, int], sigma: float, **more: object) -> np.ndarray:
        taps.append(sigma * image.size)
        return real(image, size, sigma, **more)

    monkeypatch.setattr(cv2, "GaussianBlur", blur)
    split_parts(mask, 60, 0.75)
    assert sum(taps) < 2 * split._REDUCED * mask.size


def test_many_cells_in_one_box_cost_no_pass_each() -> None:
    # Beads on threads that hang from one thread: one part, more than a thousand cells.
    mask = np.zeros((1600, 1600), np.uint8)
    mask[:, 20] = 1
    for y in range(20, 1600, 40):
        mask[y] = 1
        for x in range(20, 1600, 40):
            cv2.circle(mask, (x, y), 15, 1, -1)
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    cells = mask.view(bool)
    flooding, splitting = [], []
    for _ in range(3):  # the least of three: another process may take the caches away
        began = time.process_time()
        split._flooded(distance, split._peaks(distance, cells, 0.0), cells)
        flooding.append(time.process_time() - began)
        began = time.process_time()
        parts = split_parts(cells, 60, 0.75)
        splitting.append(time.process_time() - began)
        assert len(np.unique(parts)) > 1000
    assert min(splitting) < 2 * min(flooding)  # with a pass for each cell it was three times as long


def test_slanting_lines_do_not_cost_their_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, columns = np.mgrid[:600, :600]
    labels = np.where((rows + columns) % 40 < 20, 2, 0).astype(np.uint8)
    looked: list[int] = []
    real = split._peaks
    monkeypatch.setattr(
        split, "_peaks", lambda distance, *more: looked.append(distance.size) or real(distance, *more)
    )
    find_cells(labels)
    assert sum(looked) <= 4 * labels.size
    # A crowd as large as the image, and cells inside its box, are split as ever.
    crowd = np.zeros((600, 600), np.uint8)
    for place in range(30, 580, 34):
        cv2.circle(crowd, (place, place), 20, 2, -1)
        cv2.circle(crowd, (600 - place, (place * 7) % 560 + 20), 9, 2, -1)
    found = find_cells(crowd, settings=CellSettings(min_share=0.0)).cells
    assert len(found) > 20
