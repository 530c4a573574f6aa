"""Files are whole or absent, whatever happens: other writers, a full disk, a folder without rights, Ctrl-C."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save

from segmentation import files
from segmentation.errors import MaskError, ReadError, WriteError

LETTERS = "ab"
LENGTH = 100_000
WRITER = """
import sys
from pathlib import Path
from segmentation.files import write_text
failed = 0
for _ in range(400):
    try:
        write_text(Path(sys.argv[1]), sys.argv[2] * int(sys.argv[3]))
    except Exception as error:
        failed += 1
        print(error)
sys.exit(failed > 0)
"""

Save = Callable[[Path], object]
SAVERS: dict[str, Save] = {
    "bytes": lambda path: files.write_bytes(path, bytes(500_000)),
    "tensors": lambda path: files.write_tensors(path, {"w": torch.zeros(200_000)}),
    "torch": lambda path: files.write_whole(
        path, lambda temporary: torch.save(torch.zeros(200_000), temporary)
    ),
    "numpy": lambda path: files.write_whole(path, save_array),
}


def save_array(path: Path) -> None:
    with path.open("wb") as stream:
        np.save(stream, np.zeros(200_000))


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_two_processes_that_write_one_file_never_fail_and_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    path = tmp_path / "shared.txt"
    files.write_text(path, "a" * LENGTH)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, path, letter, str(LENGTH)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for letter in LETTERS
    ]
    seen: set[str] = set()
    while any(writer.poll() is None for writer in writers):
        text = path.read_text()
        assert len(text) == LENGTH
        assert len(set(text)) == 1
        seen.add(text[0])
    for writer in writers:
        said, _ = writer.communicate()
        assert writer.returncode == 0, said
    assert seen == set(LETTERS)
    assert [one.name for one in tmp_path.iterdir()] == ["shared.txt"]


@pytest.mark.parametrize("how", SAVERS)
def test_a_file_that_does_not_fit_leaves_the_old_one(how: str, tmp_path: Path) -> None:
    path = tmp_path / "old.bin"
    path.write_text("old")
    with largest_file(100_000), pytest.raises(WriteError, match=r"old\.bin .* of this size") as caught:
        SAVERS[how](path)
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["old.bin"]


@pytest.mark.parametrize("how", SAVERS)
def test_a_full_disk_is_told_as_one(how: str, small_disk: Path) -> None:
    path = small_disk / "old.bin"
    path.write_text("old")
    with pytest.raises(WriteError, match="the disk is full; do free space there"):
        SAVERS[how](path)
    assert path.read_text() == "old"
    assert [one.name for one in small_disk.iterdir()] == ["old.bin"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root to mount")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "the disk is full; do free space there"),
        (errno.EACCES, "may not be written; do change its rights"),
        (errno.EROFS, "on a read-only disk"),
        (errno.EIO, "Input/output error; do see to it"),
    ],
)
def test_the_reason_is_the_systems(
    number: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(WriteError, match=rf"a\.txt to be written.*{said}.* or buy a disk$"):
        files.write_text(tmp_path / "a.txt", "x", advice="buy a disk")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_rights(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(WriteError, match="change its rights"):
        files.write_text(closed / "a.txt", "x")
    with pytest.raises(WriteError, match="change its rights"):
        files.make_folder(closed / "below")


def test_folders_that_are_gone_or_files_or_names_too_long(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path, said in (
        (tmp_path / "gone" / "a", "the folder is not there"),
        (tmp_path / "file" / "a", "a file stands where a folder should"),
        (tmp_path / "folder", "a folder has that name"),
        (tmp_path / ("x" * 300), "the name is too long"),
    ):
        with pytest.raises(WriteError, match=said):
            files.write_text(path, "x")
    with pytest.raises(WriteError, match="a file stands"):
        files.make_folder(tmp_path / "file" / "below")
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["file", "folder"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MaskError, TypeError, RuntimeError])
def test_what_interrupts_or_is_no_fault_of_the_disk_comes_through(
    error: type[BaseException], tmp_path: Path
) -> None:
    def stop(path: Path) -> None:
        path.write_text("half")
        raise error

    (tmp_path / "a").write_text("old")
    with pytest.raises(error):
        files.write_whole(tmp_path / "a", stop)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("a", "old")]


@pytest.mark.parametrize("durable", [True, False])
def test_file_then_folder_are_brought_to_the_disk(
    durable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    replace = os.replace

    def sync(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    def rename(old: Path, new: Path) -> None:
        assert old.name.startswith(".")
        assert old.name.endswith(".tmp")
        done.append("rename")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", rename)
    files.write_text(tmp_path / "a.json", "x", durable=durable)
    assert done == (["file", "rename", "folder"] if durable else ["rename"])


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_mode_of_open_and_an_old_one_keeps_its_own(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        for how, write in SAVERS.items():
            write(tmp_path / how)
        (tmp_path / "opened").open("w").close()
    finally:
        os.umask(before)
    modes = {one.stat().st_mode & 0o777 for one in tmp_path.iterdir()}
    assert modes == {0o666 & ~mask}
    (tmp_path / "bytes").chmod(0o640)
    files.write_bytes(tmp_path / "bytes", b"")
    assert (tmp_path / "bytes").stat().st_mode & 0o777 == 0o640


def test_contents_come_back(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a.txt", "ä\r\nb\n")
    assert (tmp_path / "a.txt").read_bytes() == "ä\r\nb\n".encode()
    files.write_table(tmp_path / "a.csv", ["name", "x"], ([name, None] for name in ('a,"b"', "ü")))
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as stream:
        assert list(csv.DictReader(stream)) == [{"name": 'a,"b"', "x": ""}, {"name": "ü", "x": ""}]
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    for name, image in (("rgb", pixels), ("grey", pixels[..., 0])):
        files.write_image(tmp_path / f"{name}.png", image)
        with Image.open(tmp_path / f"{name}.png") as file:
            np.testing.assert_array_equal(np.asarray(file), image)
    state = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.zeros(2, dtype=torch.float16)}
    files.write_tensors(tmp_path / "w.safetensors", state)
    assert {name: value.tolist() for name, value in load_file(tmp_path / "w.safetensors").items()} == {
        name: value.tolist() for name, value in state.items()
    }
    whole = save({name: value.contiguous() for name, value in state.items()})
    assert files.sha256_of(tmp_path / "w.safetensors") == hashlib.sha256(whole).hexdigest()


@dataclass(frozen=True)
class Record:
    values: np.ndarray
    score: float


def test_json_holds_no_number_that_json_lacks(tmp_path: Path) -> None:
    value = {
        "nan": float("nan"),
        1: [float("inf"), -0.5, np.float32("-inf"), np.int64(3), True, None],
        "record": Record(np.array([1.0, np.nan]), np.float64(0.1)),
    }
    files.write_json(tmp_path / "a.json", value)
    assert files.read_json(tmp_path / "a.json") == {
        "nan": None,
        "1": [None, -0.5, None, 3, True, None],
        "record": {"values": [1.0, None], "score": 0.1},
    }
    assert json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize("content", [None, b"{", b"\xff\xfe", b"[" * 100_000])
def test_json_that_cannot_be_read_is_one_line(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ReadError, match=r"a\.json to be a JSON file"):
        files.read_json(tmp_path / "a.json")
