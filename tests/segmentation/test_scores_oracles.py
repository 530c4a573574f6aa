"""Scores, cells and crops against scikit-learn, scikit-image, SciPy and geometry."""

from __future__ import annotations

import math
from itertools import permutations
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage, optimize
from scipy.spatial import KDTree
from skimage.measure import label as components
from skimage.segmentation import find_boundaries
from sklearn.metrics import f1_score, jaccard_score

from segmentation.cells import (
    Cells,
    CellSettings,
    crop_cell,
    find_cells,
    find_instances,
    keep_cells,
    typical_area,
)
from segmentation.crops import CropSettings, Pairs, read_image, sample_batch
from segmentation.errors import ImageError
from segmentation.scores import (
    aji,
    boundary_f1,
    dice,
    hd95,
    iou,
    match_centroids,
    outside,
    score_instances,
    success_rate,
)

MASKS = hnp.arrays(np.bool_, (9, 11))
INSTANCES = hnp.arrays(np.int32, (8, 9), elements=st.integers(0, 4))


def borders(mask: np.ndarray) -> np.ndarray:
    """Coordinates of border pixels, by scikit-image; the image's edge ends a mask."""
    return np.argwhere(find_boundaries(np.pad(mask, 1), connectivity=1, mode="inner")[1:-1, 1:-1])


# --- masks -----------------------------------------------------------------------------------------------------------


@given(MASKS, MASKS)
def test_overlap_is_scikit_learns(one: np.ndarray, other: np.ndarray) -> None:
    if one.any() or other.any():
        assert dice(one, other) == pytest.approx(f1_score(other.ravel(), one.ravel(), zero_division=0))
        assert iou(one, other) == pytest.approx(jaccard_score(other.ravel(), one.ravel(), zero_division=0))


@given(MASKS, MASKS, st.floats(0, 5))
def test_borders_are_matched_as_nearest_neighbours(
    one: np.ndarray, other: np.ndarray, tolerance: float
) -> None:
    if not one.any() or not other.any():
        return
    first, second = borders(one), borders(other)
    there, back = KDTree(second).query(first)[0], KDTree(first).query(second)[0]
    expected = max(np.percentile(there, 95), np.percentile(back, 95))
    assert hd95(one, other) == pytest.approx(expected)
    precision, recall = (there <= tolerance).mean(), (back <= tolerance).mean()
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0
    assert boundary_f1(one, other, tolerance) == pytest.approx(f1)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0, 1))
def test_success_is_a_share(values: list[float], threshold: float) -> None:
    assert success_rate(values, threshold) == sum(value > threshold for value in values) / len(values)


# --- cells one by one ------------------------------------------------------------------------------------------------


def table(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """IoU of every true (row) and predicted (column) cell."""
    names = [np.unique(cells[cells > 0]) for cells in (true, predicted)]
    return np.array(
        [
            [
                ((true == t) & (predicted == p)).sum() / ((true == t) | (predicted == p)).sum()
                for p in names[1]
            ]
            for t in names[0]
        ]
    ).reshape(len(names[0]), len(names[1]))


@given(INSTANCES, INSTANCES, st.floats(0.5, 0.95))
def test_matches_are_those_of_the_best_assignment(
    predicted: np.ndarray, true: np.ndarray, threshold: float
) -> None:
    shares = table(predicted, true)
    found = score_instances(predicted, true, threshold)
    assert (found.true, found.predicted) == shares.shape
    if not shares.size:
        return
    rows, columns = optimize.linear_sum_assignment(np.where(shares > threshold, -shares, 0))
    hits = shares[rows, columns][shares[rows, columns] > threshold]
    assert found.matched == len(hits)
    assert found.pq == pytest.approx(hits.sum() / (sum(shares.shape) / 2))
    assert found.f1 == pytest.approx(2 * len(hits) / sum(shares.shape))


@given(INSTANCES, INSTANCES)
def test_the_aggregated_index_is_its_definition(predicted: np.ndarray, true: np.ndarray) -> None:
    shares = table(predicted, true)
    if not shares.size:
        assert aji(predicted, true) == float(shares.shape == (0, 0))
        return
    names = [np.unique(cells[cells > 0]) for cells in (true, predicted)]
    shared = union = 0
    used = set()
    for row, name in enumerate(names[0]):
        best = int(shares[row].argmax())
        if shares[row, best] == 0:
            union += (true == name).sum()
            continue
        used.add(best)
        shared += ((true == name) & (predicted == names[1][best])).sum()
        union += ((true == name) | (predicted == names[1][best])).sum()
    union += sum((predicted == name).sum() for place, name in enumerate(names[1]) if place not in used)
    assert aji(predicted, true) == pytest.approx(shared / union)


@given(st.lists(st.integers(1, 500), min_size=1, max_size=12))
def test_the_typical_area_is_that_of_the_median_pixel(areas: list[int]) -> None:
    pixels = np.repeat(sorted(areas), sorted(areas))
    assert typical_area(areas) == pixels[(len(pixels) - 1) // 2]


def discs(*spots: tuple[int, int, int], size: int = 120) -> np.ndarray:
    labels = np.zeros((size, size), np.uint8)
    for x, y, radius in spots:
        cv2.circle(labels, (x, y), radius, 1, -1)
    for x, y, radius in spots:
        cv2.circle(labels, (x, y), round(0.7 * radius), 2, -1)
    return labels


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=8, unique=True))
def test_cells_apart_are_found_as_components_and_measured_as_circles(places: list[tuple[int, int]]) -> None:
    labels = discs(*((30 * a + 15, 30 * b + 15, 12) for a, b in places))
    found = find_cells(labels)
    assert len(found.cells) == len(places) == components(labels > 0).max()
    for cell in found.cells:
        assert cell.area == pytest.approx(math.pi * 12**2, rel=0.06)
        assert cell.eccentricity < 0.1
        assert cell.nucleus_area < cell.area
        x, y = cell.centroid
        assert found.instances[round(y), round(x)] == cell.instance
    kept = keep_cells(labels, found, found.cells[:1])
    assert (kept > 0).sum() == found.cells[0].area


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_turning_the_labels_turns_the_cells(turn: int) -> None:
    labels = discs((35, 40, 18), (65, 40, 18), (90, 95, 14))
    count = find_instances(labels).max()
    assert find_instances(np.ascontiguousarray(np.rot90(labels, turn))).max() == count == 3


def test_every_limit_of_a_cell_is_its_own() -> None:
    labels = discs((30, 30, 20), (90, 90, 6))
    cells = CellSettings(min_area=1, min_share=0.0, min_nucleus=0.0)
    assert len(find_cells(labels, settings=cells).cells) == 2
    assert len(find_cells(labels, settings=CellSettings(min_area=200, min_share=0.0)).cells) == 1
    assert len(find_cells(labels, settings=CellSettings(min_area=1, min_share=0.3)).cells) == 1
    assert (
        len(find_cells(labels, settings=CellSettings(min_area=1, min_share=0.0, min_nucleus=0.9)).cells) == 0
    )


@given(st.integers(0, 99), st.integers(10, 150), st.booleans())
@settings(max_examples=25, deadline=None)
def test_a_crop_is_the_image_around_the_cell(seed: int, size: int, black: bool) -> None:
    image = np.random.default_rng(seed).integers(1, 256, (120, 120, 3), np.uint8)
    found = find_cells(discs((100, 30, 15)), image)
    (cell,) = found.cells
    crop = crop_cell(image, found, cell, size=size, black=black)
    x0, y0, x1, y1 = cell.box
    left, top = (x0 + x1 - size) // 2, (y0 + y1 - size) // 2
    padded = np.pad(
        image * (found.instances > 0)[..., None] if black else image, ((200, 200), (200, 200), (0, 0))
    )
    np.testing.assert_array_equal(crop, padded[top + 200 : top + 200 + size, left + 200 : left + 200 + size])


# --- training crops --------------------------------------------------------------------------------------------------


def ramp(height: int = 80, width: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """An image whose red is twice the column and whose green is twice the row."""
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([2 * columns, 2 * rows, np.full_like(rows, 240)], axis=-1).astype(np.uint8)
    labels = np.zeros((height, width), np.uint8)
    labels[30:50, 40:60] = 2
    return image, labels


def coordinates(batch: torch.Tensor, gains: tuple[float, float, float]) -> np.ndarray:
    found = batch.numpy() * 255 / np.array(gains)[:, None, None]
    return np.round(found[:, :2]) / 2


@pytest.mark.parametrize("flip", [False, True])
def test_upright_crops_at_scale_one_are_windows_of_pixels(flip: bool) -> None:
    pairs = Pairs([ramp()])
    settings_ = CropSettings(size=16, scale=(1.0, 1.0), rotate=False, flip=flip, on_cells=0.0)
    batch, labels = sample_batch(pairs, 24, settings_, np.random.default_rng(0))
    steps = set()
    for (columns, rows), cut in zip(coordinates(batch, pairs[0][2]), labels.numpy(), strict=True):
        steps.add(int(columns[0, 1] - columns[0, 0]))
        assert (np.diff(rows, axis=0) == 1).all()
        assert (np.abs(np.diff(columns, axis=1)) == 1).all()
        # An even side has its centre between pixels: images are interpolated there, labels go to a neighbour.
        near = [(end(rows), other(columns)) for end in (np.floor, np.ceil) for other in (np.floor, np.ceil)]
        windows = [ramp()[1][row.astype(int), column.astype(int)] for row, column in near]
        assert any(np.array_equal(cut, window) for window in windows)
    assert steps == ({1, -1} if flip else {1})


@pytest.mark.parametrize("scale", [0.8, 1.25, 2.0])
def test_magnification_is_the_inverse_step_between_pixels(scale: float) -> None:
    pairs = Pairs([ramp()])
    settings_ = CropSettings(size=20, scale=(scale, scale), rotate=False, flip=False)
    batch, _ = sample_batch(pairs, 6, settings_, np.random.default_rng(1))
    for columns, _ in coordinates(batch, pairs[0][2]):
        assert (columns[:, -1] - columns[:, 0]).mean() / 19 == pytest.approx(1 / scale, rel=0.06)


def test_a_turn_keeps_angles_and_lengths() -> None:
    pairs = Pairs([ramp()])
    settings_ = CropSettings(size=16, scale=(1.0, 1.0), flip=False)
    batch, _ = sample_batch(pairs, 12, settings_, np.random.default_rng(2))
    for found in coordinates(batch, pairs[0][2]):
        across, down = (found[:, 0, -1] - found[:, 0, 0]) / 15, (found[:, -1, 0] - found[:, 0, 0]) / 15
        assert np.hypot(*across) == pytest.approx(1, abs=0.15)
        assert across @ down == pytest.approx(0, abs=0.15)
        assert across[0] * down[1] - across[1] * down[0] == pytest.approx(1, abs=0.25)  # no mirror image


def test_crops_on_cells_hold_them_more_often() -> None:
    pairs = Pairs([ramp(120, 120)])
    share = []
    for wanted in (0.0, 1.0):
        settings_ = CropSettings(size=16, scale=(1.0, 1.0), on_cells=wanted)
        _, labels = sample_batch(pairs, 200, settings_, np.random.default_rng(3))
        share.append(float((labels == 2).flatten(1).any(dim=1).float().mean()))
    assert share[1] > share[0] + 0.1


def test_the_same_source_of_randomness_gives_the_same_crops() -> None:
    pairs = Pairs([ramp(), ramp(60, 60)])
    one, again, other = (
        sample_batch(pairs, 4, CropSettings(size=16), np.random.default_rng(s)) for s in (1, 1, 2)
    )
    assert torch.equal(one[0], again[0])
    assert torch.equal(one[1], again[1])
    assert not torch.equal(one[0], other[0])


def test_what_is_no_image_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    for name in ("a.png", "missing.png"):
        with pytest.raises(ImageError, match=name):
            read_image(tmp_path / name)
    with pytest.raises(ImageError, match="got none"):
        Pairs([])


@given(MASKS)
def test_filling_is_that_of_scipy(mask: np.ndarray) -> None:
    cells = CellSettings(min_area=1, min_share=0.0, min_nucleus=0.0)
    filled = find_instances(mask.astype(np.uint8) * 2, cells) > 0
    np.testing.assert_array_equal(filled, ndimage.binary_fill_holes(mask))


def drawn(places: list[tuple[int, int]], radius: int = 9) -> Cells:
    labels = np.zeros((100, 120), np.uint8)
    for place in places:
        cv2.circle(labels, place, radius, 2, -1)
    return find_cells(labels, settings=CellSettings(min_area=20, min_share=0.0, min_nucleus=0.0))


def test_a_centroid_in_the_mask_or_near_is_a_hit() -> None:
    cells = drawn([(30, 30), (90, 60)])
    points = np.array([(37, 30), (90, 72), (60, 95)])
    assert match_centroids(points, cells, 13.0).tolist() == [1, 2, 0]
    assert match_centroids(points, cells, 5.0).tolist() == [
        1,
        0,
        0,
    ]  # in the mask, however far from its centre
    assert match_centroids(points[:0], cells, 5.0).tolist() == []
    assert match_centroids(points, drawn([]), 5.0).tolist() == [0, 0, 0]


def test_a_cell_is_found_once() -> None:
    assert match_centroids(np.array([(28, 30), (31, 30)]), drawn([(30, 30)])).tolist() == [0, 1]


def test_the_nearest_does_not_take_the_only_cell_of_another() -> None:
    cells = drawn([(30, 30), (60, 30)])
    # Both are nearer to the first cell; the left one reaches no other.
    assert match_centroids(np.array([(12, 30), (42, 30)]), cells, 20.0).tolist() == [1, 2]


@given(
    st.lists(st.tuples(st.integers(0, 119), st.integers(0, 99)), max_size=5),
    st.lists(st.sampled_from([(15, 15), (50, 20), (100, 30), (30, 70), (80, 80)]), unique=True, max_size=5),
    st.integers(1, 60),
)
def test_no_assignment_has_more_pairs_or_as_many_and_nearer(
    points: list[tuple[int, int]], places: list[tuple[int, int]], distance: int
) -> None:
    cells = drawn(places)
    found = match_centroids(np.array(points, int).reshape(-1, 2), cells, distance)
    inside = {cell.instance: np.array(cell.centroid) for cell in cells.cells}

    def told(chosen: tuple[int, ...]) -> tuple[int, float] | None:
        pairs = [(point, number) for point, number in zip(points, chosen, strict=False) if number]
        far = [float(np.hypot(*(inside[number] - point))) for point, number in pairs]
        allowed = [
            reach <= distance or cells.instances[point[1], point[0]] == number
            for (point, number), reach in zip(pairs, far, strict=True)
        ]
        return (-len(pairs), sum(far)) if all(allowed) else None

    chosen = tuple(found.tolist())
    used = [number for number in chosen if number]
    assert len(used) == len(set(used))
    own = told(chosen)
    assert own is not None
    every = set(permutations([*inside, *[0] * len(points)], len(points)))
    count, total = min(best for best in map(told, every) if best is not None)
    assert own[0] == count
    assert abs(own[1] - total) < 1e-6


def test_outside_is_beyond_the_last_pixel() -> None:
    points = np.array([(0, 0), (119, 99), (120, 0), (0, 100), (-1, 5)])
    assert outside(points, 100, 120).tolist() == [False, False, True, True, True]
