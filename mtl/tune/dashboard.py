"""Serve optuna-dashboard on a study's storage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

from mtl.errors import ConfigError, RunError
from mtl.extras import check_extra
from mtl.tune.address import storage_address, without_password
from mtl.tune.storage import open_storage
from mtl.tune.study import load_plan

__all__ = ["serve"]


def serve(
    folder: Path | None, runs: Path, storage: str | None, host: str, port: int, say: Callable[[str], object]
) -> None:
    """Serve the dashboard until stopped.

    Args:
        folder: Of the study; the newest below `runs` if None.
        runs: Folder of run folders.
        storage: Where the study lives, in place of what its plan says.
        host: Address to listen on.
        port: 0 takes a free one.
        say: Told address, storage and number of trials.

    Raises:
        MissingExtraError: If optuna-dashboard is not installed.
        RunError: If there is no study.
        ConfigError: If the address cannot be listened on.
    """
    check_extra("dashboard")
    from optuna_dashboard import wsgi

    folder = folder or _newest(runs)
    plan, _ = load_plan(folder, storage)
    opened = open_storage(plan.storage, folder)
    counts = {
        study.study_name: len(opened.get_all_trials(study._study_id, deepcopy=False))
        for study in opened.get_all_studies()
    }
    if not 0 <= port <= 65535:
        raise ConfigError(
            f"Expected `--port` to be from 0 to 65535, but got {port}; do choose one, or 0 for any that is free"
        )
    try:
        server = make_server(host, port, wsgi(opened), handler_class=_Quiet)
    except OSError as error:
        raise ConfigError(
            f"Expected `--port` {port} of {host} to be free, but got: {error.strerror or error}; do choose another, or 0"
        ) from error
    trials = "; ".join(f"{name}: {count} trials" for name, count in counts.items()) or "no study yet"
    say(
        f"Dashboard http://{host}:{server.server_port}/  {trials}  storage {without_password(storage_address(plan.storage, folder))}  (Ctrl-C ends it)"
    )
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        say("Dashboard ended.")
    finally:
        server.server_close()


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a line a request hides the address."""


def _newest(runs: Path) -> Path:
    found = sorted(runs.glob("*/plan.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise RunError(f"Expected a study in {runs}, but there is none; do start one with `mtl tune`")
    return found[-1].parent
