"""Bags as strips: taken back as they were, of cells where they lie, of a patient's images in their order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.cells import cut_cell, find_cells
from segmentation.threshold import threshold
from stages.data.catalogue import read_dataset
from stages.data.images import content_key, load_rgb
from stages.data.patients import join_patients
from stages.data.store import resize
from stages.preprocess import Preprocess
from stages.preprocess.bags import spread, squares_of, strip_of
from stages.settings import StageSettings

SIZE = 24


def of_unit(unit: str, most: int, **segment: str) -> Preprocess:
    return Preprocess.of_stage(
        StageSettings.model_validate(
            {"data": {"dataset": "x"}, "unit": unit, "bags": {"most": most},
             "preprocess": {"image_size": SIZE, "segment": segment}}
        )
    )  # fmt: skip


@given(st.integers(1, 6), st.integers(0, 6), st.integers(0, 99))
@settings(deadline=None)
def test_a_strip_gives_its_pictures_back(count: int, more: int, seed: int) -> None:
    pictures = np.random.default_rng(seed).integers(0, 256, (count, 3, 3, 3)).astype(np.uint8)
    strip = strip_of(list(pictures), count + more)
    assert strip.shape == ((count + more) * 3, 3, 3)
    np.testing.assert_array_equal(squares_of(strip), pictures)


def test_a_bag_of_one_picture_many_times_is_that_picture() -> None:
    picture = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    assert len(squares_of(strip_of([picture] * 3, 5))) == 1


@given(st.integers(1, 200), st.integers(1, 50))
@settings(deadline=None)
def test_pictures_are_spread_over_all_and_none_comes_twice(count: int, most: int) -> None:
    chosen = spread(count, most)
    assert len(chosen) == len(set(chosen)) == min(count, most)
    assert chosen == sorted(chosen)
    assert chosen[0] == 0
    assert chosen[-1] == count - 1 or most == 1


def test_the_cells_of_a_field_are_cut_where_they_are_found(rendered: Path) -> None:
    (field, *_) = read_dataset("all-idb1", rendered / "ALL-IDB1")
    image = load_rgb(field)
    prepare = of_unit("cells", 5)
    boxes, strip = prepare.cells(image)
    found = {cell.box: cell.area for cell in find_cells(threshold(image)).cells}
    largest = sorted(found, key=lambda box: -found[box])[:5]
    assert sorted(boxes) == sorted(largest)
    for box, square in zip(boxes, squares_of(strip), strict=True):
        np.testing.assert_array_equal(square, resize(cut_cell(image, box, 1.3), SIZE))
    np.testing.assert_array_equal(prepare(image), strip)


@pytest.mark.parametrize("use", ["black", "crop"])
def test_cells_of_a_named_method_are_black_around_or_as_they_are(rendered: Path, use: str) -> None:
    (field, *_) = read_dataset("all-idb1", rendered / "ALL-IDB1")
    image = load_rgb(field)
    plain, other = of_unit("cells", 5), of_unit("cells", 5, method="white-cells", use=use)
    (boxes, seen), (own, drawn) = plain.cells(image), other.cells(image)
    assert boxes == own
    assert (drawn == seen).all() == (use == "crop")
    assert bool((drawn == 0).all(axis=2).any()) == (use == "black")


def test_a_field_without_cells_is_one_picture() -> None:
    glass = np.full((40, 60, 3), 230, np.uint8)
    boxes, strip = of_unit("cells", 3).cells(glass)
    assert boxes == [(0, 0, 60, 40)]
    assert strip.shape == (3 * SIZE, SIZE, 3)


def test_the_store_holds_what_an_image_becomes(
    rendered: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MTL_CACHE", str(tmp_path))
    samples = read_dataset("all-idb1", rendered / "ALL-IDB1")[:4]
    for prepare in (of_unit("cells", 3), of_unit("cells", 3, method="white-cells")):
        for _ in range(2):  # made, then read
            images = prepare.store(samples, content_key(samples))
            assert images.shape == (4, *prepare.shape)
            for sample, strip in zip(samples, images, strict=True):
                np.testing.assert_array_equal(strip, prepare(load_rgb(sample)))


def test_a_patient_is_stored_as_its_images_evenly_spread(
    rendered: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MTL_CACHE", str(tmp_path))
    every = read_dataset("all-idb1", rendered / "ALL-IDB1", "detection")
    fields = [sample for sample in every if sample.label == "normal"]
    (patient,) = join_patients(fields[:5], {sample.name: "P" for sample in fields})
    assert len(patient.members) == 5
    prepare = of_unit("patient", 3)
    (strip,) = prepare.store([patient], content_key([patient]))
    own = [load_rgb(patient.members[place]) for place in spread(len(patient.members), 3)]
    np.testing.assert_array_equal(squares_of(strip), [resize(one, SIZE) for one in own])
    np.testing.assert_array_equal(prepare([load_rgb(one) for one in patient.members]), strip)
