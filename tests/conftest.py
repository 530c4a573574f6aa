"""Shared by all tests: a cache of their own, tiny rendered smears, tiny networks, commands without a process."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

# Test processes run side by side, one a core; so do the commands that they start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

TINY_BACKBONE = "test_resnet"


def interruptible() -> None:
    """Let a process be stopped by SIGINT (as `preexec_fn`): what a shell starts in the background inherits that it is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def called(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run an `mtl` command here: as a process of its own would, without the seconds that it spends on importing torch."""
    from mtl.cli.app import main

    out, err = io.StringIO(), io.StringIO()
    typed = ["mtl", *map(str, arguments)]
    with (
        contextlib.chdir(cwd),
        mock.patch.object(sys, "argv", typed),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        with pytest.raises(SystemExit) as end:
            main()
    return subprocess.CompletedProcess(typed, int(end.value.code or 0), out.getvalue(), err.getvalue())


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("MTL_CACHE")
    os.environ["MTL_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    os.environ.pop("MTL_CACHE")
    if before is not None:
        os.environ["MTL_CACHE"] = before


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of tiny rendered smears: ALL-IDB1 and ALL-IDB2."""
    from stages.data.smears import render_trees

    folder = tmp_path_factory.mktemp("rendered") / "smears"
    render_trees(folder, fields=32, crops=32, slides=16, seed=1, workers=1)
    return folder


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder with real smears, or a skip that says why."""
    folder = os.environ.get("MTL_REALDATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("MTL_REALDATA names no folder with real smears")
    return Path(folder)
