"""The image store: keyed by content, whole or absent, and clear about what it cannot do."""

from __future__ import annotations

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmentation.cache import cache_folder, fill_cache
from segmentation.errors import WriteError
from stages.data import store
from stages.data.images import content_key
from stages.data.sample import Sample
from stages.data.store import open_store, resize
from stages.errors import DataError


def write(folder: Path, count: int = 5) -> list[Sample]:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(random.integers(0, 256, (30, 40 + i, 3), np.uint8)).save(folder / f"{i}.png")
    return [Sample(folder / f"{i}.png", f"{i}.png", "a", "x") for i in range(count)]


def stores(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "stores").iterdir())


def test_rows_follow_the_samples_and_cannot_be_written(tmp_path: Path) -> None:
    samples = write(tmp_path / "in")
    images = open_store(samples[::-1], "backwards", 20, "crop", tmp_path)
    for row, sample in zip(images, samples[::-1], strict=True):
        np.testing.assert_array_equal(row, resize(np.asarray(Image.open(sample.path)), 20, "crop"))
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_the_key_follows_content_and_not_the_folder(tmp_path: Path) -> None:
    samples = write(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    moved = [replace(sample, path=tmp_path / "two" / sample.name) for sample in samples]
    assert content_key(moved) == content_key(samples)
    assert content_key(samples[::-1]) != content_key(samples)
    Image.new("RGB", (30, 30)).save(moved[4].path)
    assert content_key(moved) != content_key(samples)
    before = open_store(samples, content_key(samples), 16, folder=tmp_path)
    after = open_store(moved, content_key(moved), 16, folder=tmp_path)
    assert after[4].max() == 0 < before[4].max()


@pytest.mark.parametrize("shape", [(40, 40), (37, 90), (91, 16), (16, 17)])
@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
def test_any_shape_becomes_square(shape: tuple[int, int], fit: str) -> None:
    found = resize(np.full((*shape, 3), 90, np.uint8), 33, fit)
    assert (found.shape, found.dtype) == ((33, 33, 3), np.uint8)
    if fit != "pad":
        assert (found == 90).all()


def test_fits_centre_what_they_cut_or_pad() -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 200
    assert (resize(wide, 20, "crop") == 200).all()
    tall = np.full((60, 20, 3), 200, np.uint8)
    padded = resize(tall, 60, "pad")
    assert (padded[:, 20:40] == 200).all()
    assert padded[:, :20].max() == padded[:, 40:].max() == 0


def test_shrinking_averages_so_that_fine_detail_does_not_alias() -> None:
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert abs(resize(np.dstack([board] * 3), 16).astype(int) - 127).max() <= 1


def test_progress_counts_every_image(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    open_store(
        write(tmp_path / "in"),
        "x",
        16,
        folder=tmp_path,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(i, 5) for i in range(1, 6)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interruption_leaves_nothing_and_the_next_run_succeeds(
    tmp_path: Path, error: type[BaseException]
) -> None:
    samples = write(tmp_path / "in")

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise error

    with pytest.raises(error):
        open_store(samples, "x", 16, folder=tmp_path, progress=stop)
    assert stores(tmp_path) == []
    assert open_store(samples, "x", 16, folder=tmp_path).shape == (5, 16, 16, 3)
    assert len(stores(tmp_path)) == 1


def test_a_missing_image_is_named_and_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    samples = write(tmp_path / "in")
    samples[2].path.unlink()
    with pytest.raises(DataError, match=r"2\.png") as caught:
        open_store(samples, "x", 16, folder=tmp_path)
    assert "MTL_CACHE" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert stores(tmp_path) == []


@pytest.mark.parametrize("damage", ["cut", "empty", "foreign", "of another shape"])
def test_a_damaged_store_is_made_again(tmp_path: Path, damage: str) -> None:
    samples = write(tmp_path / "in")
    before = np.array(open_store(samples, "x", 16, folder=tmp_path))
    path = tmp_path / "stores" / stores(tmp_path)[0]
    whole = path.read_bytes()
    if damage == "of another shape":
        np.save(path, before[:2])
    else:
        path.write_bytes({"cut": whole[:200], "empty": b"", "foreign": b"PK" * 300}[damage])
    np.testing.assert_array_equal(open_store(samples, "x", 16, folder=tmp_path), before)
    assert path.read_bytes() == whole


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_one_line(tmp_path: Path) -> None:
    samples = write(tmp_path / "in")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(WriteError, match=r"may not be written.*MTL_CACHE"):
        open_store(samples, "x", 16, folder=closed)


def test_two_that_open_it_at_once_both_read_the_same(tmp_path: Path) -> None:
    samples = write(tmp_path / "in")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: open_store(samples, "x", 16, folder=tmp_path), range(8)))
    assert all(np.array_equal(images, found[0]) for images in found)
    assert len(stores(tmp_path)) == 1


def test_the_cache_folder_is_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("MTL_CACHE")
    assert cache_folder().name == "mtl"


def test_decoding_is_spread_over_threads_but_the_order_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = [Sample(Path(str(i)), str(i), "a", "x") for i in range(40)]
    monkeypatch.setattr(store, "load_rgb", lambda one: np.full((20, 20, 3), int(one.name), np.uint8))
    assert open_store(samples, "x", 16, folder=tmp_path)[:, 0, 0, 0].tolist() == list(range(40))


def test_of_several_that_want_the_same_one_makes_it_and_the_others_wait(tmp_path: Path) -> None:
    made: list[str] = []

    def save(path: Path) -> None:
        made.append(path.name)
        time.sleep(0.2)
        path.write_text("whole")

    path = tmp_path / "new" / "file.txt"
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: fill_cache(path, Path.read_text, save), range(4)))
    assert found == ["whole"] * 4
    assert len(made) == 1
