"""Bands of rows against numpy on the whole."""

import numpy as np
import pytest

from segmentation import bands


@pytest.mark.parametrize("rows", [1, 3, 512])
def test_they_give_what_numpy_gives(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(bands, "_ROWS", rows)
    rng = np.random.default_rng(rows)
    numbers = rng.integers(0, 9, (10, 7)).astype(np.int32)
    where = rng.random(numbers.shape) < 0.5
    table = rng.integers(0, 99, 9).astype(np.int32)
    np.testing.assert_array_equal(bands.count_values(numbers), np.bincount(numbers.ravel()))
    np.testing.assert_array_equal(
        bands.count_values(numbers, where), np.bincount(numbers[where], minlength=numbers.max() + 1)
    )
    np.testing.assert_array_equal(bands.look_up(table, numbers), table[numbers])
    assert bands.look_up(table > 50, numbers).dtype == bool


def test_nothing_is_counted_in_nothing() -> None:
    assert bands.count_values(np.zeros((0, 5), np.int32)).tolist() == [0]
