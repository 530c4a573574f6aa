"""A server without a process: a small run behind the application, and what a client may send it."""

from __future__ import annotations

import io
import struct
import threading
import time
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mtl.predict.predictor import Predictor
from mtl.serve.records import JobSaid
from mtl.serve.settings import ServeSmears

CHEAP = {"predict": {"segment": {"method": "white-cells"}}}
URL = "http://127.0.0.1"


@contextmanager
def client(predictors: dict[str, Predictor], **settings: Any) -> Iterator[Any]:
    """A client of a server that lives as long."""
    pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    pytest.importorskip("python_multipart", reason="the extra `serve` is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # starlette's own, of anyio
        from fastapi.testclient import TestClient

    from mtl.serve.app import create_app

    app = create_app(predictors, ServeSmears.model_validate(CHEAP | settings))
    with TestClient(app, base_url=URL, raise_server_exceptions=False) as found:
        yield found


@contextmanager
def listening(predictor: Predictor) -> Iterator[str]:
    """The address of a server that really listens."""
    import uvicorn

    from mtl.serve.app import create_app

    config = uvicorn.Config(
        create_app({"tiny": predictor}, ServeSmears()), port=0, ws="none", log_level="error", access_log=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(20)


def files(**named: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    """A form's files; `__` stands for a dot."""
    return [("files", (name.replace("__", "."), data)) for name, data in named.items()]


def png(width: int = 64, height: int = 48, seed: int = 0) -> bytes:
    """A small image of noise."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)).save(
        buffer, "png"
    )
    return buffer.getvalue()


def claims(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it has so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


def packed(**named: bytes) -> bytes:
    """A ZIP file; `__` stands for a dot and `___` for a slash."""
    return packed_names({name.replace("___", "/").replace("__", "."): data for name, data in named.items()})


def packed_names(named: dict[str, bytes]) -> bytes:
    """A ZIP file of any names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in named.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def smear(rendered: Path) -> bytes:
    """A rendered field."""
    return sorted((rendered / "ALL-IDB1" / "im").iterdir())[0].read_bytes()


def done(server: Any, job: str) -> JobSaid:
    """Wait for a job."""
    for _ in range(600):
        told = JobSaid.model_validate(server.get(f"/api/jobs/{job}").json())
        if told.state in ("done", "failed"):
            return told
        time.sleep(0.1)
    raise AssertionError("the request is never done")
