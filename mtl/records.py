"""What stands in `stage.json`, `run.json` and `cell.json`: typed, frozen, checked when read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError

from mtl.errors import RunError
from segmentation.files import read_json, write_json
from stages.calibrate import Certainty
from stages.learners.network.weights import WeightRecord
from stages.metrics import Evaluation, Interval
from stages.settings import StageSettings

__all__ = [
    "ENSEMBLE_FILE",
    "CellRecord",
    "ChainScores",
    "Comparison",
    "DataRecord",
    "ExternalRecord",
    "Identity",
    "LearnedRecord",
    "OverColour",
    "Record",
    "RunRecord",
    "SourceRecord",
    "StageRecord",
    "TrustRecord",
    "read_record",
    "read_stage",
    "write_record",
]

ENSEMBLE_FILE = "ensemble.json"


def _interval(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    try:
        return Interval(**{key: math.nan if entry is None else entry for key, entry in value.items()})
    except TypeError as error:
        raise ValueError("another version's interval") from error


def _number(value: Any) -> Any:
    return math.nan if value is None else value


def _evaluation(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    try:
        return Evaluation.from_json(value)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("another version's scores") from error


Reach = Annotated[Interval, BeforeValidator(_interval)]
"""An interval; a bound that is not defined is null in the file and NaN here."""
Number = Annotated[float, BeforeValidator(_number)]
Scored = Annotated[Evaluation, BeforeValidator(_evaluation), PlainSerializer(lambda scores: scores.to_json())]


class Record(BaseModel):
    """Base of all records."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Identity(Record):
    """Which stage a model is of, for who answers with it; other keys of the file do not matter.

    Attributes:
        key: Hash of everything that decided it.
        number: Of the stage; of an ensemble, that of its members.
        positive: Class that the settings name as positive, if one.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    key: str
    number: int
    positive: str | None


class OverColour(Record):
    """The better colour-only baseline, and the model's macro F1 minus its own on the same images."""

    baseline: str
    macro_f1: Reach


class SourceRecord(Record):
    """One data set of a stage, or of a test.

    Attributes:
        name: Its own in the stage.
        dataset: Name in the catalogue.
        root: Its folder.
        rendered: Whether its images are rendered smears.
        unit: What its groups are.
        images: Of it that are used.
        groups: That they are in.
    """

    name: str
    dataset: str
    root: Path
    rendered: bool
    unit: str
    images: int
    groups: int


class DataRecord(Record):
    """What a stage learned from.

    Attributes:
        dataset: Names of the sources together.
        sources: Data sets that it is made of.
        rendered: Whether there are rendered smears among the images.
        fingerprint: Hash of names, labels, groups and file contents.
        counts: Images by part and class.
        groups: Patients, slides or fields by part.
        unit: What the groups are.
        split: How the parts were made.
        notes: Plain sentences for the report.
    """

    dataset: str
    sources: tuple[SourceRecord, ...]
    rendered: bool
    fingerprint: str
    counts: dict[str, dict[str, int]]
    groups: dict[str, int]
    unit: str
    split: str
    notes: tuple[str, ...]


class ExternalRecord(Record):
    """What a finished stage reached on a data set that no stage has seen.

    Attributes:
        key: Hash of everything that decides the result.
        source: The data set.
        counts: Images by class of the stage.
        notes: Plain sentences for the report.
        predictions: File in the stage's folder with what was said of every image.
        device: Where it predicted.
        precision: In which it predicted.
        evaluation: Scores.
        baselines: The colour-only baselines, trained on the stage's training part, on the same images.
        over_colour: The model's lead over the better baseline.
    """

    key: str
    source: SourceRecord
    counts: dict[str, int]
    notes: tuple[str, ...]
    predictions: str
    device: str
    precision: str
    evaluation: Scored
    baselines: dict[str, Scored]
    over_colour: OverColour | None


class TrustRecord(Record):
    """What a stage's calibration found on the validation part, and is worth on the test part.

    Attributes:
        certainty: As the model carries it.
        ece_before: Expected calibration error of the test part at temperature 1.
        ece_after: At the model's temperature.
        coverage: Part of the test images of a class whose set holds it; None where there are none.
        set_size: Mean classes in a set.
        answered: Part of the test images that are not unsure.
        answered_accuracy: Of those; None where all are unsure.
        unlike: Part of the test images that are called unlike the training data; None where distances are not known.
    """

    certainty: Certainty
    ece_before: Number
    ece_after: Number
    coverage: dict[str, float | None]
    set_size: Number
    answered: float
    answered_accuracy: float | None
    unlike: float | None


class StageRecord(Record):
    """`stage.json` of stage 1, and what every stage has.

    Attributes:
        number: 1, 2 or 3.
        name: Such as `single_cell`.
        key: Hash of everything that decides the weights.
        weights: Where the backbone came from.
        lineage: Numbers of the stages that its weights went through.
        seconds: That it took.
        backbone: Fingerprint of the backbone that it leaves, bit for bit; None where it has none.
    """

    number: int
    name: str
    key: str
    weights: WeightRecord
    lineage: tuple[int, ...] = (1,)
    seconds: float
    backbone: str | None = None


class LearnedRecord(StageRecord):
    """`stage.json` of a stage that learned.

    Attributes:
        parent: Key of the stage before.
        start: Fingerprint of the backbone that it began from.
        classes: In the order of the probabilities.
        settings: Of the stage.
        data: What it learned from.
        best_epoch: Whose weights were kept, from 0.
        parameters: Of the network.
        device: Where it predicted.
        precision: In which it predicted, `32-true` or `bf16-mixed`.
        evaluation: Scores on the test part, if there is one.
        baselines: The colour-only baselines on the same images.
        over_colour: The model's lead over the better baseline.
        trust: How sure it may be; None without a validation or a test part.
        tests: Scores on data sets that no stage has seen, the newest last; they may come after the stage is finished.
    """

    parent: str
    start: str | None = None
    classes: tuple[str, ...]
    settings: StageSettings
    data: DataRecord
    best_epoch: int
    parameters: int
    device: str
    precision: str
    evaluation: Scored | None
    baselines: dict[str, Scored]
    over_colour: OverColour | None
    trust: TrustRecord | None = None
    tests: tuple[ExternalRecord, ...] = ()


class Comparison(Record):
    """Difference of two chains' last stages on the same test images: first minus second.

    Attributes:
        first: A chain.
        second: Another.
        test: Name of the external test whose images they are; None is the test part.
        same_start: Whether both last stages began from the same backbone, bit for bit: then a chain is compared with itself.
        accuracy: First minus second.
        macro_f1: First minus second.
    """

    first: str
    second: str
    same_start: bool
    accuracy: Reach
    macro_f1: Reach
    test: str | None = None


class RunRecord(Record):
    """`run.json`.

    Attributes:
        name: Of the run.
        command: As typed.
        chains: Folder names of the stages, by chain.
        start: The stage folder that `--from` named.
        environment: Versions, processor, date.
        comparison: Of the first two chains, where both were tested on the same images.
        external: Of the same chains on every external test.
    """

    name: str
    command: str
    chains: dict[str, tuple[str, ...]]
    start: Path | None
    environment: dict[str, str]
    comparison: Comparison | None
    external: tuple[Comparison, ...] = ()


class ChainScores(Record):
    """What one chain reached in one cell of a benchmark.

    Attributes:
        stage: Folder name of its last stage.
        seconds: Of all its stages.
        scores: By metric.
        detection: Accuracy of telling the healthy class from all others; None without one.
        colour: Scores of colour alone; empty where it was not asked.
        start: Fingerprint of the backbone that its last stage began from.
    """

    stage: str
    start: str | None = None
    seconds: float
    scores: dict[str, Number]
    detection: float | None
    colour: dict[str, Number]


class CellRecord(Record):
    """`cell.json`: all chains, under all variants of the settings, on one split.

    Attributes:
        key: Hash of everything that decides the result.
        repeat: From 0.
        fold: From 0.
        backbone: timm name.
        seed: Of splits and training.
        trained: Images that trained the last stage.
        tested: Images that it was tested on.
        chains: Scores by chain, by variant, or by both; see `Design.systems`.
    """

    key: str
    repeat: int
    fold: int
    backbone: str
    seed: int
    trained: int
    tested: int
    chains: dict[str, ChainScores]


R = TypeVar("R", bound=Record)


def write_record(path: Path, record: Record) -> None:
    """Write a record as JSON, NaN as null.

    Raises:
        WriteError: If it cannot be written.
    """
    write_json(path, record.model_dump(mode="json"))


def read_record(path: Path, kind: type[R]) -> R:
    """Read a record.

    Raises:
        ReadError: If the file is missing or damaged.
        RunError: If it is of another version.
    """
    return _validated(path, read_json(path), kind)


def read_stage(path: Path) -> StageRecord:
    """Read `stage.json`: a `LearnedRecord` where the stage learned.

    Raises:
        ReadError: If the file is missing or damaged.
        RunError: If it is of another version.
    """
    value = read_json(path)
    learned = isinstance(value, dict) and "data" in value
    return _validated(path, value, LearnedRecord if learned else StageRecord)


def _validated(path: Path, value: Any, kind: type[R]) -> R:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise RunError(
            f"Expected {path} to be written by this version of mtl, but `{where}` is not; do delete it to have it made again"
        ) from error
