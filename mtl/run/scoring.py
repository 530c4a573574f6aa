"""What is said of scored images, on the test part and on data sets from elsewhere: scores, colour alone, a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mtl.config import Experiment
from mtl.records import OverColour, SourceRecord
from mtl.runs import Predictions
from segmentation.files import write_table
from stages.data.sample import Sample
from stages.data.sources import SourceSet
from stages.metrics import Evaluation, evaluate, paired_difference

__all__ = ["Scorer", "group_name", "source_record", "write_predictions", "write_said"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scorer:
    """Scores votes on some images.

    Attributes:
        experiment: Gives resamples and seed of the intervals.
        samples: N images, grouped.
        classes: K names, in the order of the votes.
    """

    experiment: Experiment
    samples: Sequence[Sample]
    classes: tuple[str, ...]

    def evaluate(self, votes: Floats) -> Evaluation:
        """Score votes (N, K)."""
        return evaluate(self._labels, votes, self._groups, self.classes, **self._drawing)

    def against_colour(
        self, votes: Floats, colour: Mapping[str, Floats]
    ) -> tuple[dict[str, Evaluation], OverColour]:
        """Score colour alone, and the model's lead over the better baseline on the same images.

        Args:
            votes: Of the model, (N, K).
            colour: Of every baseline, (N, K).
        """
        scores = {name: self.evaluate(vote) for name, vote in colour.items()}
        best = max(scores, key=lambda name: scores[name].headline["macro_f1"].value)
        lead = paired_difference(self._labels, votes, colour[best], self._groups, "macro_f1", **self._drawing)
        return scores, OverColour(baseline=best, macro_f1=lead)

    @property
    def _labels(self) -> npt.NDArray[np.int64]:
        return np.array([self.classes.index(sample.label) for sample in self.samples], np.int64)

    @property
    def _groups(self) -> list[str]:
        return [group_name(sample) for sample in self.samples]

    @property
    def _drawing(self) -> dict[str, int]:
        return {"resamples": self.experiment.evaluation.resamples, "seed": self.experiment.seed}


def write_predictions(path: Path, samples: Sequence[Sample], classes: Sequence[str], votes: Floats) -> None:
    """Write what was said of every image as a table.

    Raises:
        WriteError: If it cannot be written.
    """
    names, labels, groups = (
        tuple(getattr(sample, field) or "" for sample in samples) for field in ("name", "label", "group")
    )
    said = tuple(classes[int(scores.argmax())] for scores in votes)
    write_said(path, Predictions(tuple(classes), names, labels, groups, said, votes))


def write_said(path: Path, told: Predictions) -> None:
    """Write predictions as the table that `StageFolder.predictions` reads.

    Raises:
        WriteError: If it cannot be written.
    """
    rows = zip(told.names, told.labels, told.groups, told.predicted, told.probabilities, strict=True)
    table = [(*names, *(f"{score:.9g}" for score in votes)) for *names, votes in rows]
    write_table(path, ["name", "label", "group", "predicted", *(f"p_{name}" for name in told.classes)], table)


def source_record(source: SourceSet, samples: Sequence[Sample]) -> SourceRecord:
    """Return what stands in a record of a source and its samples."""
    return SourceRecord(
        name=source.name,
        dataset=source.dataset.name,
        root=source.root,
        rendered=source.rendered,
        unit=source.unit,
        images=len(samples),
        groups=len({group_name(sample) for sample in samples}),
    )


def group_name(sample: Sample) -> str:
    """Return what an interval is drawn over: the group, or the image where nothing is known."""
    return sample.group or sample.name
