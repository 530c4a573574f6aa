"""What a benchmark runs: one cell for every split and backbone, in which all chains meet. Pure, and light to import."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from mtl.config import STAGE_FIELDS, Experiment, check_order, parse_chains
from mtl.errors import ConfigError
from mtl.loading import dump_settings, parse_setting, with_changes
from segmentation.settings import Settings
from stages.settings import StageSettings

__all__ = [
    "BenchmarkSettings",
    "Cell",
    "Design",
    "System",
    "cell_key",
    "cells_of",
    "experiment_of",
    "variants_of",
]

_FREE = re.compile(
    r"(imagenet|single_cell|multi_cell)\.(?!data\b|split\b|proceed\.(data|split)\b)|hardware\.|evaluation\.flips$|(backbone|weights)$"
)
"""Keys that a variant may change: what is tested stays the same."""
_RESAMPLES = 100
"""Of the bootstrap within a cell, which no verdict uses."""


@dataclass(frozen=True)
class System:
    """What is compared: a chain under one variant of the settings.

    Attributes:
        chain: As text, such as `"1,2,3"`.
        variant: Name; empty where there are none.
    """

    chain: str
    variant: str


class Design(Settings):
    """How a benchmark repeats, and what it says in the end."""

    chains: tuple[tuple[int, ...], ...] = Field(
        ((1, 3), (1, 2, 3)),
        description="chains to compare, such as --chains 1,3 1,2,3; 3 alone starts from random weights; one chain with --folds",
    )
    repeats: int = Field(
        10,
        le=10_000,
        description="random splits, or how often folds are dealt anew; always once for one chain",
    )
    folds: int = Field(0, le=10_000, description="folds of a k-fold; 0 for repeated hold-outs")
    backbones: tuple[str, ...] = Field(
        (), description="several backbones, separated by commas; if not given, that of the configuration"
    )
    draw: int = Field(
        0,
        le=1_000_000,
        description="score on so many test images drawn in every repeat (paper A: 150); 0 for all",
    )
    metric: Literal["accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "macro_auroc"] = Field(
        "macro_f1",
        description="what the verdict is about: accuracy, balanced_accuracy, macro_f1, weighted_f1 or macro_auroc",
    )
    rope: float = Field(
        1.0, ge=0, lt=100, description="differences up to so many points are practically none"
    )
    variants: dict[str, dict[str, Any]] = Field(
        {},
        description="other settings on the same splits, as NAME:KEY=VALUE; several times for more keys and more names; NAME alone is the "
        "configuration as it is",
    )

    @field_validator("variants", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            return value
        found: dict[str, dict[str, Any]] = {}
        for text in value:
            name, colon, setting = str(text).partition(":")
            own = found.setdefault(name.strip(), {})
            if colon:
                own.update([parse_setting(setting, f"--variant {name}:")])
        return found

    @field_validator("chains", mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        return parse_chains(value, "--chains")

    @field_validator("backbones", mode="before")
    @classmethod
    def _parted(cls, value: Any) -> Any:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _once(cls, value: Any) -> Any:
        # Folds of one chain predict every image once.
        if (
            isinstance(value, dict)
            and "repeats" not in value
            and "chains" in value
            and not value.get("variants")
        ):
            chains = parse_chains(value["chains"], "--chains")
            return value | {"repeats": 1} if len(chains) == 1 else value
        return value

    @model_validator(mode="after")
    def _comparable(self) -> Design:
        if len(self.variants) == 1:
            raise ConfigError(
                f"Expected `--variant` to name two variants or more, but got {next(iter(self.variants))!r} alone; do add another, "
                "such as --variant plain for the configuration as it is"
            )
        wrong = next(
            (name for name in self.variants if not re.fullmatch(r"[\w.+-]+", name) or name[0] == "."), None
        )
        if wrong is not None:
            raise ConfigError(
                f"Expected the name of `--variant` to be letters, digits, `_`, `+`, `-` and `.`, but got {wrong!r}; do write NAME:KEY=VALUE"
            )
        if len(set(self.chains)) < 2 and not self.variants and not (self.alone and self.folds):
            raise ConfigError(
                f"Expected `--chains` to be two chains or more, or one with --folds, but got {_text(self.chains)}; do write --chains 1,3 1,2,3"
            )
        if len({chain[-1:] for chain in self.chains}) > 1:
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
        if self.alone and (self.repeats, self.draw) != (1, 0):
            raise ConfigError(
                f"Expected `--repeats` 1 and `--draw` 0 where one chain predicts every image once, but got {self.repeats} and {self.draw}; "
                "do leave them out, or give another chain to compare with"
            )
        if self.repeats * max(self.folds, 1) < 2:
            raise ConfigError(
                "Expected `--repeats` to be 2 or more, but got 1: one pair shows no spread; do repeat or give --folds"
            )
        return self

    @property
    def alone(self) -> bool:
        """Whether one chain is cross-validated, and nothing compared."""
        return len(self.chains) == 1 and not self.variants

    def systems(self) -> dict[str, System]:
        """Return what is compared, by the name that reports call it: the chain, the variant, or both."""
        found = {}
        for variant in self.variants or ("",):
            for chain in self.chains:
                system = System(",".join(map(str, chain)), variant)
                parts = (system.chain if len(self.chains) > 1 or not variant else "", variant)
                found[" ".join(filter(None, parts))] = system
        return found


class BenchmarkSettings(Experiment):
    """Everything that decides what a benchmark computes: an experiment, and how it is repeated."""

    benchmark: Design = Design()

    @classmethod
    def of_folds(cls, experiment: Experiment, folds: int) -> BenchmarkSettings:
        """Return the k-fold of an experiment's first chain.

        Raises:
            ConfigError: If `folds` is below 2, or the chain learns nothing.
        """
        if folds < 2:
            raise ConfigError(
                f"Expected `--folds` to be 2 or more, but got {folds}; do give 5 or 10, or leave it out"
            )
        design = Design(chains=(experiment.stages,), folds=folds, repeats=1)
        return cls.model_construct(**dict(experiment), benchmark=design)

    @model_validator(mode="after")
    def _on_the_same_splits(self) -> BenchmarkSettings:
        for name, changes in self.benchmark.variants.items():
            for key in changes:
                if not _FREE.match(key):
                    raise ConfigError(
                        f"Expected `--variant {name}` to change how stages learn, but got `{key}`: variants share data and splits; "
                        "do compare runs of other data with `mtl compare`"
                    )
        variants_of(self, self.benchmark.variants)
        return self

    @model_validator(mode="after")
    def _begun_alike(self) -> BenchmarkSettings:
        for chain in self.benchmark.chains:
            check_order(chain, "--chains")
        if self.seed + self.benchmark.repeats > 2**32:
            raise ConfigError(
                f"Expected the seed of the last repeat to be below 2**32, but got {self.seed + self.benchmark.repeats - 1}; do lower --seed"
            )
        return self


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
        backbone = re.sub(r"[^\w.-]+", "-", self.backbone)  # hf-hub:OWNER/NAME
        return f"repeat{self.repeat:02}-fold{self.fold:02}-{backbone}"


def cells_of(settings: BenchmarkSettings) -> list[Cell]:
    """Return the cells, repeat by repeat and fold by fold; every backbone gets the same splits."""
    design = settings.benchmark
    backbones = design.backbones or (settings.backbone,)
    return [
        Cell(repeat, fold, backbone, settings.seed + repeat)
        for repeat in range(design.repeats)
        for fold in range(max(design.folds, 1))
        for backbone in backbones
    ]


def experiment_of(cell: Cell, settings: BenchmarkSettings) -> Experiment:
    """Return what a cell runs.

    Hold-outs are drawn anew by the cell's seed. Block hold-outs do not depend on a seed: the tested block moves round the
    numbers in equal steps. With folds, the last stage is split by them (a block hold-out by blocks of equal length).

    Args:
        cell: Of `cells_of`.
        settings: Of the benchmark.
    """
    design = settings.benchmark
    first, *others = design.chains
    last = STAGE_FIELDS[first[-1]]
    stage: StageSettings = getattr(settings, last)
    split: dict[str, Any] = {}
    if stage.split.method == "block":
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
    elif stage.split.method in ("official", "files"):
        raise ConfigError(
            f"Expected `{last}.split.method` to be grouped, block or kfold, but got {stage.split.method!r}: repeats need other splits; "
            f"do --set {last}.split.method=grouped"
        )
    changed = {
        "name": cell.name, "seed": cell.seed, "backbone": cell.backbone, "stages": first, "against": tuple(others),
        last: stage.model_copy(update={"split": stage.split.model_copy(update=split)}),
        "evaluation": settings.evaluation.model_copy(update={"resamples": _RESAMPLES}),
    }  # fmt: skip
    values: dict[str, Any] = {
        key: changed.get(key, getattr(settings, key)) for key in Experiment.model_fields
    }
    return Experiment.model_construct(**values)


def variants_of(settings: Experiment, variants: Mapping[str, Mapping[str, Any]]) -> dict[str, Experiment]:
    """Return the experiment under every variant of the settings, by name; by the empty name where there are none.

    Args:
        settings: An experiment, or a benchmark's own settings.
        variants: Changed keys by name; see `Design`.

    Raises:
        ConfigError: If a variant is not possible.
    """
    plain = Experiment.model_construct(**{key: getattr(settings, key) for key in Experiment.model_fields})
    found = {}
    for name, changes in variants.items():
        try:
            found[name] = with_changes(plain, changes) if changes else plain
        except ConfigError as error:
            raise ConfigError(f"`--variant {name}`: {error}") from error
    return found or {"": plain}


def cell_key(cell: Cell, settings: BenchmarkSettings) -> str:
    """Return the hash of everything that decides a cell's result but the data themselves."""
    from mtl.runs import stage_key  # the flags' defaults are read from here, and --help shall not load numpy

    design = settings.benchmark
    return stage_key(
        dump_settings(experiment_of(cell, settings)), design.draw, *filter(None, [design.variants])
    )


def _text(chains: Sequence[Sequence[int]]) -> str:
    return " ".join(",".join(map(str, chain)) for chain in chains) or "none"
