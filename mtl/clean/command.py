"""Judge every label of a stage by heads that did not learn from it, and write what to look at and a table to correct."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mtl.clean.settings import CleanLabels
from mtl.clean.suspects import Suspects, find_suspects
from mtl.config import STAGE_FIELDS
from mtl.errors import RunError
from mtl.extras import check_extra
from mtl.progress import Reporter, Steps
from mtl.records import LearnedRecord
from mtl.report.page import render_page
from mtl.run.content import Mistake, find_mistakes
from mtl.run.load import locate
from mtl.runs import StageFolder, environment, open_run
from segmentation.files import make_folder, write_table, write_text
from stages.assemble import Assembled, assemble
from stages.data.sample import Sample
from stages.learners.model import load_model
from stages.learners.stacked.model import StackedLearner
from stages.splits.split import group_of
from stages.task import Task

__all__ = ["Cleaned", "clean_labels"]

_MISTAKES = 24
_PAIRS = 12


@dataclass(frozen=True)
class Cleaned:
    """What was found, and where it lies.

    Attributes:
        folder: With `report.html` and `labels.csv`.
        record: Of the stage.
        samples: N images.
        classes: K names.
        suspects: Whose label is probably wrong.
        probabilities: From outside, (N, K).
        mistakes: Of the run's own model on its test part, the surest first.
        runnable: Whether `labels.csv` can be given to `mtl run`: every image is a file of its own.
    """

    folder: Path
    record: LearnedRecord
    samples: Sequence[Sample]
    classes: tuple[str, ...]
    suspects: Suspects
    probabilities: npt.NDArray[np.float64]
    mistakes: Sequence[Mistake]
    runnable: bool

    def rows(self) -> list[dict[str, Any]]:
        """Return the suspects for people and machines, the surest first."""
        return [
            {
                "name": self.samples[row].name,
                "label": self.samples[row].label,
                "suggested": self.classes[self.suspects.suggested[row]],
                "p_label": float(self.probabilities[row, self.classes.index(self.samples[row].label)]),
                "p_suggested": float(self.probabilities[row].max()),
            }
            for row in self.suspects.rows
        ]

    def pairs(self) -> list[tuple[str, str, int]]:
        """Return label, suggestion and how many, the most frequent first; a dozen at most."""
        count = Counter((row["label"], row["suggested"]) for row in self.rows())
        return [(*pair, number) for pair, number in count.most_common(_PAIRS)]

    def sentence(self) -> str:
        """Return the result for a person."""
        return (
            f"{len(self.suspects.rows)} of {len(self.samples)} labels of {self.record.data.dataset} are suspected, by heads that learned "
            "from images of other groups; a suspect may be a hard image whose label is right"
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json` can write."""
        return {
            "images": len(self.samples),
            "suspects": self.rows(),
            "mistakes": [vars(one) for one in self.mistakes],
            "labels": str(self.folder / "labels.csv"),
            "report": str(self.folder / "report.html"),
        }

    def to_text(self) -> str:
        """Return a few lines for a person."""
        table = self.folder / "labels.csv"
        pairs = [
            f"  {number:>5}  {label} that look like {suggested}" for label, suggested, number in self.pairs()
        ]
        flag = STAGE_FIELDS[self.record.number].replace("_", "-")
        again = (
            f"Correct the column `label` of {table}, then: mtl run --{flag} manifest:{table}"
            if self.runnable
            else f"Wrote {table}; several images share a file here, so correct the source of these labels itself"
        )
        return "\n".join([f"{self.sentence()}.", *pairs, again, f"Report {self.folder / 'report.html'}"])


def clean_labels(run: Path, out: Path | None, settings: CleanLabels, command: str) -> Cleaned:
    """Find labels of a stage that are probably wrong.

    Features are those of the backbone that the stage began from, which has seen none of these labels.

    Args:
        run: Run folder, or the folder of one of its stages.
        out: Folder of outputs; `clean` in the stage's folder if None.
        settings: Whose labels, and how.
        command: As typed.

    Raises:
        RunError: If there is no such stage, or the one before it is gone.
        MissingExtraError: If cleanlab is not installed.
        StagesError: If data cannot be read, or a class stands in one group alone.
    """
    check_extra("clean")
    folder = StageFolder(locate(run, settings.chain, settings.stage))
    record = folder.learned_record()
    with Reporter() as reporter:
        data = assemble(record.settings.data, record.settings.split.near_duplicates, reporter.step)
        votes = _judged(folder, record, data, settings, reporter)
    suspects = find_suspects(data.labels(), votes)
    told = find_mistakes(folder.predictions()) if record.evaluation is not None else ()
    alone = all(sample.frame is None and sample.crop is None for sample in data.samples)
    where = out or folder.path / "clean"
    found = Cleaned(where, record, data.samples, data.classes, suspects, votes, told[:_MISTAKES], alone)
    _write(found, data, settings.shown, command)
    return found


def _judged(
    folder: StageFolder, record: LearnedRecord, data: Assembled, settings: CleanLabels, reporter: Steps
) -> npt.NDArray[np.float64]:
    # As the stage saw them: what its preprocessing measured of the training part stands in its model.
    preprocess = load_model(folder.path).preprocess
    images = preprocess.store(data.samples, data.fingerprint, partial(reporter.step, "decode"))
    _, groups = np.unique([group_of(sample) for sample in data.samples], return_inverse=True)
    task = Task(images, data.labels(), {}, data.classes, preprocess, groups.astype(np.int64))
    parent = _parent(folder, record)
    judge = partial(reporter.step, "judge")
    learner = StackedLearner(record.settings, record.weights, parent.weights, 0, progress=judge)
    return learner.out_of_fold(task, settings.folds)


def _parent(folder: StageFolder, record: LearnedRecord) -> StageFolder:
    near = [StageFolder(path) for path in folder.path.parent.glob(f"*-{record.parent}")]
    run = folder.path.parent.parent
    start = open_run(run).record().start if (run / "run.json").is_file() else None
    for stage in (*near, *([StageFolder(start)] if start else [])):
        if stage.weights.is_file():
            return stage
    raise RunError(
        f"Expected the stage before {folder.path} beside it, with the backbone that it began from, but it is gone; do run `mtl run` again"
    )


def _write(found: Cleaned, data: Assembled, shown: int, command: str) -> None:
    from mtl.run.figures import picture

    make_folder(found.folder)
    _write_labels(found, data)
    sources = found.record.data.sources
    page = render_page(
        "mtl.clean",
        found=found,
        shown=[(row, picture(row["name"], sources)) for row in found.rows()[:shown]],
        mistakes=[(one, picture(one.name, sources)) for one in found.mistakes],
        licences=sorted({source.dataset.licence for source in data.sources}),
        command=command,
        environment=environment(),
    )
    write_text(found.folder / "report.html", page)


def _write_labels(found: Cleaned, data: Assembled) -> None:
    # What near-duplicates tie is found again by whoever reads the table; the source's own groups are not in the files.
    grouped = all(sample.name in data.stated for sample in found.samples)
    rank = {int(row): place for place, row in enumerate(found.suspects.rows, 1)}
    order = [*rank, *(row for row in range(len(found.samples)) if row not in rank)]
    rows = []
    for row in order:
        sample, doubted = found.samples[row], row in rank
        votes, suggested = found.probabilities[row], found.classes[found.suspects.suggested[row]]
        rows.append(
            [
                str(sample.path.absolute()) if found.runnable else sample.name,
                sample.label,
                data.stated[sample.name] if grouped else "",
                str(sample.mask.absolute()) if sample.mask else "",
                sample.part or "",
                rank.get(row, ""),
                suggested if doubted else "",
                f"{votes[found.classes.index(sample.label)]:.4f}",
                f"{votes.max():.4f}",
            ]
        )
    header = ["path", "label", "group", "mask", "part", "suspect", "suggested", "p_label", "p_most"]
    write_table(found.folder / "labels.csv", header, rows)
