"""Downloads, against a server on this machine that behaves and misbehaves."""

from __future__ import annotations

import hashlib
import io
import logging
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch
import pytest

from segmentation.errors import WriteError
from stages.data.catalogue import CATALOGUE, Download
from stages.data.download import fetch, get_dataset, unpack
from stages.errors import DataError

BODY = bytes(range(256)) * 400


class _Handler(BaseHTTPRequestHandler):
    """Serves /whole, and /cut: a connection that ends half-way."""

    hits = 0

    def do_GET(self) -> None:
        type(self).hits += 1
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY if self.path == "/whole" else BODY[: len(BODY) // 2])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


def entry(url: str, checksum: str | None = None, unpack: bool = False) -> Download:
    known = checksum or f"md5:{hashlib.md5(BODY, usedforsecurity=False).hexdigest()}"
    return Download("28", url, known, "data.zip" if unpack else "data.npz", "a test", unpack)


def test_a_file_is_fetched_once_and_checked(server: str, tmp_path: Path) -> None:
    level = pooch.get_logger().level
    path = fetch(entry(f"{server}/whole"), tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "data.npz"
    assert path.read_bytes() == BODY
    hits = _Handler.hits
    sha = f"sha256:{hashlib.sha256(BODY).hexdigest()}"
    assert fetch(entry(f"{server}/whole", sha), path.parent) == path
    assert _Handler.hits == hits
    assert pooch.get_logger().level == level
    assert logging.getLevelName(level)


@pytest.mark.parametrize(
    ("place", "checksum", "says"),
    [
        ("/whole", "md5:" + "0" * 32, "other bytes"),
        ("/cut", None, "a network error"),
        ("/missing", None, "a network error"),
    ],
)
def test_bad_answers_leave_nothing_behind(
    server: str, tmp_path: Path, place: str, checksum: str | None, says: str
) -> None:
    with pytest.raises(DataError, match=says) as caught:
        fetch(entry(server + place, checksum), tmp_path)
    assert str(caught.value).isprintable()
    assert list(tmp_path.iterdir()) == []


def test_no_network_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a network error") as caught:
        fetch(entry("http://127.0.0.1:9/none"), tmp_path)
    assert "put it there as `data.npz`" in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="a file stands where a folder should"):
        fetch(entry("http://127.0.0.1:9/none"), tmp_path / "file")


def zipped(path: Path, **members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    path.write_bytes(stream.getvalue())
    return stream.getvalue()


def test_an_archive_is_unpacked(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = zipped(tmp_path / "x.zip", **{"a/1.txt": b"one", "b.txt": b"two"})
    monkeypatch.setattr(f"{__name__}.BODY", raw)
    target = fetch(entry(f"{server}/whole", unpack=True), tmp_path / "out")
    assert target == tmp_path / "out" / "data"
    assert (target / "a" / "1.txt").read_bytes() == b"one"
    with pytest.raises(DataError, match="move it away"):
        fetch(entry(f"{server}/whole", unpack=True), tmp_path / "out")


@pytest.mark.parametrize("name", ["../out.txt", "/out.txt", "a/../../out.txt", "C:\\out.txt", "..\\out.txt"])
def test_members_must_not_escape(tmp_path: Path, name: str) -> None:
    zipped(tmp_path / "x.zip", **{"fine.txt": b"", name: b"evil"})
    with pytest.raises(DataError, match="stays in its folder"):
        unpack(tmp_path / "x.zip", tmp_path / "deep" / "target")
    assert not (tmp_path / "deep" / "target").exists()
    assert not list(tmp_path.rglob("out.txt"))


def test_links_and_damage_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc")
    with pytest.raises(DataError, match="the member `link`"):
        unpack(tmp_path / "x.zip", tmp_path / "t")
    raw = zipped(tmp_path / "y.zip", **{"a.txt": b"x" * 5000})
    (tmp_path / "y.zip").write_bytes(raw[:3000])
    with pytest.raises(DataError, match="a complete zip archive"):
        unpack(tmp_path / "y.zip", tmp_path / "t")
    damaged = bytearray(raw)
    damaged[200] ^= 1
    (tmp_path / "y.zip").write_bytes(bytes(damaged))
    with pytest.raises(DataError, match="a complete zip archive"):
        unpack(tmp_path / "y.zip", tmp_path / "t")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.zip", "y.zip"]


def test_data_sets_by_hand_and_unknown_variants(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="obtain it by hand: Ask for it"):
        get_dataset("all-idb1", tmp_path)
    with pytest.raises(DataError, match="28, 64, 128, 224"):
        get_dataset("bloodmnist", tmp_path, "32")
    assert CATALOGUE["all-idb1"].downloadable is None


def test_the_variant_chooses_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []

    def remember(download: Download, folder: Path) -> Path:
        asked.append(download.file)
        return folder / download.file

    monkeypatch.setattr("stages.data.download.fetch", remember)
    get_dataset("bloodmnist", tmp_path)
    get_dataset("bloodmnist", tmp_path, "224")
    assert asked == ["bloodmnist.npz", "bloodmnist_224.npz"]
