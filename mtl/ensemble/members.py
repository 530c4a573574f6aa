"""The members of an ensemble: finished stages, or ensembles, that were tested on the same images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mtl.ensemble.records import read_ensemble
from mtl.errors import ConfigError
from mtl.records import ENSEMBLE_FILE, DataRecord
from mtl.run.load import locate
from mtl.runs import Predictions, StageFolder
from stages.metrics import Evaluation

__all__ = ["Member", "read_members"]


@dataclass(frozen=True)
class Member:
    """A model that was scored.

    Attributes:
        name: Short, and of no other member.
        folder: With its model and what it said.
        key: Hash of everything that decided it.
        number: Of the stage that it is.
        positive: Class that its settings name as positive, if one.
        validation: What it said of the validation part.
        test: What it said of the test part.
        data: What it learned from.
        colour: Scores of colour alone on the same test images, by baseline; empty where they were not asked for.
    """

    name: str
    folder: Path
    key: str
    number: int
    positive: str | None
    validation: Predictions
    test: Predictions
    data: DataRecord
    colour: Mapping[str, Evaluation]


def read_members(paths: Sequence[Path]) -> tuple[Member, ...]:
    """Read the members, their images in the order of the first one's.

    Args:
        paths: Run folders (the last stage of the first chain counts), stage folders, or folders of ensembles.

    Raises:
        ConfigError: If there are fewer than two, or they differ in classes, images or labels; the sentence says in what.
        RunError: If one is not finished, or was scored by an older version.
    """
    if len(paths) < 2:
        raise ConfigError(f"Expected two runs or more, but got {len(paths)}; do give the runs to combine")
    folders = [locate(path) for path in paths]
    for place, folder in enumerate(folders):
        if folder.resolve() in [other.resolve() for other in folders[:place]]:
            raise ConfigError(f"Expected different runs, but got {paths[place]} twice; do leave one out")
    names = _names(paths)
    first, *others = (_read(name, folder) for name, folder in zip(names, folders, strict=True))
    return (first, *(_aligned(first, other) for other in others))


def _read(name: str, folder: Path) -> Member:
    stage = StageFolder(folder)
    for file, need in (("predictions.csv", "a test part"), ("validation.csv", "a validation part")):
        if not (folder / file).is_file():
            raise ConfigError(
                f"Expected {folder} to hold {file}, but it is not there: an ensemble needs {need}; "
                "do run again with one (a run of an older version, too)"
            )
    if (folder / ENSEMBLE_FILE).is_file():
        told = read_ensemble(folder)
        data, colour = told.data, told.colour
    else:
        record = stage.learned_record()
        data, colour = record.data, record.baselines
    own = stage.identity()
    return Member(
        name, folder, own.key, own.number, own.positive, stage.predictions("validation.csv"), stage.predictions(), data, colour
    )  # fmt: skip


def _aligned(first: Member, other: Member) -> Member:
    if first.test.classes != other.test.classes:
        raise ConfigError(
            f"Expected members of the same classes, but {first.name} tells {', '.join(first.test.classes)} and {other.name} "
            f"{', '.join(other.test.classes)}; do combine runs of one task"
        )
    parts = (("test", first.test, other.test), ("validation", first.validation, other.validation))
    test, validation = (_ordered(first.name, other.name, *part) for part in parts)
    return replace(other, validation=validation, test=test)


def _ordered(one: str, two: str, part: str, first: Predictions, other: Predictions) -> Predictions:
    alone = sorted(set(first.names) ^ set(other.names))
    if alone:
        raise ConfigError(
            f"Expected members with the same {part} images, but {len(alone)} are of {one} or {two} alone, such as {alone[0]!r}; "
            "do run them on the same data with the same split and seed"
        )
    rows = {name: row for row, name in enumerate(other.names)}
    order = np.array([rows[name] for name in first.names], np.int64)
    labels = tuple(other.labels[row] for row in order)
    if labels != first.labels:
        name = next(n for n, a, b in zip(first.names, first.labels, labels, strict=True) if a != b)
        raise ConfigError(
            f"Expected members that agree on the labels, but {name!r} of the {part} part has two in {one} and {two}; do use the same data"
        )
    # The first one's groups hold: they were searched for in the same images.
    said = tuple(other.predicted[row] for row in order)
    return Predictions(first.classes, first.names, labels, first.groups, said, other.probabilities[order])


def _names(paths: Sequence[Path]) -> list[str]:
    parts = [path.resolve().parts for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        names = [re.sub(r"[^\w.+-]", "_", "-".join(part[-depth:])) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{place}-{path.name}" for place, path in enumerate(paths, 1)]
