"""What stands in `ensemble.json`."""

from __future__ import annotations

from pathlib import Path

from mtl.ensemble.settings import EnsembleSettings
from mtl.records import ENSEMBLE_FILE, DataRecord, Number, Reach, Record, Scored, read_record
from stages.learners.ensemble.combine import Combination

__all__ = ["EnsembleRecord", "MemberRecord", "read_ensemble"]


class MemberRecord(Record):
    """One member.

    Attributes:
        name: Of its folder in `members/`.
        folder: Where it was taken from.
        key: Hash of everything that decided it.
        sha256: Of its `model.json` there, by which its weights and preprocessing are named.
        evaluation: On the test part.
        lead: Macro F1 of the ensemble minus its own, on the test part.
    """

    name: str
    folder: Path
    key: str
    sha256: str
    evaluation: Scored
    lead: Reach


class EnsembleRecord(Record):
    """`ensemble.json`: a finished ensemble.

    Attributes:
        name: Of the folder.
        key: Hash of everything that decides it.
        command: As typed.
        settings: As given.
        number: Of the stage that its members are.
        positive: Class that their settings name as positive, if one.
        classes: In the order of the probabilities.
        members: In the order of the combination.
        combination: How they are combined.
        threshold: Below which no answer is given.
        data: What the first member learned from.
        colour: Scores of colour alone on the same test images, by baseline.
        evaluation: On the test part, an answer of every image.
        coverage: Share of the test images with an answer.
        answered: Share of right ones among these; NaN where there is none.
        environment: Versions, processor, date.
    """

    name: str
    key: str
    command: str
    settings: EnsembleSettings
    number: int
    positive: str | None
    classes: tuple[str, ...]
    members: tuple[MemberRecord, ...]
    combination: Combination
    threshold: float
    data: DataRecord
    colour: dict[str, Scored]
    evaluation: Scored
    coverage: float
    answered: Number
    environment: dict[str, str]


def read_ensemble(folder: Path) -> EnsembleRecord:
    """Read `ensemble.json` of a folder.

    Raises:
        ReadError: If it is missing or damaged.
        RunError: If it is of another version.
    """
    return read_record(folder / ENSEMBLE_FILE, EnsembleRecord)
