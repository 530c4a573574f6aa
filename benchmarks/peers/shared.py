"""What the comparisons with peers share: splits of real smears, a clock of wall and processor, ratios with intervals.

    python -m venv beside && beside/bin/pip install -c constraints.txt -e . "fastai>=2.8,<2.9"
    MTL_REALDATA=... beside/bin/python benchmarks/peers/fine_tune.py

A peer and ours take turns in one process, seed by seed, so that what else the machine does meets both. Time of the processor is that of
this process and of the workers that it has ended.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import stats
from sklearn.metrics import f1_score

from mtl.config import load_config
from stages.assemble import Assembled, assemble, make_split, make_task
from stages.learners.model import Learner
from stages.learners.network.backbones import imagenet_backbone
from stages.learners.network.weights import WeightRecord
from stages.preprocess import Preprocess
from stages.settings import StageSettings
from stages.splits.split import Split

__all__ = [
    "BACKBONE",
    "HEADER",
    "Clock",
    "cold_cache",
    "deepapl",
    "f1",
    "our_votes",
    "part",
    "print_ratios",
    "row_of",
    "start_weights",
    "taleqani",
]

BACKBONE = "tf_efficientnet_lite0"
HEADER = "| seed | who | wall s | processor s | macro F1 |\n|---|---|---|---|---|"


@dataclass
class Clock:
    """Seconds of what ran under it; see `ran`."""

    wall: float = 0.0
    processor: float = 0.0
    _began: tuple[float, float] = field(default=(0.0, 0.0), repr=False)

    @contextmanager
    def ran(self) -> Iterator[None]:
        """Add what runs in this context."""
        began = time.perf_counter(), _processor()
        yield
        self.wall += time.perf_counter() - began[0]
        self.processor += _processor() - began[1]


def taleqani(*sets: str) -> tuple[StageSettings, Assembled, Split]:
    """Return stage 3 of the configuration `pbc-taleqani`, its images, and the first block hold-out."""
    settings = load_config("pbc-taleqani", {}, ("multi_cell.preprocess.image_size=128", *sets)).stage(3)
    data = assemble(settings.data, near_duplicates=True)
    return settings, data, make_split(data.samples, settings.split, 0, data.unit, None, "")


def deepapl(seed: int) -> tuple[StageSettings, Assembled, Split]:
    """Return stage 3 of the configuration `pbc-deepapl`, its images, and a split over patients."""
    settings = load_config("pbc-deepapl", {}).stage(3)
    data = assemble(settings.data, near_duplicates=True)
    return settings, data, make_split(data.samples, settings.split, seed, data.unit, None, "")


def part(data: Assembled, split: Split, name: str) -> tuple[list[Path], np.ndarray]:
    """Return files and class indices of a part of a split."""
    parts = split.part_of()
    rows = [row for row, sample in enumerate(data.samples) if parts.get(sample.name) == name]
    return [data.samples[row].path for row in rows], data.labels()[rows]


def start_weights(folder: Path) -> tuple[WeightRecord, Path]:
    """Return ImageNet's weights, which all begin from."""
    path = folder / "start.safetensors"
    return imagenet_backbone(BACKBONE, "auto", path, 0), path


@contextmanager
def cold_cache() -> Iterator[None]:
    """Let nothing that was decoded or computed before be found."""
    before = os.environ.get("MTL_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MTL_CACHE"] = folder
        try:
            yield
        finally:
            os.environ.pop("MTL_CACHE")
            if before is not None:
                os.environ["MTL_CACHE"] = before


def our_votes(
    learner: Learner, data: Assembled, split: Split, settings: StageSettings, clock: Clock
) -> np.ndarray:
    """Read, fit as `mtl run` does, and return votes on the test part; reading and fitting are timed."""
    with cold_cache(), tempfile.TemporaryDirectory() as folder:
        with clock.ran():
            task = make_task(data, split, Preprocess(settings.preprocess))
            model, _ = learner.fit(task, Path(folder))
        return model.prepared_probabilities(task.images[task.rows["test"]])


def row_of(seed: int, who: str, clock: Clock, score: float) -> str:
    """Return a row under `HEADER`."""
    return f"| {seed} | {who} | {clock.wall:.1f} | {clock.processor:.1f} | {score:.4f} |"


def f1(labels: np.ndarray, votes: np.ndarray) -> float:
    """Return macro F1 of votes (N, K)."""
    return float(f1_score(labels, votes.argmax(axis=1), average="macro"))


def print_ratios(what: str, ours: Sequence[float], theirs: Sequence[float]) -> None:
    """Print the geometric mean of ours over theirs, pair by pair, and its 95 % interval (t, on the logarithm)."""
    logs = np.log(np.divide(ours, theirs))
    mean, count = logs.mean(), len(logs)
    reach = stats.t.ppf(0.975, count - 1) * logs.std(ddof=1) / np.sqrt(count) if count > 1 else np.nan
    low, high = np.exp([mean - reach, mean + reach])
    print(f"{what}: ratio {np.exp(mean):.3f} [{low:.3f}, {high:.3f}] over {count} pairs", flush=True)


def _processor() -> float:
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
