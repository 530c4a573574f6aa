"""What several commands share: their flags with their help, what was given, and how a result is printed."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

import typer

from mtl.config import STAGE_FIELDS, Experiment
from mtl.errors import ConfigError
from mtl.presets import preset_keys
from segmentation.settings import Settings

if TYPE_CHECKING:
    from mtl.benchmark.plan import BenchmarkSettings

__all__ = [
    "Accelerator",
    "AsJson",
    "Backbone",
    "Config",
    "ConfigFile",
    "Device",
    "Devices",
    "Epochs",
    "Features",
    "ImageSize",
    "Learner",
    "MultiCell",
    "Name",
    "Precision",
    "RunConfig",
    "Runs",
    "Seed",
    "Sets",
    "SetsOnly",
    "SingleCell",
    "Strategy",
    "Weights",
    "Workers",
    "as_typed",
    "below",
    "cross_validate",
    "flag_of",
    "given_of",
    "overrides",
    "show",
    "with_learner",
]

Accelerator = Annotated[str | None, typer.Option(help="auto, cpu, gpu, mps.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Backbone = Annotated[
    str | None,
    typer.Option(help="Any model of timm or torchvision, or hf-hub:OWNER/NAME; see `mtl backbones`."),
]
Config = Annotated[str, typer.Option(help="YAML file, or a name that `mtl configs` lists.")]
RunConfig = Annotated[
    str | None,
    typer.Option(
        "--config",
        help="YAML file, or a name that `mtl configs` lists.",
        show_default="default, or that of --from",
    ),
]
ConfigFile = Annotated[str | None, typer.Option("--config", help="YAML file with these settings.")]
Devices = Annotated[str | None, typer.Option(help="Number of devices, or auto.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.", show_default="auto")]
Epochs = Annotated[int | None, typer.Option(help="Epochs of every learning stage.")]
Features = Annotated[
    str | None,
    typer.Option(help="Of --learner, such as glcm,lbp; deep is the backbone's.", metavar="NAME,NAME..."),
]
ImageSize = Annotated[int | None, typer.Option(help="Side in px that images are resized to.")]
Learner = Annotated[
    str | None,
    typer.Option(
        help="What learns the last stage of a chain: network, stacked, svm, forest, knn, bayes, tree, boosting, mlp, logistic or vote."
    ),
]
MultiCell = Annotated[
    list[str] | None, typer.Option(help="Data of stage 3 as NAME:FOLDER; several times for several sources.")
]
Name = Annotated[str | None, typer.Option(help="Name of the run folder.")]
Preset = Annotated[
    str | None,
    typer.Option(
        help="How the last stage of a chain learns: fast, default (as the configuration says) or best."
    ),
]
Precision = Annotated[str | None, typer.Option(help="auto, 32-true, bf16-mixed or 16-mixed.")]
Runs = Annotated[Path, typer.Option("--runs", help="Folder that holds the run folders.", envvar="MTL_RUNS")]
Seed = Annotated[int | None, typer.Option(help="All randomness follows from it.")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any setting as KEY=VALUE, such as multi_cell.train.epochs=10."),
]
SetsOnly = Annotated[
    list[str] | None, typer.Option("--set", help="Any setting as KEY=VALUE; the value is YAML.")
]
SingleCell = Annotated[
    list[str] | None,
    typer.Option(
        help="Data of stage 2 as NAME:FOLDER, see `mtl data list`; several times for several sources."
    ),
]
Strategy = Annotated[str | None, typer.Option(help="Lightning strategy, such as ddp.")]
Weights = Annotated[str | None, typer.Option(help="auto, none, or a weight file.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Splits or folds side by side; one a core if not given.")
]

_STAGE_KEYS = {
    "epochs": "train.epochs",
    "batch_size": "train.batch_size",
    "learning_rate": "train.learning_rate",
    "image_size": "preprocess.image_size",
    "segment": "preprocess.segment.method",
}
_STAGES = tuple(STAGE_FIELDS.values())

E = TypeVar("E", bound=Experiment)


class Result(Protocol):
    """What a command's function returns."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json` can write."""

    def to_text(self) -> str:
        """Return lines for a person."""


def flag_of(schema: type[Settings], field: str, *names: str, metavar: str | None = None) -> Any:
    """Return the flag of a field of a record: help and default are the record's.

    Args:
        schema: The record.
        field: Its name.
        names: Of the flag, where they are not the field's.
        metavar: What stands for the value in the help.
    """
    entry = schema.model_fields[field]
    text = f"{entry.description or field}"
    default = entry.get_default(call_default_factory=True)
    shown = default if isinstance(default, (str, int, float)) and not isinstance(default, bool) else ""
    return typer.Option(
        *names, help=f"{text[0].upper()}{text[1:]}.", metavar=metavar, show_default=str(shown) or False
    )


def given_of(**flags: Any) -> dict[str, Any]:
    """Return the flags that were given: those that are not None."""
    return {flag: value for flag, value in flags.items() if value is not None and value != []}


def overrides(**flags: Any) -> dict[str, Any]:
    """Return dotted keys of an experiment for the flags that were given.

    Raises:
        ConfigError: If data are not NAME:FOLDER.

    Examples:
        >>> overrides(seed=3, devices=2, backbone=None)
        {'seed': 3, 'hardware.devices': 2}
        >>> overrides(epochs=4)
        {'single_cell.train.epochs': 4, 'multi_cell.train.epochs': 4}
    """
    found: dict[str, Any] = {}
    for flag, value in given_of(**flags).items():
        if flag in _STAGES:
            found[f"{flag}.data"] = _data_flag(flag, value)
        elif flag == "tests":
            found[flag] = _sources("--test", value)
        elif flag in _STAGE_KEYS:
            found |= {f"{stage}.{_STAGE_KEYS[flag]}": value for stage in _STAGES}
        elif flag in ("accelerator", "devices", "strategy", "precision"):
            found[f"hardware.{flag}"] = value
        else:
            found[flag] = value
    return found


def with_learner(
    read: Callable[[dict[str, Any]], E],
    given: dict[str, Any],
    learner: str | None,
    features: str | None,
    preset: str | None = None,
    bags: dict[str, Any] | None = None,
) -> E:
    """Return an experiment whose last stages are learned as `--learner`, `--features`, `--preset` and `--unit` say; those before stay.

    Args:
        read: Reads the experiment from dotted keys.
        given: Keys of the other flags.
        learner: As given.
        features: As given.
        preset: As given.
        bags: What `--unit` and `--aggregate` say, by their keys in a stage.

    Raises:
        ConfigError: If the experiment is none, features are given to a network, or a preset and a flag contradict.
    """
    experiment = read(given)
    flags = given_of(**{"learner": learner, "classical.features": features}, **(bags or {}))
    if preset is not None:
        sized = any(key.endswith("preprocess.image_size") for key in given)
        beside = given_of(learner=learner, features=features, image_size=sized or None)
        flags |= preset_keys(preset, beside)
    if not flags:
        return experiment
    chains = getattr(getattr(experiment, "benchmark", None), "chains", ()) or experiment.chains()
    ends = sorted({chain[-1] for chain in chains if chain[-1] in STAGE_FIELDS})
    if features is not None and any((learner or experiment.stage(end).learner) == "network" for end in ends):
        raise ConfigError(
            f"Expected `--features` beside a `--learner` that is no network, but got {features!r} alone; do add --learner svm"
        )
    more = {f"{STAGE_FIELDS[end]}.{key}": value for end in ends for key, value in flags.items()}
    found = read(given | more)
    if "bags.aggregate" in flags and any(found.stage(end).bagging is None for end in ends):
        raise ConfigError(
            f"Expected `--aggregate` {flags['bags.aggregate']} beside `--unit` cells or patient, but got it alone; do add --unit"
        )
    return found


def below(section: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return keys as keys of a section."""
    return {f"{section}.{key}": value for key, value in given.items()}


def as_typed() -> str:
    """Return the command line, quoted, to be typed again."""
    return shlex.join(["mtl", *sys.argv[1:]])


def show(result: Result, as_json: bool) -> None:
    """Print a result for a machine or a person; of several processes that train together the first does."""
    from mtl.runs import follows

    if follows():
        return
    typer.echo(json.dumps(result.to_json(), indent=1) if as_json else result.to_text())


def cross_validate(settings: BenchmarkSettings, runs: Path, workers: int | None, as_json: bool) -> None:
    """Run the folds of one chain and print their tables.

    Args:
        settings: Of one chain, with folds.
        runs: Folder of run folders.
        workers: Folds side by side; one a core if None.
        as_json: For a machine.
    """
    from mtl.folds.command import folds_and_report

    folder = runs / f"{settings.name}-folds"
    show(folds_and_report(settings, folder, workers or os.cpu_count() or 1, as_typed()), as_json)


def _data_flag(stage: str, texts: Sequence[str]) -> dict[str, Any]:
    sources = _sources(f"--{stage.replace('_', '-')}", texts)
    return {"sources": sources} if len(sources) > 1 else sources[0]


def _sources(flag: str, texts: Sequence[str]) -> list[dict[str, Any]]:
    from stages.data.catalogue import parse_source

    found = [parse_source(text, flag) for text in texts]
    return [{"dataset": source.dataset, "root": str(source.folder)} for source in found]
