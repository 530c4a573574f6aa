"""Shared by all tests: a cache of their own, tiny rendered smears, tiny networks, commands without a process."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

if TYPE_CHECKING:
    from mtl.config import Experiment
    from mtl.predict.predictor import Predictor

# Test processes run side by side, one a core; so do the commands that they start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

TINY_BACKBONE = "test_resnet"


def interruptible() -> None:
    """Let a process be stopped by SIGINT (as `preexec_fn`): what a shell starts in the background inherits that it is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def noise_folder(root: Path, labels: Sequence[str], each: int) -> Path:
    """A folder of images of noise, 40 x 50 px, so many of each label."""
    import numpy as np
    from PIL import Image

    for number, label in enumerate(labels):
        (root / label).mkdir()
        for i in range(each):
            pixels = np.random.default_rng(10 * number + i).integers(0, 256, (40, 50, 3), np.uint8)
            Image.fromarray(pixels).save(root / label / f"{i}.png")
    return root


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


class Told:
    """Stands in for the terminal: keeps every step that it is told of, and may stop a run at one.

    Args:
        stop: Name of a step and how far it is done; Ctrl-C comes there.
    """

    def __init__(self, stop: tuple[str, int] | None = None) -> None:
        self.stop = stop
        self.steps: list[tuple[str, int, int, str]] = []

    def step(self, name: str, done: int, total: int, text: str = "") -> None:
        """Keep what was told."""
        self.steps.append((name, done, total, text))
        if self.stop == (name, done):
            raise KeyboardInterrupt

    @property
    def reused(self) -> list[str]:
        """Names of the stages that were not trained again."""
        return [name for name, *_, text in self.steps if text == "reused"]


def tiny_experiment(rendered: Path, *sets: str, **values: Any) -> Experiment:
    """An experiment of seconds: a tiny backbone without weights on tiny rendered smears."""
    from mtl.config import load_config

    small = [f"backbone={TINY_BACKBONE}", "weights=none", "name=tiny", "evaluation.resamples=100"]
    for stage, tree in (("single_cell", "ALL-IDB2"), ("multi_cell", "ALL-IDB1")):
        own = (
            f"data.root={rendered / tree}",
            "preprocess.image_size=32",
            "train.epochs=2",
            "train.batch_size=8",
            "train.keep=last",
        )
        small += [f"{stage}.{text}" for text in own]
    return load_config("default", values, [*small, *sets])


@pytest.fixture(scope="session")
def tiny_run(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the chains 1,2,3 and 1,3; it is for reading alone."""
    from mtl.run.execute import execute

    return execute(tiny_experiment(rendered), tmp_path_factory.mktemp("tiny"), "mtl run").run


@pytest.fixture(scope="session")
def predictor(tiny_run: Path) -> Predictor:
    """Of a tiny run, by a method that finds cells fast; it is for reading alone."""
    from mtl.predict.predictor import Predictor
    from mtl.predict.settings import PredictSmears

    return Predictor(tiny_run, PredictSmears.model_validate({"segment": {"method": "white-cells"}}))


@pytest.fixture(scope="module")
def server(predictor: Predictor) -> Iterator[Any]:
    """A client of `mtl serve` that a file's tests share."""
    from served import client

    with client({"tiny": predictor}) as found:
        yield found
