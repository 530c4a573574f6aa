"""Families together: their columns, their masks, and what is kept on the disk."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_textures import cells, texture

from stages.classical_settings import DEEP, FEATURES, ClassicalSettings
from stages.learners.classical.features import Extractor
from stages.learners.classical.features import extract as module

BY_HAND = tuple(name for name in FEATURES if name != DEEP)


def stack(count: int = 20) -> np.ndarray:
    return np.stack([cells(seed)[0] for seed in range(count)])


def test_every_family_gives_as_many_numbers_as_it_names() -> None:
    for family in BY_HAND:
        extractor = Extractor(ClassicalSettings(features=(family,)), segmented=True)
        table = extractor(stack(3))
        assert table.shape == (3, len(extractor.columns)), family
        assert np.isfinite(table).all(), family
        assert (np.ptp(table, axis=0) > 0).any(), family
        assert len(set(extractor.columns)) == len(extractor.columns), family
        assert extractor(stack(3)[:0]).shape == (0, len(extractor.columns)), family


def test_families_stand_in_the_order_that_was_asked() -> None:
    both = Extractor(ClassicalSettings(features=("lbp", "colour")), segmented=False)
    alone = [
        Extractor(ClassicalSettings(features=(name,)), segmented=False)(stack(3))
        for name in ("lbp", "colour")
    ]
    np.testing.assert_array_equal(both(stack(3)), np.concatenate(alone, axis=1))
    assert both.columns[0].startswith("lbp: ")
    assert both.columns[-1].startswith("colour: ")


@pytest.mark.parametrize("family", BY_HAND)
def test_a_bright_background_changes_nothing_where_it_is_masked_out(family: str) -> None:
    image, mask = cells()
    settings = ClassicalSettings(features=(family,))
    inside = Extractor(settings, segmented=True)(image[None])
    whole = Extractor(settings, segmented=False)(image[None])
    assert not np.allclose(inside, whole) or family == "shape"
    assert mask.any()


def test_order_and_progress_with_more_images_than_one_thread_takes() -> None:
    extractor, told = Extractor(ClassicalSettings(features=("colour", "glcm")), segmented=True), []
    table = extractor(stack(), lambda done, total: told.append((done, total)))
    each = np.concatenate([extractor(stack()[place : place + 1]) for place in range(20)])
    np.testing.assert_array_equal(table, each)
    assert told[-1] == (40, 40)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_what_is_kept_is_found_by_content_and_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    whole = Extractor._family

    def counted(self: Extractor, family: str, images: np.ndarray, told: module.Told) -> np.ndarray:
        calls.append(len(images))
        return whole(self, family, images, told)

    monkeypatch.setattr(Extractor, "_family", counted)

    def table(images: np.ndarray, *, segmented: bool = True, **asked: object) -> np.ndarray:
        return Extractor(ClassicalSettings(features=("glcm", "lbp"), **asked), segmented).cached(images)

    first = table(stack(5))
    assert len(calls) == 2
    np.testing.assert_array_equal(table(stack(5)), first)
    assert len(calls) == 2
    table(stack(5), levels=8)  # of glcm alone
    assert len(calls) == 3
    table(stack(5), segmented=False)
    assert len(calls) == 5
    other = stack(5)
    other[0, 20, 20] ^= 1
    table(other)
    assert len(calls) == 7
    assert texture().shape == (48, 40, 3)
