from __future__ import annotations

import csv
import errno
import io
import os
from dataclasses import replace
from pathlib import Path

import cv2
import imagehash
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from segmentation.errors import WriteError
from stages.assemble import assemble, make_task, split_stages
from stages.data import store
from stages.data.catalogue import read_dataset
from stages.data.images import content_key
from stages.data.sample import Sample
from stages.data.store import open_store, resize
from stages.data_settings import DataSettings
from stages.errors import DataError
from stages.preprocess import Preprocess
from stages.settings import PreprocessSettings, SplitSettings
from stages.splits import duplicates
from stages.splits.duplicates import find_copies, group_duplicates, join, near_duplicates, perceptual_hash
from stages.splits.origins import locate_crops, stated_origins, tie_crops
from stages.splits.split import group_of

Images = npt.NDArray[np.uint8]


def blobs(seed: int, size: int = 64) -> Images:
    """A smooth random picture with structure at every scale, as a field has."""
    random = np.random.default_rng(seed)
    layers = [
        cv2.resize(random.random((n, n, 3)), (size, size), interpolation=cv2.INTER_CUBIC) * 255 / 2
        for n in (4, 8, 32)
    ]
    return np.clip(sum(layers) / 1.5, 0, 255).astype(np.uint8)


def sample(name: str, label: str = "a", group: str | None = None, dataset: str = "x") -> Sample:
    return Sample(Path(name), name, label, dataset, group)


def test_perceptual_hash_is_the_one_of_imagehash() -> None:
    grey = np.stack([cv2.cvtColor(blobs(seed, 32), cv2.COLOR_RGB2GRAY) for seed in range(20)])
    expected = np.stack([imagehash.phash(Image.fromarray(image)).hash.ravel() for image in grey])
    # imagehash takes the same 8x8 corner of the same transform; its median may tie in one bit with ours.
    assert (perceptual_hash(grey) != expected).sum(axis=1).max() <= 1


def test_copies_are_found_under_turns_flips_light_and_jpeg_and_nothing_else_is() -> None:
    originals = [blobs(seed) for seed in range(30)]
    large = cv2.resize(originals[3], (256, 256), interpolation=cv2.INTER_CUBIC)
    buffer = io.BytesIO()
    Image.fromarray(large).save(buffer, "JPEG", quality=75)
    copies = {
        0: np.rot90(originals[0]).copy(),
        1: originals[1][:, ::-1].copy(),
        2: np.clip(originals[2] * 0.9 + 8, 0, 255).astype(np.uint8),
        3: resize(np.asarray(Image.open(buffer)), 64),
        4: originals[4].copy(),
    }
    found = near_duplicates(np.stack([*originals, *copies.values()]))
    assert found == [(original, 30 + original) for original in copies]


def test_plain_pictures_match_nothing_but_do_not_fail() -> None:
    assert near_duplicates(np.full((5, 64, 64, 3), 200, np.uint8)) == []
    assert near_duplicates(np.empty((0, 64, 64, 3), np.uint8)) == []


def test_groups_and_copies_are_joined_transitively_and_two_labels_are_told() -> None:
    pictures = np.stack([blobs(0), blobs(0), blobs(1), blobs(2)])
    samples = [sample("0", "a"), sample("1", "b", "p1"), sample("2", "a", "p1"), sample("3", "a")]
    grouped, report = group_duplicates(samples, find_copies(pictures))
    assert grouped[0].group == grouped[1].group == grouped[2].group
    assert grouped[3].group is None
    assert (report.exact, report.near, report.clusters, report.largest) == (1, 0, 1, 2)
    assert report.conflicts == (("0", "1"),)
    assert "two labels" in report.sentences()[1]


def test_join_is_connected_components() -> None:
    assert join([(0, 1), (3, 4), (1, 2)], 6).tolist() == [0, 0, 0, 1, 1, 2]


@pytest.mark.realdata
def test_taleqani_holds_its_known_copies_and_no_monster(realdata: Path) -> None:
    samples = [one for one in read_dataset("taleqani", realdata / "taleqani") if one.label == "Pro"]
    thumbnails = np.stack([resize(np.asarray(Image.open(one.path)), 64) for one in samples])
    _, report = group_duplicates(samples, find_copies(thumbnails))
    assert report.exact >= 40
    assert report.largest <= 8


def test_a_planted_crop_is_found_where_it_was_cut_and_a_stranger_is_not(tmp_path: Path) -> None:
    fields = {f"f{i}": blobs(i, 600) for i in range(3)}
    crops = {
        "c0": fields["f1"][117:374, 203:460].copy(),
        "c1": fields["f2"][0:257, 343:600].copy(),
        "stranger": blobs(99, 257),
    }
    pictures = fields | crops
    for name, picture in pictures.items():
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    samples = {
        name: Sample(tmp_path / f"{name}.png", name, "a", "crops" if name in crops else "fields")
        for name in pictures
    }
    loads: list[str] = []

    def load(one: Sample) -> Images:
        loads.append(one.name)
        return pictures[one.name]

    arguments = (
        [samples[name] for name in crops],
        [samples[name] for name in fields],
        load,
        tmp_path / "cache",
    )
    found = locate_crops(*arguments)
    assert set(found) == {"c0", "c1"}
    assert (found["c0"].field, found["c0"].x, found["c0"].y) == ("f1", 203, 117)
    assert (found["c1"].field, found["c1"].x, found["c1"].y) == ("f2", 343, 0)
    assert found["c0"].score > 0.999
    seen = len(loads)
    assert locate_crops(*arguments) == found
    assert len(loads) == seen


def test_template_matching_finds_what_the_renderer_knows(rendered: Path) -> None:
    crops, fields = (
        read_dataset("all-idb2", rendered / "ALL-IDB2")[:6],
        read_dataset("all-idb1", rendered / "ALL-IDB1"),
    )
    stated = stated_origins(rendered / "ALL-IDB2")
    assert stated is not None
    from stages.data.images import load_rgb

    found = locate_crops(crops, fields, load_rgb)
    assert {Path(name).name: Path(origin.field).name for name, origin in found.items()} == {
        crop.path.name: stated[crop.path.name] for crop in crops
    }


def test_a_crop_and_its_field_become_one_group() -> None:
    crops = [sample("c0", dataset="c"), sample("c1", dataset="c"), sample("c2", dataset="c")]
    fields = [sample("f0", dataset="f"), sample("f1", group="slide", dataset="f")]
    tied, kept = tie_crops(crops, fields, {"c0": "f0", "c1": "f1"})
    assert group_of(tied[0]) == group_of(kept[0])
    assert group_of(tied[1]) == group_of(kept[1]) == "slide"
    assert group_of(tied[2]) not in {group_of(one) for one in kept}


def test_a_table_of_origins_needs_its_columns(tmp_path: Path) -> None:
    assert stated_origins(tmp_path) is None
    (tmp_path / "crops.csv").write_text("image\nx\n")
    with pytest.raises(DataError, match=r"crops\.csv"):
        stated_origins(tmp_path)


def column(path: Path, name: str) -> dict[str, str]:
    with path.open(newline="") as stream:
        return {row["image"]: row[name] for row in csv.DictReader(stream)}


def write(folder: Path, count: int = 4, size: tuple[int, int] = (40, 30)) -> list[Sample]:
    samples = []
    for i in range(count):
        path = folder / f"{i}.png"
        Image.fromarray(cv2.resize(blobs(i), size)).save(path)
        samples.append(Sample(path, path.name, "ab"[i % 2], "x"))
    return samples


def test_the_store_holds_what_was_decoded_and_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = write(tmp_path)
    images = open_store(samples, content_key(samples), 24, folder=tmp_path / "cache")
    assert images.shape == (4, 24, 24, 3)
    np.testing.assert_array_equal(images[2], resize(np.asarray(Image.open(samples[2].path)), 24))
    monkeypatch.setattr(store, "load_rgb", lambda one: pytest.fail("decoded again"))
    np.testing.assert_array_equal(
        open_store(samples, content_key(samples), 24, folder=tmp_path / "cache"), images
    )
    assert len(list((tmp_path / "cache" / "stores").iterdir())) == 1


def test_other_content_size_or_fit_is_another_store(tmp_path: Path) -> None:
    samples = write(tmp_path)
    for fingerprint, size, fit in (("a", 24, "pad"), ("b", 24, "pad"), ("a", 32, "pad"), ("a", 24, "crop")):
        open_store(samples, fingerprint, size, fit, tmp_path / "cache")
    assert len(list((tmp_path / "cache" / "stores").iterdir())) == 4


def test_fits_keep_what_they_promise() -> None:
    wide = np.full((20, 40, 3), 200, np.uint8)
    wide[:, :5] = 10
    assert resize(wide, 40, "stretch").min() == 10
    assert resize(wide, 40, "crop").min() > 150
    padded = resize(wide, 40, "pad")
    assert padded[:9].max() == 0
    assert padded[20, 30].tolist() == [200, 200, 200]


def test_damaged_images_are_told_together_and_leave_nothing_behind(tmp_path: Path) -> None:
    samples = write(tmp_path)
    for i in (1, 3):
        samples[i].path.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1\.png.*1 more; .*on_bad_file=leave-out"):
        open_store(samples, "x", 24, folder=tmp_path / "cache")
    assert not list((tmp_path / "cache" / "stores").iterdir())


def test_a_full_disk_and_an_unwritable_cache_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = write(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(WriteError, match=r"the disk is full; do free space there.*MTL_CACHE"):
        open_store(samples, "x", 24, folder=tmp_path / "cache")
    assert not list((tmp_path / "cache" / "stores").iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"a file stands.*MTL_CACHE"):
        open_store(samples, "x", 24, folder=tmp_path / "file")


def test_the_search_for_copies_is_kept_and_follows_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MTL_CACHE", str(tmp_path / "cache"))
    samples = write(tmp_path)
    samples.append(replace(samples[0], name="again.png"))
    calls: list[int] = []

    def counted(pictures: np.ndarray) -> duplicates.Copies:
        calls.append(len(pictures))
        return find_copies(pictures)

    monkeypatch.setattr(duplicates, "find_copies", counted)
    first = duplicates.group_copies(samples, "x")
    assert first[0][0].group == first[0][-1].group
    assert first[1].exact == 1
    assert duplicates.group_copies(samples, "x") == first
    assert len(calls) == 1
    monkeypatch.setattr(duplicates, "_VERSION", -1)
    assert duplicates.group_copies(samples, "x") == first
    assert len(calls) == 2
    assert duplicates.copies_between(samples[:3], "a", samples[2:], "b") == [(0, 2), (2, 0)]


@pytest.mark.parametrize("method", ["grouped", "kfold"])
def test_rendered_crops_and_fields_are_never_on_two_sides(
    rendered: Path, tmp_path: Path, method: str
) -> None:
    stages = {
        2: assemble(DataSettings(dataset="all-idb2", root=rendered / "ALL-IDB2"), near_duplicates=True),
        3: assemble(DataSettings(dataset="all-idb1", root=rendered / "ALL-IDB1"), near_duplicates=True),
    }
    settings = SplitSettings.model_validate(
        {"method": method, "folds": 4, "fold": 1, "test": 0.25, "validation": 0.2}
    )
    _, splits = split_stages(stages, {2: settings, 3: settings}, 0, tmp_path)
    slides = column(rendered / "ALL-IDB1" / "fab.csv", "slide")
    origin = column(rendered / "ALL-IDB2" / "crops.csv", "field")
    places: dict[str, set[str]] = {}
    for name, part in splits[3].part_of().items():
        places.setdefault(slides[Path(name).name], set()).add(part)
    for name, part in splits[2].part_of().items():
        places.setdefault(slides[origin[Path(name).name]], set()).add(part)
    assert all(len(parts) == 1 for parts in places.values())
    assert stages[3].classes == ("normal", "L1", "L2", "L3")
    assert stages[3].rendered
    task = make_task(stages[3], splits[3], Preprocess(PreprocessSettings(image_size=32)))
    assert sum(len(rows) for rows in task.rows.values()) == len(task.labels)


def test_labels_are_chosen_as_told(tmp_path: Path) -> None:
    for label in "abc":
        (tmp_path / label).mkdir()
        for i in range(6):
            Image.fromarray(blobs(ord(label) * 100 + i)).save(tmp_path / label / f"{i}.png")

    def choose(**options: object) -> tuple[tuple[str, ...], int]:
        settings = DataSettings.model_validate({"dataset": "folder", "root": tmp_path, **options})
        data = assemble(settings, near_duplicates=False)
        return data.classes, len(data.samples)

    assert choose() == (("a", "b", "c"), 18)
    assert choose(positive="b") == (("other", "b"), 18)
    assert choose(drop=("c",), limit=4) == (("a", "b"), 8)
    for options, said in (
        ({"positive": "z"}, "data.positive"),
        ({"drop": ("z",)}, "data.drop"),
        ({"drop": ("a", "b")}, "two or more"),
    ):
        with pytest.raises(DataError, match=said):
            choose(**options)
    with pytest.raises(DataError, match=r"data\.root"):
        assemble(DataSettings(dataset="folder"), near_duplicates=False)
