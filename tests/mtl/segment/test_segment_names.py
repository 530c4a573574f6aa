"""No name ends a batch, and no image's outputs are another's."""

from __future__ import annotations

import csv
import errno
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mtl.errors import ConfigError, RunError, WriteError
from mtl.segment import command
from mtl.segment.command import segment_images
from mtl.segment.inputs import find_images, unique_stems
from mtl.segment.settings import SegmentImages
from mtl.segment.threads import at_once
from stages.errors import DataError

OTSU = SegmentImages(method="otsu-green")


def save(path: Path, shade: int = 60) -> None:
    pixels = np.full((40, 40, 3), 240, np.uint8)
    pixels[10:30, 10:30] = (shade, 20, 120)
    Image.fromarray(pixels).save(path, format="PNG" if path.suffix.lower() == ".png" else "JPEG")


@pytest.fixture(autouse=True)
def _one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert at_once() == 1


def test_every_image_has_outputs_of_its_own(tmp_path: Path) -> None:
    images, out = tmp_path / "in", tmp_path / "out"
    images.mkdir()
    names = ["x.jpg", "x.png", "x_png.png", "y.png", "y.PNG"]
    for shade, name in enumerate(names):
        save(images / name, 40 * shade)
    plain = OTSU.model_copy(update={"crops": "plain"})
    done = segment_images(images, out, plain)
    assert (done.images, done.failed) == (5, {})
    assert len(list((out / "labels").glob("*.png"))) == 5
    with (out / "cells.csv").open(newline="") as stream:
        said = {row["image"]: row["output"] for row in csv.DictReader(stream)}
    assert set(said) == set(names)
    assert len({stem.casefold() for stem in said.values()}) == 5
    for name, stem in said.items():
        assert (out / "labels" / f"{stem}.png").is_file()
        with Image.open(out / "crops" / stem / "001.png") as crop:
            red = np.asarray(crop)[crop.height // 2, crop.width // 2, 0]
        assert abs(int(red) - 40 * names.index(name)) < 10  # the cell of this very image
    assert segment_images(images, out, plain).skipped == 5


@given(
    st.lists(
        st.builds(
            "{}.{}".format,
            st.text("aAxX_png12", min_size=1, max_size=6),
            st.sampled_from(["png", "PNG", "jpg"]),
        ),
        unique=True,
        max_size=8,
    )
)
def test_stems_are_unique_where_capitals_count_for_nothing(names: list[str]) -> None:
    stems = unique_stems(names)
    assert len({stem.casefold() for stem in stems}) == len(names)
    alone = [name.rpartition(".")[0].casefold() for name in names]
    for name, stem, key in zip(names, stems, alone, strict=True):
        if alone.count(key) == 1:
            assert stem == name.rpartition(".")[0]


def test_odd_names_do_not_end_a_batch(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    images, out = tmp_path / "in", tmp_path / "out"
    images.mkdir()
    save(images / "plain.png")
    data = (images / "plain.png").read_bytes()
    odd = [b"x[b].png", b"[bold]z[.png", b"\xff\xfe.png", b"new\nline.png", b"a:b?.png"]
    for name in odd:
        Path(os.fsdecode(os.fsencode(images) + b"/" + name)).write_bytes(data)
    (images / "x[").mkdir()  # the brackets of `x[/b].png`: a path that closes a tag
    (images / "x[" / "b].png").write_bytes(b"no image")
    os.mkfifo(images / "pipe.png")
    os.mkfifo(images / "plain.jpg")
    done = segment_images(images, out, OTSU)
    assert done.images == len(odd) + 1
    assert sorted(done.failed) == ["pipe.png", "plain.jpg", "x[/b].png"]
    with (out / "cells.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert {"new\\nline.png", "\\xff\\xfe.png", "x[b].png"} <= {row["image"] for row in rows}
    for row in rows:
        assert row["output"].isprintable()
        assert (out / "labels" / f"{row['output']}.png").is_file()
    assert "x[/b].png: Expected" in capfd.readouterr().err


def test_a_full_disk_names_the_flag_that_the_command_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "a.png")

    def full(path: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(WriteError, match=r"disk is full.*--out") as raised:
        segment_images(tmp_path / "a.png", tmp_path / "out", OTSU)
    assert "--runs" not in str(raised.value)


@pytest.mark.parametrize("content", ["lzw", "pages"])
def test_damaged_tiffs_are_told_in_a_sentence_and_nothing_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: str
) -> None:
    images = tmp_path / "in"
    images.mkdir()
    save(images / "good.png")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    picture.save(images / "bad.tif", compression="tiff_lzw")
    raw = bytearray((images / "bad.tif").read_bytes())
    start = int.from_bytes(raw[4:8], "little")
    if content == "lzw":
        raw[8 : start // 2] = b"\xff" * (start // 2 - 8)
    else:  # another page follows, and is none
        last = start + 2 + 12 * int.from_bytes(raw[start : start + 2], "little")
        raw[last : last + 4] = len(raw).to_bytes(4, "little")
        raw += b"\x01\x00" + b"\x00" * 20
    (images / "bad.tif").write_bytes(raw)
    assert list(segment_images(images, tmp_path / "out", OTSU).failed) == ["bad.tif"]
    for line in capfd.readouterr().err.strip().splitlines():
        assert line.startswith(("bad.tif: Expected", "segment: "))


def test_an_image_above_the_maximum_is_left_out_and_the_others_are_done(tmp_path: Path) -> None:
    images = tmp_path / "in"
    images.mkdir()
    save(images / "small.png")
    Image.new("RGB", (4000, 3000)).save(images / "large.png")  # some kilobytes
    bounded = OTSU.model_copy(update={"max_pixels": 1_000_000})
    done = segment_images(images, tmp_path / "out", bounded)
    assert done.images == 1
    assert "1,000,000 pixels at most" in done.failed["large.png"]
    assert "4000x3000" in done.failed["large.png"]
    with pytest.raises(DataError, match="max_pixels"):
        segment_images(images / "large.png", tmp_path / "one", bounded)


def test_a_large_image_has_a_bar_of_its_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.full((500, 1200, 3), (240, 228, 232), np.uint8)
    for x in (200, 600, 1000):
        cv2.circle(pixels, (x, 250), 32, (200, 160, 205), -1)
        cv2.circle(pixels, (x, 250), 22, (100, 40, 150), -1)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    told: list[tuple[str, int, int]] = []
    monkeypatch.setattr("mtl.segment.stream._LARGE", 1000)
    monkeypatch.setattr(
        command.Reporter, "step", lambda self, name, done, total, text="": told.append((name, done, total))
    )
    segment_images(tmp_path / "a.png", tmp_path / "out", SegmentImages())
    tiles = [(done, total) for name, done, total in told if name == "tiles"]
    assert tiles == [(0, 1), *((done, tiles[-1][1]) for done in range(1, tiles[-1][1] + 1))]
    assert len(tiles) > 3
    assert told[-1] == ("segment", 1, 1)


def test_a_pipe_alone_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.png")
    with pytest.raises(ConfigError, match=r"p\.png"):
        find_images(tmp_path / "p.png", tmp_path / "out")


def test_two_cannot_write_to_one_folder(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    out = tmp_path / "out"
    out.mkdir()
    with FileLock(out / ".lock"), pytest.raises(RunError, match="another mtl process"):
        segment_images(tmp_path / "a.png", out, OTSU)
    assert segment_images(tmp_path / "a.png", out, OTSU).images == 1
