"""The run folder: what is written where, whole or not at all."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from mtl.errors import FailedError, RunError
from mtl.records import (
    ENSEMBLE_FILE,
    Identity,
    LearnedRecord,
    RunRecord,
    StageRecord,
    read_record,
    read_stage,
)
from segmentation.files import make_folder, read_json, write_json, write_text
from stages.learners.bags import AGGREGATE_FILE
from stages.learners.classical.saving import PIPELINES_FILE
from stages.splits.chains import Learned

__all__ = [
    "Predictions",
    "RunFolder",
    "StageFolder",
    "by_epoch",
    "environment",
    "follows",
    "hold",
    "open_run",
    "stage_key",
]

_FORMAT = 6  # raise it when what stands in a stage folder changes, so that none is reused from before
_PACKAGES = (
    "torch",
    "torchvision",
    "pytorch-lightning",
    "timm",
    "numpy",
    "opencv-python",
    "scikit-learn",
    "scipy",
)


@contextmanager
def hold(folder: Path, flag: str) -> Iterator[None]:
    """Hold a folder for this process.

    Args:
        folder: Gets the lock.
        flag: That names another folder, for the error.

    Raises:
        RunError: If another process that is alive holds it.
    """
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise RunError(
            f"Expected {folder} to be free, but another mtl process is at work in it; do wait or choose another {flag}"
        ) from error
    try:
        yield
    finally:
        lock.release()


def follows() -> bool:
    """Say whether this is one of several processes of a training, and not the first.

    Lightning's `ddp` starts the same command again for every further device; such a process learns together with the first one and
    neither locks nor scores nor writes.
    """
    return any(os.environ.get(name, "0") != "0" for name in ("LOCAL_RANK", "RANK", "SLURM_PROCID"))


def stage_key(*parts: Any) -> str:
    """Return the hash that names a stage: same configuration, data, splits and parent weights, same key."""
    text = json.dumps([_FORMAT, *parts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def by_epoch(histories: Sequence[Sequence[Mapping[str, float]]], column: str) -> npt.NDArray[np.float64]:
    """Return a column of several histories, (runs, epochs): NaN behind an early end and where nothing was measured."""
    longest = max(map(len, histories))
    rows = [[row.get(column, np.nan) for row in one] + [np.nan] * (longest - len(one)) for one in histories]
    return np.array(rows, np.float64)


@dataclass(frozen=True)
class Predictions:
    """What a model said of N images.

    Attributes:
        classes: K names, in the order of the probabilities.
        names: Of the images.
        labels: What they are.
        groups: Patient, slide, field or cluster; the image itself where nothing is known.
        predicted: What was said.
        probabilities: (N, K).
    """

    classes: tuple[str, ...]
    names: tuple[str, ...]
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    predicted: tuple[str, ...]
    probabilities: npt.NDArray[np.float64]

    def truth(self) -> npt.NDArray[np.int64]:
        """Return the class index of every image, (N,)."""
        return np.array([self.classes.index(label) for label in self.labels], np.int64)


class StageFolder:
    """One stage of a run: its weights, history, metrics and predictions.

    Args:
        path: `RUN/stages/NUMBER-NAME-KEY`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Wait for the folder and hold it: of several processes that need one stage, one makes it."""
        if follows():  # its leader holds it
            yield
            return
        with FileLock(self.path / ".lock"):
            yield

    def wait(self) -> None:
        """Wait, as one that follows, until the leader has finished the stage.

        Raises:
            FailedError: If the leader is gone.
        """
        leader = os.getppid()
        while not self.finished():
            if os.getppid() != leader:
                raise FailedError(
                    f"Expected the first process to finish {self.path}, but it is gone; do run again"
                )
            time.sleep(0.2)

    @property
    def weights(self) -> Path:
        """The kept weights of a network, whose backbone the next stage begins from; no file where the learner is none."""
        return self.path / "weights.safetensors"

    def finished(self) -> bool:
        """Say whether the stage's last file, `stage.json`, is there, and what it learned."""
        learned = (self.weights, self.path / PIPELINES_FILE, self.path / AGGREGATE_FILE)
        return (self.path / "stage.json").is_file() and any(file.is_file() for file in learned)

    def record(self) -> StageRecord:
        """Return `stage.json`: a `LearnedRecord` where the stage learned.

        Raises:
            RunError: If it is damaged or of another version.
        """
        return read_stage(self.path / "stage.json")

    def learned_record(self) -> LearnedRecord:
        """Return `stage.json` of a stage that learned.

        Raises:
            RunError: If the stage did not learn.
        """
        record = self.record()
        if not isinstance(record, LearnedRecord):
            raise RunError(
                f"Expected {self.path} to be a stage that learned, but it holds {record.name} weights; do name another"
            )
        return record

    def identity(self) -> Identity:
        """Return which stage the model here is of, be it a stage that learned or an ensemble.

        Raises:
            ReadError: If what says so is missing or damaged.
            RunError: If the stage did not learn, or is of another version.
        """
        ensemble = self.path / ENSEMBLE_FILE
        if ensemble.is_file():
            return read_record(ensemble, Identity)
        record = self.learned_record()
        return Identity(key=record.key, number=record.number, positive=record.settings.data.positive)

    def learned(self) -> Learned:
        """Return what its weights have learned from, in this and all stages before."""
        path = self.path / "learned.json"
        return Learned(read_json(path) if path.is_file() else {})

    def history(self) -> tuple[dict[str, float], ...]:
        """Return scores by epoch, as `history.csv` holds them; what was not measured is absent.

        Raises:
            RunError: If the table is missing or damaged.
        """
        with self._table("history.csv") as rows:
            return tuple({key: float(value) for key, value in row.items() if value} for row in rows)

    def predictions(self, table: str = "predictions.csv") -> Predictions:
        """Return what was said of the test images, or of others.

        Args:
            table: The file that holds it: `validation.csv`, or what `ExternalRecord.predictions` names.

        Raises:
            RunError: If the table is missing or damaged.
        """
        with self._table(table) as rows:
            columns = [name for name in rows[0] if name.startswith("p_")]
            return Predictions(
                classes=tuple(name.removeprefix("p_") for name in columns),
                names=tuple(row["name"] for row in rows),
                labels=tuple(row["label"] for row in rows),
                groups=tuple(row["group"] or row["name"] for row in rows),
                predicted=tuple(row["predicted"] for row in rows),
                probabilities=np.array([[float(row[column]) for column in columns] for row in rows]),
            )

    @contextmanager
    def _table(self, name: str) -> Iterator[list[dict[str, str]]]:
        path = self.path / name
        try:
            with path.open(newline="", encoding="utf-8") as stream:
                yield list(csv.DictReader(stream))
        except (OSError, ValueError, KeyError, TypeError, IndexError, csv.Error) as error:
            raise RunError(
                f"Expected {path} to be a table of a run, but it cannot be read; do delete its folder to have it made again"
            ) from error


class RunFolder:
    """`runs/NAME/`: the truth about one run.

    Args:
        path: The folder.
        stages: Where stages lie, which several runs may share; `path`/stages if None.
        make: Make it where it is missing, and see that it can be written; False for reading alone.

    Raises:
        WriteError: If it cannot be made or written.
    """

    def __init__(self, path: Path, stages: Path | None = None, *, make: bool = True) -> None:
        self.path = path
        self.stages = stages or path / "stages"
        if not make:
            return
        for folder in (path, self.stages, path / "splits"):
            make_folder(folder)
        # A folder without rights says so now and not after the first training.
        write_text(path / ".probe", "", durable=False)
        (path / ".probe").unlink(missing_ok=True)

    def stage(self, number: int, name: str, key: str) -> StageFolder:
        """Return the folder of a stage, made if missing."""
        path = self.stages / f"{number}-{name}-{key}"
        make_folder(path)
        return StageFolder(path)

    def finished_stages(self) -> list[StageFolder]:
        """Return the finished stages, the newest last."""
        folders = [StageFolder(path) for path in self.stages.glob("*/")]
        return sorted(
            (folder for folder in folders if folder.finished()),
            key=lambda folder: (folder.path / "stage.json").stat().st_mtime,
        )

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process.

        Raises:
            RunError: If another process that is alive holds it.
        """
        if follows():
            yield
            return
        with hold(self.path, "--name"):
            yield

    def record(self) -> RunRecord:
        """Return `run.json`.

        Raises:
            RunError: If the run is not finished.
        """
        path = self.path / "run.json"
        if not path.is_file():
            raise RunError(
                f"Expected {self.path} to be a finished run, but it has no run.json; do start `mtl run` again to finish it"
            )
        return read_record(path, RunRecord)

    def claim(self, kind: str, **identity: Any) -> None:
        """Say what the folder is for, or refuse it where it is for something else.

        Args:
            kind: What command fills it, such as `run`.
            identity: What must stay the same when the command is given again, as `json` holds it.

        Raises:
            RunError: If the folder belongs to other work; the sentence says in what they differ.
        """
        path = self.path / "claim.json"
        wanted = json.loads(json.dumps({"kind": kind, **identity}, default=str))
        if path.is_file():
            known = read_json(path)
            if not isinstance(known, dict) or known.get("kind") != kind:
                other = known.get("kind") if isinstance(known, dict) else "something else"
                raise RunError(
                    f"Expected {self.path} to be a folder of `mtl {kind}`, but it belongs to `mtl {other}`; do choose another name"
                )
            differ = [key for key in dict.fromkeys((*known, *wanted)) if known.get(key) != wanted.get(key)]
            if differ:
                raise RunError(
                    f"Expected {self.path} to belong to the same work, but it differs in {', '.join(differ)}; do choose another "
                    "name, or delete the folder"
                )
            return
        write_json(path, wanted)


def open_run(path: Path) -> RunFolder:
    """Open an existing run to read it; nothing is written.

    Raises:
        RunError: If there is none.
    """
    if not (path / "config.yaml").is_file():
        raise RunError(
            f"Expected {path} to be a run folder, but it has no config.yaml; do give the folder that `mtl run` printed"
        )
    return RunFolder(path, make=False)


def environment() -> dict[str, str]:
    """Return what the run ran on: versions, processor, memory, time."""
    import torch

    versions = {name: metadata.version(name) for name in _PACKAGES}
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    return {
        "mtl": metadata.version("mtl"),
        "python": platform.python_version(),
        **versions,
        "system": f"{platform.system()} {platform.machine()}",
        "device": device,
        "threads": str(torch.get_num_threads()),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.is_file():
        for line in path.read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "CPU"
