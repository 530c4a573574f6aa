"""One-to-one matching of centroids against every assignment that there is."""

from __future__ import annotations

from itertools import permutations

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from segmentation.cells import Cells, CellSettings, find_cells
from segmentation.detection import match_centroids, outside


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
