"""What the papers print, as data: `papers/NAME.yaml`."""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, model_validator

from mtl.errors import ConfigError
from segmentation.settings import Settings

__all__ = [
    "Claim",
    "Confusion",
    "Paper",
    "PaperEnsemble",
    "PaperRow",
    "PaperTable",
    "paper_names",
    "read_paper",
]

_FOLDER = Path(__file__).parent / "papers"


class PaperRow(Settings):
    """A row of a table.

    Attributes:
        system: Which of the paper's networks it is of; none if it cannot be run here.
        name: For people, where there is no system.
        of: The class, in rows of one class against the rest.
        values: As printed; null where nothing stands.
    """

    system: str = ""
    name: str = ""
    of: str = Field("", alias="class")
    values: tuple[float | None, ...]

    @property
    def title(self) -> str:
        """For people."""
        return self.name or self.system


class Claim(Settings):
    """A t test that is printed: of the table's two columns."""

    t: float
    df: float
    p: float


class VotedTable(Settings):
    """Weights and threshold of the ensemble that a table is of."""

    weights: tuple[float, ...]
    threshold: float


class PaperTable(Settings):
    """One table.

    Attributes:
        number: As printed.
        title: What it shows.
        percent: Whether values are per cent, and not from 0 to 1.
        of: Over what ours are: `macro` averages with plain accuracy, `one-vs-rest` averages with the mean accuracy of one class
            against the rest, `detection` of all that is not healthy, `positive` of the second of two classes, or nothing of ours.
        columns: Names of the scores.
        ours: Which of our scores stands beside each, where it is called otherwise; empty text for none.
        two_classes: Whether a row is of one class against the rest, so that its scores determine one another.
        images: Tested, where the paper says so.
        counts: Tested of each class, where the paper says so.
        vote: Of the ensemble, where the table is of one.
        claim: A printed t test.
        means: Columns that are the mean of others.
        rows: As printed.
    """

    number: str
    title: str
    percent: bool = False
    of: Literal["macro", "one-vs-rest", "detection", "positive", "none"]
    columns: tuple[str, ...]
    ours: tuple[str, ...] = ()
    two_classes: bool = False
    images: int | None = None
    counts: dict[str, int] = Field({})
    vote: VotedTable | None = None
    claim: Claim | None = None
    means: dict[str, tuple[str, ...]] = Field({})
    rows: tuple[PaperRow, ...]

    @model_validator(mode="after")
    def _rectangular(self) -> PaperTable:
        for row in self.rows:
            if len(row.values) != len(self.columns):
                raise ValueError(
                    f"Expected {len(self.columns)} values in {row.title!r} of {self.number}, but got {len(row.values)}; do mend it"
                )
        return self

    @property
    def scores(self) -> tuple[str, ...]:
        """Our score for each column."""
        return self.ours or self.columns


class Confusion(Settings):
    """A confusion matrix, and the accuracy that is printed for it."""

    number: str
    system: str
    accuracy: float
    counts: tuple[tuple[int, ...], ...]


class PaperEnsemble(Settings):
    """Networks of the paper that are combined."""

    name: str
    members: tuple[str, ...]
    rule: Literal["grid", "optimised"]


class Paper(Settings):
    """A paper: what it prints, and the configuration that runs it.

    Attributes:
        letter: As in docs/papers.md.
        title: Authors, year, title.
        config: Name in `mtl configs`.
        systems: Backbone of every network, by the paper's name.
        ensemble: Of two of them.
        not_ours: What differs from the paper, in plain sentences.
        tables: As printed.
        confusions: As printed.
    """

    letter: str
    title: str
    config: str
    systems: dict[str, str]
    ensemble: PaperEnsemble | None = None
    not_ours: tuple[str, ...]
    tables: tuple[PaperTable, ...]
    confusions: tuple[Confusion, ...] = ()

    @model_validator(mode="after")
    def _known(self) -> Paper:
        named = {row.system for table in self.tables for row in table.rows if row.system}
        named |= set(self.ensemble.members) if self.ensemble else set()
        if named - set(self.systems):
            raise ValueError(
                f"Expected rows of known systems, but got {sorted(named - set(self.systems))}; do mend it"
            )
        return self


def paper_names() -> list[str]:
    """Return the names of the papers."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


@cache
def read_paper(name: str) -> Paper:
    """Return a paper by its name.

    Raises:
        ConfigError: If there is none; the message suggests the nearest name.
    """
    if name not in paper_names():
        near = difflib.get_close_matches(name, paper_names(), n=1)
        hint = f"did you mean {near[0]}?" if near else f"do choose one of {', '.join(paper_names())}"
        raise ConfigError(f"Expected the name of a paper, but got {name!r}; {hint}")
    return Paper.model_validate(yaml.safe_load((_FOLDER / f"{name}.yaml").read_text("utf-8")))
