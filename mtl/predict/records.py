"""What `mtl predict` answers: typed, frozen, the same in Python, in `predictions.json` and in the tables."""

from __future__ import annotations

from mtl.records import Record
from stages.learners.model import Prediction

__all__ = ["CellSaid", "FieldSaid", "PatientSaid", "Said", "Share"]

UNSURE, UNLIKE = "unsure", "unlike the training data"


class Said(Record):
    """What a stage says, and how sure it is.

    Attributes:
        label: The most probable class.
        probabilities: By class, calibrated, summing to 1.
        within: Classes that it may be; empty where the stage was not calibrated.
        unsure: Whether it is too improbable to be answered.
        distance: To the training data, 1 for the farthest that is like them; None where it is not known.
        unlike: Whether it is farther: what is said means nothing.
    """

    label: str
    probabilities: dict[str, float]
    within: tuple[str, ...]
    unsure: bool
    distance: float | None
    unlike: bool

    @classmethod
    def of(cls, said: Prediction) -> Said:
        """Return a model's prediction as a record."""
        return cls(
            label=said.label, probabilities=dict(said.probabilities), within=said.within, unsure=said.unsure,
            distance=said.distance, unlike=said.unlike,
        )  # fmt: skip

    @property
    def probability(self) -> float:
        """Of the label."""
        return self.probabilities[self.label]

    @property
    def answer(self) -> str:
        """The label, or why there is none."""
        return UNLIKE if self.unlike else UNSURE if self.unsure else self.label


class Share(Record):
    """A part of the cells that were counted, with its 95 % interval.

    Attributes:
        count: Cells of the class.
        total: Cells that were counted: those that are like the training data.
        part: Count over total; None without cells.
        low: Of the interval; None without cells.
        high: Of the interval; None without cells.
    """

    count: int
    total: int
    part: float | None
    low: float | None
    high: float | None

    def to_text(self) -> str:
        """Return it for a person."""
        if self.part is None or self.low is None or self.high is None:
            return "no cell to count"
        return f"{self.count} of {self.total} cells, {self.part:.0%} [{self.low:.0%}, {self.high:.0%}]"


class CellSaid(Record):
    """A white cell of a field.

    Attributes:
        cell: Its number in the field, from 1.
        x: Of its centroid, px.
        y: Of its centroid, px.
        box: (x0, y0, x1, y1) in px, x1 and y1 excluded.
        area_px: Nucleus and cytoplasm.
        nucleus_area_px: Nucleus.
        nucleus_to_cytoplasm: None where no cytoplasm is seen.
        touches_border: Whether the image cuts it.
        outline: Its polygon, (x, y) in px, not closed.
        said: By stage 2; None where the run has none.
        decided: Its part in the field's answer; None where stage 3 does not answer by cells.
    """

    cell: int
    x: float
    y: float
    box: tuple[int, int, int, int]
    area_px: int
    nucleus_area_px: int
    nucleus_to_cytoplasm: float | None
    touches_border: bool
    outline: tuple[tuple[float, float], ...]
    said: Said | None
    decided: float | None = None


class FieldSaid(Record):
    """An image.

    Attributes:
        image: Its name.
        output: What its files are called.
        width: In px.
        height: In px.
        method: Which method found the cells.
        said: By stage 3; None where the run has none, or where it answers for patients.
        cells: White cells.
        blasts: Part of them that are blasts, Wilson's interval; None where no class is of blasts.
    """

    image: str
    output: str
    width: int
    height: int
    method: str
    said: Said | None
    cells: tuple[CellSaid, ...]
    blasts: Share | None


class PatientSaid(Record):
    """All fields of a patient or slide.

    Attributes:
        group: Its name.
        fields: Of it.
        cells: In them.
        unlike_fields: Fields that are unlike the training data.
        unlike_cells: Cells that are.
        aggregate: How it is answered: `field`, `mean` or `noisy-or` of cells, or `patient`, by a stage 3 that learned patients; None
            where nothing is said of it.
        label: The most probable class; None without one.
        answer: That, or why there is none.
        probabilities: By class; of `field` and `mean` over the fields or cells that are like the training data.
        decided: Part of each image in the answer, where stage 3 answers for patients; of those that it looked at.
        fields_by_class: Fields by what was answered.
        cells_by_class: Cells by what was answered.
        blasts: Part of the cells that are blasts, the interval widened by how fields differ; None where no class is of blasts.
    """

    group: str
    fields: int
    cells: int
    unlike_fields: int
    unlike_cells: int
    aggregate: str | None
    label: str | None
    answer: str | None
    probabilities: dict[str, float]
    decided: dict[str, float]
    fields_by_class: dict[str, int]
    cells_by_class: dict[str, int]
    blasts: Share | None
