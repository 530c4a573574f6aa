"""What a benchmark runs: one cell for every split and backbone, in which all chains meet. Pure, and light to import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mtl.config import STAGE_FIELDS, Experiment
from mtl.errors import ConfigError
from mtl.loading import dump_settings
from mtl.runs import stage_key

__all__ = ["Cell", "Design", "cell_key", "cells_of", "experiment_of"]

_RESAMPLES = 100
"""Of the bootstrap within a cell, which no verdict uses."""


@dataclass(frozen=True)
class Design:
    """How a benchmark repeats.

    Attributes:
        chains: The chains that are compared, two or more.
        repeats: J, or how often the folds are dealt anew.
        folds: Folds of a k-fold; 0 for repeated hold-outs.
        backbones: timm names; empty for the one of the configuration.
        draw: Score on so many test images drawn at random in every repeat (paper A's n = 150); 0 for all.
    """

    chains: tuple[tuple[int, ...], ...]
    repeats: int = 10
    folds: int = 0
    backbones: tuple[str, ...] = ()
    draw: int = 0

    def check(self) -> None:
        """Refuse what cannot be compared.

        Raises:
            ConfigError: One line that names the flag.
        """
        if len(set(self.chains)) < 2:
            raise ConfigError(
                f"Expected `--chains` to be two chains or more, but got {_text(self.chains)}; do write --chains 1,3 1,2,3"
            )
        if len({chain[-1] for chain in self.chains}) > 1:
            raise ConfigError(
                f"Expected `--chains` to end with the same stage, but got {_text(self.chains)}; do compare 1,3 with 1,2,3"
            )
        if self.chains[0][-1] == 1:
            raise ConfigError("Expected `--chains` to end with a stage that learns, but got 1; do end with 3")
        if self.folds == 1 or min(self.folds, self.draw) < 0 or self.repeats < 1:
            raise ConfigError(
                f"Expected `--folds` to be 2 or more, `--repeats` 1 or more and `--draw` 0 or more, but got {self.folds}, "
                f"{self.repeats} and {self.draw}; do change it"
            )
        if self.repeats * max(self.folds, 1) < 2:
            raise ConfigError(
                "Expected `--repeats` to be 2 or more, but got 1: one pair shows no spread; do repeat or give --folds"
            )


@dataclass(frozen=True)
class Cell:
    """One split, one seed, one backbone: where all chains are trained and tested alike.

    Attributes:
        repeat: From 0.
        fold: From 0; 0 where there are no folds.
        backbone: timm name.
        seed: Of splits and training.
    """

    repeat: int
    fold: int
    backbone: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"repeat{self.repeat:02}-fold{self.fold:02}-{self.backbone}"


def cells_of(design: Design, experiment: Experiment) -> list[Cell]:
    """Return the cells, repeat by repeat and fold by fold; every backbone gets the same splits."""
    backbones = design.backbones or (experiment.backbone,)
    return [
        Cell(repeat, fold, backbone, experiment.seed + repeat)
        for repeat in range(design.repeats)
        for fold in range(max(design.folds, 1))
        for backbone in backbones
    ]


def experiment_of(cell: Cell, design: Design, experiment: Experiment) -> Experiment:
    """Return what a cell runs.

    Hold-outs are drawn anew by the cell's seed. Block hold-outs do not depend on a seed: the tested block moves round the
    numbers in equal steps. With folds, the last stage is split by them (a block hold-out by blocks of equal length).

    Args:
        cell: Of `cells_of`.
        design: Of the benchmark.
        experiment: The configuration as given.
    """
    first, *others = design.chains
    last = STAGE_FIELDS[first[-1]]
    settings = getattr(experiment, last)
    split: dict[str, Any] = {}
    if settings.split.method == "block":
        # Dealt anew, blocks must not be the same ones again.
        split["offset"] = (
            cell.repeat / design.repeats
            if not design.folds
            else (cell.fold + cell.repeat / design.repeats) / design.folds
        )
        if design.folds:
            split["test"] = 1 / design.folds
    elif design.folds:
        split |= {"method": "kfold", "folds": design.folds, "fold": cell.fold}
    elif settings.split.method in ("official", "files"):
        raise ConfigError(
            f"Expected `{last}.split.method` to be grouped, block or kfold, but got {settings.split.method!r}: repeats need other splits; "
            f"do --set {last}.split.method=grouped"
        )
    stage = settings.model_copy(update={"split": settings.split.model_copy(update=split)})
    evaluation = experiment.evaluation.model_copy(update={"resamples": _RESAMPLES})
    return experiment.model_copy(
        update={
            "name": cell.name, "seed": cell.seed, "backbone": cell.backbone, "stages": first, "against": tuple(others),
            last: stage, "evaluation": evaluation,
        }
    )  # fmt: skip


def cell_key(cell: Cell, design: Design, experiment: Experiment) -> str:
    """Return the hash of everything that decides a cell's result but the data themselves."""
    return stage_key(dump_settings(experiment_of(cell, design, experiment)), design.draw)


def _text(chains: Sequence[Sequence[int]]) -> str:
    return " ".join(",".join(map(str, chain)) for chain in chains) or "none"
