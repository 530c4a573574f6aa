"""Zip archives and `.npz` files with any of their bytes changed: read, or one sentence."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from segmentation.errors import WriteError
from stages.data import download
from stages.data.download import unpack
from stages.data.npz import read_frame, read_labels
from stages.errors import DataError

Edits = list[tuple[int, int]]


def archive(method: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as opened:
        opened.writestr("a/1.txt", bytes(range(60)) * 3)
        opened.writestr("b.txt", "b")
    return stream.getvalue()


def arrays(compressed: bool) -> bytes:
    stream = io.BytesIO()
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), np.uint8)
    labels = np.arange(3, dtype=np.uint8)[:, None]
    content = {
        f"{part}_{kind}": value
        for part in ("train", "val", "test")
        for kind, value in (("images", images), ("labels", labels))
    }
    (np.savez_compressed if compressed else np.savez)(stream, **content)  # type: ignore[operator]
    return stream.getvalue()


ZIPS = [archive(zipfile.ZIP_STORED), archive(zipfile.ZIP_DEFLATED)]
ARRAYS = [arrays(compressed) for compressed in (False, True)]
EDITS = st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 255)), min_size=1, max_size=4)


def changed(raw: bytes, edits: Edits, cut: int) -> bytes:
    """Bytes with some of them changed, and so many missing at the end."""
    mutated = bytearray(raw)
    for place, value in edits:
        mutated[place % len(mutated)] = value
    return bytes(mutated[: len(mutated) - cut])


def sentence_of(read: Callable[[], object]) -> str:
    """What is said of data that cannot be read; nothing if they can."""
    try:
        read()
    except DataError as error:
        return str(error)
    return ""


def central(raw: bytes, offset: int) -> int:
    """Return where a field of the first entry of the central directory stands."""
    return raw.index(b"PK\1\2") + offset


@settings(max_examples=150, deadline=None)
@given(st.booleans(), EDITS, st.sampled_from([0, 0, 0, 1, 30]))
@example(True, [(40, 0xFF), (41, 0xFF), (42, 0xFF)], 0)  # zlib.error
@example(False, [(central(ZIPS[0], 46), 0)], 0)  # a member without a name
@example(False, [(central(ZIPS[0], 9), 8), (central(ZIPS[0], 46), 0xFF)], 0)  # a name that is no UTF-8
@example(False, [(central(ZIPS[0], 10), 99)], 0)  # an unknown method
def test_an_archive_is_unpacked_or_refused(compressed: bool, edits: Edits, cut: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "in" / "x.zip"
        path.parent.mkdir()
        path.write_bytes(changed(ZIPS[compressed], edits, cut))
        said = sentence_of(lambda: unpack(path, Path(name) / "out" / "x"))
        assert said.isprintable()
        assert not said or not list((Path(name) / "out").iterdir())
        assert [one.name for one in path.parent.iterdir()] == ["x.zip"]


@settings(max_examples=150, deadline=None)
@given(st.booleans(), EDITS, st.sampled_from([0, 0, 0, 1, 300]))
@example(False, [(central(ARRAYS[0], 8), 1)], 0)  # encrypted
@example(False, [(central(ARRAYS[0], 6), 255)], 0)  # a version to come
@example(False, [(central(ARRAYS[0], 10), 14)], 0)  # LZMA that is none
@example(False, [(central(ARRAYS[0], 10), 99)], 0)  # an unknown method
def test_arrays_are_read_or_refused(compressed: bool, edits: Edits, cut: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "x.npz"
        path.write_bytes(changed(ARRAYS[compressed], edits, cut))
        assert sentence_of(lambda: read_labels(path, 8)).isprintable()
        assert sentence_of(lambda: read_frame(path, 4)).isprintable()


def test_a_full_disk_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.zip").write_bytes(ZIPS[0])
    (tmp_path / "x.npz").write_bytes(ARRAYS[0])

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download.zipfile.ZipFile, "extractall", full)
    with pytest.raises(WriteError, match="the disk is full"):
        unpack(tmp_path / "x.zip", tmp_path / "out")
    monkeypatch.setattr("stages.data.npz.shutil.copyfileobj", full)
    with pytest.raises(WriteError, match="the disk is full"):
        read_frame(tmp_path / "x.npz", 0)
