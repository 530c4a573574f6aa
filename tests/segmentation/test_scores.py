from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.metrics import hausdorff_distance
from sklearn.metrics import f1_score, jaccard_score

from segmentation.errors import MaskError, ParameterError
from segmentation.scores import (
    aji,
    boundary_f1,
    dice,
    hd95,
    iou,
    score_instances,
    score_labels,
    score_mask,
    success_rate,
)

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)


@st.composite
def pairs(draw: st.DrawFn, top: int = 1) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(SHAPES)
    arrays = hnp.arrays(np.int64, shape, elements=st.integers(0, top))
    return draw(arrays), draw(arrays)


def blobs(seed: int, size: int = 40) -> np.ndarray:
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    mask = np.zeros((size, size), bool)
    for _ in range(3):
        row, column, radius = (
            random.integers(5, size - 5),
            random.integers(5, size - 5),
            random.integers(3, 9),
        )
        mask |= (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    return mask


def square(top: int, left: int, side: int, size: int = 20) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[top : top + side, left : left + side] = True
    return mask


@given(pairs())
def test_scores_are_symmetric_bounded_and_perfect_on_themselves(pair: tuple[np.ndarray, np.ndarray]) -> None:
    first, second = (mask.astype(bool) for mask in pair)
    for score in (dice, iou, boundary_f1):
        assert 0 <= score(first, second) <= 1
        assert score(first, second) == pytest.approx(score(second, first))
        assert score(first, first) == 1
    assert 0 <= hd95(first, second) == hd95(second, first) <= math.hypot(*first.shape)
    assert hd95(first, first) == 0
    share = iou(first, second)
    assert dice(first, second) == pytest.approx(2 * share / (1 + share))


@given(pairs(top=3))
def test_instance_scores_are_bounded_and_hold_together(pair: tuple[np.ndarray, np.ndarray]) -> None:
    predicted, true = pair
    scores = score_instances(predicted, true)
    for name in ("precision", "recall", "f1", "quality", "pq", "aji"):
        assert 0 <= getattr(scores, name) <= 1
    swapped = score_instances(true, predicted)
    assert (scores.precision, scores.pq) == pytest.approx((swapped.recall, swapped.pq))
    same = score_instances(true, true)
    assert (same.pq, same.aji, same.precision, same.recall) == (1, 1, 1, 1)
    renamed = np.where(predicted > 0, 10 - predicted, 0)
    again = score_instances(renamed, true)
    assert (again.matched, again.pq) == pytest.approx((scores.matched, scores.pq))


@pytest.mark.parametrize("seed", range(4))
def test_overlap_is_what_scikit_learn_says(seed: int) -> None:
    first, second = blobs(seed), blobs(seed + 10)
    assert dice(first, second) == pytest.approx(f1_score(second.ravel(), first.ravel()))
    assert iou(first, second) == pytest.approx(jaccard_score(second.ravel(), first.ravel()))


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize("seed", range(4))
def test_overlap_and_distance_are_what_monai_says(seed: int) -> None:
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    first, second = blobs(seed), blobs(seed + 10)
    theirs = [torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (first, second)]
    assert dice(first, second) == pytest.approx(float(metrics.compute_dice(*theirs)))
    distance = metrics.compute_hausdorff_distance(*theirs, include_background=True, percentile=95)
    assert hd95(first, second) == pytest.approx(float(distance))


def test_distance_is_below_scikit_images_full_hausdorff_distance() -> None:
    first, second = square(2, 2, 6), square(2, 5, 6)
    assert hausdorff_distance(first, second) == 3
    assert hd95(first, second) == 3
    far = first.copy()
    far[19, 19] = True  # one stray pixel of 21 border pixels does not move the 95th percentile to it
    assert hausdorff_distance(first, far) > 15
    assert hd95(first, far) < 1.5


def test_empty_masks() -> None:
    empty, full = np.zeros((3, 4), bool), np.ones((3, 4), bool)
    for score in (dice, iou, boundary_f1):
        assert score(empty, empty) == 1
        assert score(empty, full) == score(full, empty) == 0
    assert hd95(empty, empty) == 0
    assert hd95(empty, full) == hd95(full, empty) == 5
    none, one = np.zeros((3, 4), int), np.ones((3, 4), int)
    assert score_instances(none, none).pq == aji(none, none) == 1
    for pair in ((none, one), (one, none)):
        scores = score_instances(*pair)
        assert (scores.precision, scores.recall, scores.pq, scores.aji) == (0, 0, 0, 0)


def test_borders_by_hand() -> None:
    first = square(5, 5, 5)
    assert boundary_f1(first, square(5, 7, 5), tolerance=2) == 1
    # shifted by 3: of 16 border pixels of each, the two vertical sides' shared rows decide
    assert boundary_f1(first, square(5, 8, 5), tolerance=0) == pytest.approx(4 / 16)
    assert boundary_f1(first, square(15, 15, 3), tolerance=2) == 0


def test_success_rate() -> None:
    assert success_rate([0.8, 0.81, 0.9, 0.2]) == 0.5
    assert success_rate([0.4], threshold=0.3) == 1
    assert math.isnan(success_rate([]))


def test_cells_by_hand() -> None:
    true = np.zeros((10, 30), int)
    true[:, :10], true[:, 10:20], true[:5, 20:] = 1, 2, 3  # areas 100, 100, 50
    predicted = np.zeros_like(true)
    predicted[:, :9] = 7  # IoU 0.9 with 1
    predicted[:4, 10:20] = 8  # IoU 0.4 with 2
    predicted[6:, 25:] = 9  # touches nothing: area 20
    scores = score_instances(predicted, true)
    assert (scores.matched, scores.true, scores.predicted) == (1, 3, 3)
    assert scores.precision == scores.recall == scores.f1 == pytest.approx(1 / 3)
    assert scores.pq == pytest.approx(0.9 / 3)
    assert scores.aji == aji(predicted, true) == pytest.approx((90 + 40) / (100 + 100 + 50 + 20))
    assert score_instances(predicted, true, threshold=0.9).matched == 0


def test_a_predicted_cell_may_be_best_for_two_true_ones() -> None:
    true = np.array([[1, 1, 2, 2, 0]])
    predicted = np.array([[1, 1, 1, 1, 0]])
    assert aji(predicted, true) == pytest.approx(4 / 8)


def test_all_at_once() -> None:
    true, predicted = square(2, 2, 8), square(2, 3, 8)
    scores = score_mask(predicted, true)
    assert (scores.dice, scores.iou) == pytest.approx((7 / 8, 7 / 9))
    assert (scores.boundary_f1, scores.hd95, scores.success) == (1, 1, 0)
    labels = true.astype(np.uint8) + square(4, 4, 3)
    found = score_labels(labels, labels)
    assert found["nucleus"].dice == found["cell"].dice == 1


def test_what_cannot_be_scored_is_refused() -> None:
    mask = square(0, 0, 3)
    with pytest.raises(MaskError, match="boolean mask, but got int64"):
        dice(mask.astype(np.int64), mask)
    with pytest.raises(MaskError, match=r"\(20, 20\) and \(3, 20\)"):
        iou(mask, mask[:3])
    with pytest.raises(MaskError, match="a whole number from 0"):
        score_instances(mask.astype(float), mask.astype(int))
    with pytest.raises(ParameterError, match=r"from 0\.5"):
        score_instances(mask.astype(int), mask.astype(int), threshold=0.3)
    with pytest.raises(ParameterError, match="`tolerance`"):
        boundary_f1(mask, mask, -1)
