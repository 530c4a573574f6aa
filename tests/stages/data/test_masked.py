"""Fields with masks for training, more varied than the default slides."""

import numpy as np

from stages.data.smears import render_masked


def test_the_same_seed_gives_the_same_fields() -> None:
    told: list[tuple[int, int]] = []
    images, labels = render_masked(3, 1, side=96, told=lambda done, total: told.append((done, total)))
    again, _ = render_masked(3, 1, side=96)
    other, _ = render_masked(3, 2, side=96)
    assert np.array_equal(images, again)
    assert not np.array_equal(images, other)
    assert images.shape == (3, 96, 96, 3)
    assert set(np.unique(labels)) <= {0, 1, 2}
    assert told == [(1, 3), (2, 3), (3, 3)]
