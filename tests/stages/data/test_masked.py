"""Fields with masks for training, more varied than the default slides."""

import numpy as np

from stages.data.smears import render_masked
from stages.data.smears.masked import _teal, _varied
from stages.data.smears.slides import STAINS, make_slide


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


def test_teal_slides_differ_in_the_hue_of_red_cells_and_nuclei() -> None:
    rng = np.random.default_rng(0)
    for number in range(20):
        slide = make_slide(0, number)
        stains = dict(zip(STAINS, _teal(slide, rng).stains, strict=True))
        red, green, blue = stains["haemoglobin"]
        assert red > 1.05 * green > blue
        red, green, blue = stains["chromatin"]
        assert green > 1.1 * red > blue
        assert stains["eosin"] == slide.stains[STAINS.index("eosin")]


def test_most_slides_keep_their_stains_and_some_red_cells_are_darker_than_some_nuclei() -> None:
    rng = np.random.default_rng(0)
    slides = [make_slide(0, number) for number in range(100)]
    varied = [_varied(slide, rng) for slide in slides]
    teal = [after for before, after in zip(slides, varied, strict=True) if before.stains != after.stains]
    assert 20 <= len(teal) <= 50
    assert any(slide.stains[0][0] > 1.2 * slide.stains[1][1] for slide in teal)
