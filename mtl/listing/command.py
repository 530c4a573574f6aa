"""What `mtl runs` and `mtl runs compare` do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mtl.comparison.compare import compare_predictions
from mtl.comparison.files import Written, write_comparison
from mtl.comparison.report import ComparisonContent
from mtl.comparison.tables import Predictions, names_of, read_predictions
from mtl.errors import ConfigError, MtlError, RunError
from mtl.records import LearnedRecord
from mtl.run.load import learned_stages
from mtl.runs import StageFolder, open_run
from segmentation.files import finite, read_json

__all__ = ["Listed", "Run", "compare_runs", "list_runs"]


@dataclass(frozen=True)
class Run:
    """A run folder.

    Attributes:
        name: Of it.
        kind: Of the command that fills it.
        finished: Whether that command came to its end; None where it cannot be told.
        bytes: Of all files.
        changed: When its newest file was written, ISO 8601.
        scores: Macro F1 of the last stage's test part, with its interval, by chain.
        about: What it learned last: data set and backbone.
        note: Why it cannot be read, if so.
    """

    name: str
    kind: str
    finished: bool | None
    bytes: int
    changed: str
    scores: Mapping[str, tuple[float, float, float]]
    about: str
    note: str = ""


@dataclass(frozen=True)
class Listed:
    """All run folders, the newest first."""

    folder: Path
    runs: tuple[Run, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json` can write."""
        found: dict[str, Any] = finite({"folder": str(self.folder), "runs": [vars(run) for run in self.runs]})
        return found

    def to_text(self) -> str:
        """Return a line for each run."""
        if not self.runs:
            return f"No run in {self.folder}"
        wide = max(len(run.name) for run in self.runs)
        return "\n".join(_line(run, wide) for run in self.runs)


def list_runs(folder: Path) -> Listed:
    """List the run folders of a folder; one that is damaged is listed with what is wrong.

    Raises:
        ConfigError: If there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigError(f"Expected `--runs` to be a folder, but got {folder}; do check the path")
    found = [_run(path) for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    known = [run for run in found if run is not None]
    return Listed(folder, tuple(sorted(known, key=lambda run: run.changed, reverse=True)))


def compare_runs(first: Path, second: Path, out: Path | None, command: str) -> Written:
    """Compare the last stages of two runs on the test images that both have, and write the report.

    Args:
        first: Run folder, or the folder of one of its stages.
        second: Another.
        out: Name of the report, without extension; `runs-A-B` beside the first if None.
        command: As typed.

    Raises:
        RunError: If one is not finished or was not tested.
        ConfigError: If they share no test images, or images with other labels.
    """
    both = (first.resolve(), second.resolve())
    told = [replace(_tested(path), model=name) for path, name in zip(both, names_of(both), strict=True)]
    shared = told[0].rows.keys() & told[1].rows.keys()
    if not shared:
        raise ConfigError(
            f"Expected {first} and {second} to share test images, but they have none in common; do give runs of one data set and split"
        )
    one, other = (replace(each, rows={name: each.rows[name] for name in shared}) for each in told)
    images = compare_predictions(one, other)
    alone = [f"{each.model} {len(each.rows) - len(shared)}" for each in told if len(each.rows) > len(shared)]
    notes = (f"Images that one run alone tested are left out: {', '.join(alone)}.",) if alone else ()
    content = ComparisonContent(
        f"{one.model} against {other.model}", "predictions", (images.verdict,), notes, images=(images,), command=command
    )  # fmt: skip
    return write_comparison(content, out or first.parent / f"runs-{first.name}-{second.name}")


def _tested(path: Path) -> Predictions:
    stages = learned_stages(path)
    if not stages:
        raise RunError(f"Expected {path} to hold a stage that learned, but it has none; do give another run")
    stage = stages[max(stages)]
    table = stage.path / "predictions.csv"
    if not table.is_file():
        raise RunError(
            f"Expected {stage.path} to be tested, but it has no predictions.csv; do run it with a test part"
        )
    return read_predictions(table)


def _run(path: Path) -> Run | None:
    claim = path / "claim.json"
    if not claim.is_file():
        return None
    files = [file.stat() for file in path.rglob("*") if file.is_file()]
    when = datetime.fromtimestamp(max(file.st_mtime for file in files), UTC).isoformat(timespec="seconds")
    plain = Run(path.name, "", None, sum(file.st_size for file in files), when, {}, "")
    try:
        told = read_json(claim)
        plain = replace(plain, kind=str(told["kind"]) if isinstance(told, dict) and "kind" in told else "?")
        if plain.kind != "run":
            return plain
        if not (path / "run.json").is_file():
            return replace(plain, finished=False)
        return _scored(path, plain)
    except MtlError as error:
        return replace(plain, note=str(error))


def _scored(path: Path, plain: Run) -> Run:
    run = open_run(path)
    scores, about = {}, ""
    for chain, names in run.record().chains.items():
        place = StageFolder(run.stages / names[-1])
        record = place.record() if place.finished() else None
        if isinstance(record, LearnedRecord):
            about = about or f"{record.data.dataset}, {record.weights.backbone}"
            if record.evaluation is not None:
                reach = record.evaluation.headline["macro_f1"]
                scores[chain] = (reach.value, reach.low, reach.high)
    return replace(plain, finished=True, scores=scores, about=about)


def _line(run: Run, wide: int) -> str:
    state = {True: "", False: "unfinished", None: ""}[run.finished]
    scores = "  ".join(
        f"{chain}: macro F1 {value:.3f} [{low:.3f}, {high:.3f}]"
        for chain, (value, low, high) in run.scores.items()
    )
    parts = (
        f"{run.bytes / 1e6:8.1f} MB",
        run.changed[:16].replace("T", " "),
        state,
        scores,
        run.about,
        run.note,
    )
    return f"{run.name:{wide}}  {run.kind:9}  " + "  ".join(part for part in parts if part)
