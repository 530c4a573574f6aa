"""`mtl run`, `mtl report` and `mtl configs`."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["AsJson", "Runs", "configs", "overrides", "report", "run"]

Runs = Annotated[Path, typer.Option("--runs", help="Folder that holds the run folders.", envvar="MTL_RUNS")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def run(
    stages: Annotated[
        str | None, typer.Option(help="Chain of stages: 1 ImageNet, 2 single cell, 3 multi-cell.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Further chains on the same splits, such as '1,3', or 'none'.")
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="Any timm model.")] = None,
    weights: Annotated[str | None, typer.Option(help="auto, none, or a weight file.")] = None,
    config: Annotated[str, typer.Option(help="YAML file, or a name that `mtl configs` lists.")] = "default",
    name: Annotated[str | None, typer.Option(help="Name of the run folder.")] = None,
    runs: Runs = Path("runs"),
    single_cell: Annotated[
        str | None, typer.Option(help="Data of stage 2 as NAME:FOLDER, see `mtl data list`.")
    ] = None,
    multi_cell: Annotated[str | None, typer.Option(help="Data of stage 3 as NAME:FOLDER.")] = None,
    start: Annotated[
        Path | None, typer.Option("--from", help="Start from a finished run or stage folder.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of every learning stage.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images in a batch.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", "--lr", help="Peak learning rate.")
    ] = None,
    image_size: Annotated[int | None, typer.Option(help="Side in px that images are resized to.")] = None,
    segment: Annotated[
        str | None,
        typer.Option(help="Find white cells first: residual_unet, threshold, hsv, rgb, otsu or none."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="All randomness follows from it.")] = None,
    accelerator: Annotated[str | None, typer.Option(help="auto, cpu, gpu, mps.")] = None,
    devices: Annotated[str | None, typer.Option(help="Number of devices, or auto.")] = None,
    strategy: Annotated[str | None, typer.Option(help="Lightning strategy, such as ddp.")] = None,
    precision: Annotated[str | None, typer.Option(help="32-true, bf16-mixed, 16-mixed.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="Any key, such as multi_cell.train.epochs=10.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a chain of stages and write a report.

    The default runs ImageNet -> single cell -> multi-cell on rendered smears, and the classical chain 1,3 beside it.
    Stop it with Ctrl-C; the same command goes on where it stopped. Finished stages are reused.
    """
    from mtl.config import load_config

    given = overrides(
        stages=stages, against=against, backbone=backbone, weights=weights, name=name, seed=seed,
        accelerator=accelerator, devices=devices, strategy=strategy, precision=precision, epochs=epochs,
        batch_size=batch_size, learning_rate=learning_rate, image_size=image_size, segment=segment,
        single_cell=single_cell, multi_cell=multi_cell,
    )  # fmt: skip
    if against == "none":
        given["against"] = ()
    experiment = load_config(config, given, sets or ())

    from mtl.run.execute import execute

    result = execute(experiment, runs, shlex.join(["mtl", *sys.argv[1:]]), start)
    typer.echo(json.dumps(result.to_json(), indent=1) if as_json else result.to_text())


def report(folder: Annotated[Path, typer.Argument(help="Run folder that `mtl run` printed.")]) -> None:
    """Write the report of a finished run again."""
    from mtl.run.execute import write_report
    from mtl.runs import open_run

    typer.echo(f"Wrote {write_report(open_run(folder))}")


def configs() -> None:
    """List the configurations that come with the package."""
    from mtl.loading import config_names, config_path

    for name in config_names():
        first = config_path(name).read_text("utf-8").splitlines()[0]
        typer.echo(f"{name:<20} {first.lstrip('# ')}")


def overrides(**flags: Any) -> dict[str, Any]:
    """Return dotted keys of the configuration for the flags that were given (those not None)."""
    found: dict[str, Any] = {}
    for flag, value in flags.items():
        if value is None:
            continue
        if flag in ("single_cell", "multi_cell"):
            found |= _data_flag(flag, value)
        elif flag in _STAGE_FLAGS:
            found |= {f"{stage}.{_STAGE_FLAGS[flag]}": value for stage in ("single_cell", "multi_cell")}
        elif flag in ("accelerator", "devices", "strategy", "precision"):
            found[f"hardware.{flag}"] = value
        else:
            found[flag] = value
    return found


_STAGE_FLAGS = {
    "epochs": "train.epochs",
    "batch_size": "train.batch_size",
    "learning_rate": "train.learning_rate",
    "image_size": "image_size",
    "segment": "segment.method",
}


def _data_flag(stage: str, text: str) -> dict[str, Any]:
    from stages.data.catalogue import parse_source

    source = parse_source(text, f"--{stage.replace('_', '-')}")
    return {f"{stage}.data": {"dataset": source.dataset, "root": str(source.folder)}}
