"""The run folder: what lies where, and its lock."""

from __future__ import annotations

import csv
import hashlib
import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from mtl.errors import RunError
from segmentation.files import make_folder, read_json, write_text
from stages.splits.chains import Learned

__all__ = [
    "RunFolder",
    "StageFolder",
    "environment",
    "open_run",
    "stage_key",
]

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


def stage_key(*parts: Any) -> str:
    """Return the hash that names a stage: same configuration, data, splits and parent weights, same key."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


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
        with (self.path / ".lock").open("a+") as stream:
            _try_lock(stream, wait=True)
            yield

    @property
    def weights(self) -> Path:
        """The kept weights."""
        return self.path / "weights.safetensors"

    def finished(self) -> bool:
        """Say whether the stage's last file, `stage.json`, is there."""
        return (self.path / "stage.json").is_file() and self.weights.is_file()

    def record(self) -> dict[str, Any]:
        """Return `stage.json`."""
        record: dict[str, Any] = read_json(self.path / "stage.json")
        return record

    def learned(self) -> Learned:
        """Return what its weights have learned from, in this and all stages before."""
        path = self.path / "learned.json"
        return Learned(read_json(path) if path.is_file() else {})

    def read_table(self, name: str) -> list[dict[str, str]]:
        """Read a CSV file."""
        with (self.path / name).open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))


class RunFolder:
    """`runs/NAME/`: the truth about one run.

    Args:
        path: The folder; made if missing.
        stages: Where stages lie, which several runs may share; `path`/stages if None.

    Raises:
        WriteError: If it cannot be made or written.
    """

    def __init__(self, path: Path, stages: Path | None = None) -> None:
        self.path = path
        self.stages = stages or path / "stages"
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
        folders = [StageFolder(path) for path in self.stages.iterdir() if path.is_dir()]
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
        path = self.path / ".lock"
        with path.open("a+") as stream:
            if not _try_lock(stream):
                raise RunError(
                    f"Expected the run folder {self.path} to be free, but another mtl process is at work in it; do wait or choose --name"
                )
            yield


def open_run(path: Path) -> RunFolder:
    """Open an existing run.

    Raises:
        RunError: If there is none.
    """
    if not (path / "config.yaml").is_file():
        raise RunError(
            f"Expected {path} to be a run folder, but it has no config.yaml; do give the folder that `mtl run` printed"
        )
    return RunFolder(path)


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


def _try_lock(stream: Any, wait: bool = False) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows has no fcntl; two runs in one folder are then the user's to avoid
        return True
    try:
        fcntl.flock(stream, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
