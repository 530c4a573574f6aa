from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import imagehash
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from stages.data.catalogue import read_dataset
from stages.data.images import content_key
from stages.data.sample import Sample
from stages.data.store import open_store
from stages.errors import DataError
from stages.splits.duplicates import (
    find_copies,
    group_duplicates,
    join,
    near_duplicates,
    perceptual_hash,
    regroup,
)
from stages.splits.overlaps import MOST, overlapping

Images = npt.NDArray[np.uint8]


def texture(seed: int, side: int = 64, grain: float = 2.0) -> Images:
    noise = np.random.default_rng(seed).normal(size=(side, side, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), grain)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return (smooth * 255).astype(np.uint8)


def samples(count: int, group: str | None = None) -> list[Sample]:
    return [Sample(Path(f"{i}"), f"{i:03}", "ab"[i % 2], "x", group) for i in range(count)]


def jpeg(image: Images, quality: int) -> Images:
    return np.asarray(
        cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1), np.uint8
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_the_hash_is_that_of_imagehash(seed: int) -> None:
    grey = np.random.default_rng(seed).integers(0, 256, (3, 32, 32), dtype=np.uint8)
    theirs = np.stack([imagehash.phash(Image.fromarray(one)).hash.ravel() for one in grey])
    np.testing.assert_array_equal(perceptual_hash(grey), theirs)


ALIKE = {
    "identical": lambda image: image.copy(),
    "flipped": lambda image: np.ascontiguousarray(image[:, ::-1]),
    "upside down": lambda image: np.ascontiguousarray(image[::-1]),
    "turned": lambda image: np.ascontiguousarray(np.rot90(image)),
    "turned and flipped": lambda image: np.ascontiguousarray(np.rot90(image)[::-1]),
    "JPEG again": lambda image: jpeg(image, 60),
    "brighter": lambda image: cv2.convertScaleAbs(image, alpha=0.9, beta=20),
    "smaller and back": lambda image: cv2.resize(cv2.resize(image, (48, 48)), (64, 64)),
}


@pytest.mark.parametrize("how", ALIKE)
def test_copies_are_found_and_others_are_not(how: str) -> None:
    originals = [texture(seed) for seed in range(12)]
    images = np.stack([*originals, *(ALIKE[how](image) for image in originals[:4])])
    assert near_duplicates(images) == [(i, 12 + i) for i in range(4)]


def test_an_augmented_set_becomes_one_cluster_for_every_picture() -> None:
    originals = [texture(seed) for seed in range(6)]
    images = np.stack([ALIKE[how](image) for image in originals for how in list(ALIKE)[:4]])
    grouped, report = group_duplicates(samples(24), find_copies(images))
    assert [sample.group for sample in grouped] == [f"x:{i // 4 * 4:03}" for i in range(24)]
    assert (report.clusters, report.largest) == (6, 4)


def test_identical_images_of_one_tone_are_a_cluster_and_others_stay_apart() -> None:
    flat = np.full((5, 64, 64, 3), 255, np.uint8)
    flat[3:] = 20
    grouped, report = group_duplicates(samples(5), find_copies(flat))
    assert [sample.group for sample in grouped] == ["x:000"] * 3 + ["x:003"] * 2
    assert (report.exact, report.near, report.overlapping) == (4, 0, 0)


def test_pairs_of_many_identical_images_are_counted_and_not_listed() -> None:
    images = np.repeat(texture(0)[None], 400, axis=0)
    assert len(near_duplicates(images)) == 399
    _, report = group_duplicates(samples(400), find_copies(images))
    assert (report.exact, report.largest) == (400 * 399 // 2, 400)


def test_one_picture_under_two_labels_is_listed() -> None:
    images = np.stack([texture(0), texture(1), texture(2), texture(0)])
    _, report = group_duplicates(samples(4), find_copies(images))
    assert report.conflicts == (("000", "003"),)
    assert "000 and 003" in " ".join(report.sentences())


def test_round_cells_on_plain_ground_are_told_apart() -> None:
    images = np.full((8, 64, 64, 3), (240, 235, 230), np.uint8)
    for row, image in enumerate(images):
        centre, axes = (31 + row % 3, 31 + row % 2), (15 + row % 4, 14 + row % 5)
        cell = cv2.ellipse(np.zeros((64, 64), np.uint8), centre, axes, 30 * row, 0, 360, 1, -1).astype(bool)
        image[cell] = texture(row, grain=1.2)[cell] // 2 + 60
    assert near_duplicates(images) == []
    assert overlapping(images) == []


def test_the_order_of_the_images_has_no_say() -> None:
    images = np.stack([texture(seed % 5) for seed in range(12)])
    order = np.random.default_rng(0).permutation(12)
    rows = samples(12)
    straight = {sample.name: sample.group for sample in group_duplicates(rows, find_copies(images))[0]}
    mixed = group_duplicates([rows[i] for i in order], find_copies(images[order]))[0]
    assert {sample.name: sample.group for sample in mixed} == straight


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=12))
def test_join_finds_what_walking_the_pairs_finds(count: int, pairs: list[tuple[int, int]]) -> None:
    pairs = [(i % count, j % count) for i, j in pairs]
    reach = np.eye(count, dtype=bool)
    for i, j in pairs:
        reach[i, j] = reach[j, i] = True
    for middle, i, j in itertools.product(range(count), repeat=3):
        reach[i, j] |= reach[i, middle] and reach[middle, j]
    clusters = join(pairs, count)
    np.testing.assert_array_equal(clusters[:, None] == clusters[None], reach)


def test_groups_and_clusters_that_touch_become_one_and_known_names_stand_first() -> None:
    groups = ["slide 2", None, "slide 2", "slide 1", None, None]
    rows = [Sample(Path("p"), f"{i}", "a", "x", group) for i, group in enumerate(groups)]
    tied = regroup(rows, np.array([0, 0, 1, 2, 3, 3]))
    assert [sample.group for sample in tied] == ["slide 2"] * 3 + ["slide 1"] + ["x:4"] * 2
    assert regroup(rows[1:2], np.array([0]))[0].group is None


def test_a_picture_for_every_sample_is_needed() -> None:
    with pytest.raises(DataError, match="found"):
        group_duplicates(samples(3), find_copies(texture(0)[None]))


def test_no_image_and_one_image_have_no_duplicates() -> None:
    for count in (0, 1):
        grouped, report = group_duplicates(
            samples(count), find_copies(np.stack([texture(0), texture(1)])[:count])
        )
        assert len(grouped) == count
        assert report.sentences() == ("No near-duplicate images were found.",)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(-14, 14), st.integers(-14, 14))
def test_shifted_fields_are_found_and_fields_elsewhere_are_not(seed: int, y: int, x: int) -> None:
    slide = texture(seed, 260)
    here, there = slide[40:104, 40:104], slide[40 + y : 104 + y, 40 + x : 104 + x]
    images = np.stack([here, slide[150:214, 150:214], there, texture(seed + 1)])
    assert overlapping(images) == [(0, 2)]


def test_fields_that_share_too_little_are_left_apart() -> None:
    slide = texture(3, 260)
    assert overlapping(np.stack([slide[:64, :64], slide[50:114, 50:114]])) == []


def test_a_scale_bar_does_not_tie_fields() -> None:
    images = np.stack([texture(seed) for seed in range(10)])
    images[:, 52:60, 40:62] = 255
    images[:, 55:57, 42:60] = 0
    assert overlapping(images) == []
    assert near_duplicates(images) == []


def test_overlapping_fields_are_grouped_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    slide = texture(5, 200)
    images = np.stack([slide[10:74, 10:74], slide[30:94, 20:84], texture(8)])
    grouped, report = group_duplicates(samples(3), find_copies(images))
    assert [sample.group for sample in grouped] == ["x:000", "x:000", None]
    assert (report.overlapping, report.searched) == (1, True)
    assert "1 pairs of overlapping fields" in report.sentences()[0]
    monkeypatch.setattr("stages.splits.duplicates.MOST", 2)
    report = group_duplicates(samples(3), find_copies(images))[1]
    assert not report.searched
    assert f"more than {MOST}" not in report.sentences()[-1]
    assert "were not looked for" in report.sentences()[-1]


REAL = {
    # data set: folder, class, images, identical pairs, least and most near and overlapping pairs, most in a cluster
    "taleqani": ("taleqani", "Pro", 603, 40, (8, 14), (95, 110), 8),
    "bccd": ("bccd", "field", 248, 0, (1, 2), (16, 20), 4),
    "wbc-1": ("wbc/Dataset 1", None, 300, 1, (2, 4), (0, 1), 3),
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
def test_real_sets_hold_what_was_seen_by_eye(realdata: Path, name: str) -> None:
    folder, label, count, exact, near, shared, largest = REAL[name]
    rows = [row for row in read_dataset(name, realdata / folder) if label in (None, row.label)]
    if len(rows) != count:
        pytest.skip(f"{name} holds {len(rows)} images here, not {count}")
    _, report = group_duplicates(rows, find_copies(open_store(rows, content_key(rows), 64)))
    assert report.exact == exact
    assert near[0] <= report.near <= near[1]
    assert shared[0] <= report.overlapping <= shared[1]
    assert report.largest <= largest
    assert report.conflicts == ()
