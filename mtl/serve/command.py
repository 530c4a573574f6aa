"""What `mtl serve` does: load runs, listen, until Ctrl-C."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from mtl.errors import ConfigError
from mtl.extras import check_extra
from mtl.predict.patients import PATIENT
from mtl.predict.predictor import Predictor
from mtl.serve.settings import ServeSmears

__all__ = ["serve_runs"]


def serve_runs(runs: Sequence[Path], settings: ServeSmears, say: Callable[[str], object]) -> None:
    """Serve runs until stopped.

    Args:
        runs: Run folders, folders of stages, or of ensembles.
        settings: Host, token, limits, and how smears are answered.
        say: Told the address.

    Raises:
        MissingExtraError: If the extra `serve` is not installed.
        ConfigError: If two runs have one name, or the address cannot be listened on.
        RunError: If a run is not finished.
    """
    check_extra("serve")
    import uvicorn

    from mtl.serve.app import create_app

    names = [run.resolve().name for run in runs]
    if len(set(names)) < len(names):
        raise ConfigError(f"Expected runs of different names, but got {', '.join(names)}; do rename a folder")
    listening = _listen(settings.host, settings.port)
    with listening:
        app = create_app(
            {name: _predictor(run, settings) for name, run in zip(names, runs, strict=True)}, settings
        )
        port = listening.getsockname()[1]
        shown = f"[{settings.host}]" if ":" in settings.host else settings.host
        say(
            f"Serving {', '.join(names)} on http://{shown}:{port}/  API http://{shown}:{port}/api/docs  (Ctrl-C ends it)"
        )
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, ws="none")
        )
        server.run(sockets=[listening])


def _predictor(run: Path, settings: ServeSmears) -> Predictor:
    found = Predictor(run, settings.predict)
    if found.aggregate == PATIENT:
        raise ConfigError(
            f"Expected runs whose stage 3 answers for fields, but that of {run} answers for patients; do use `mtl predict`, or give --stage cells"
        )
    return found


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name != "nt")
        found.bind(address)
    except OSError as error:
        raise ConfigError(
            f"Expected `--port` {port} of {host} to be free, but got: {error.strerror or error}; do choose another, or 0"
        ) from error
    return found
