"""`mtl doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mtl.cli.options import (
    Accelerator,
    AsJson,
    Backbone,
    Config,
    Devices,
    MultiCell,
    Precision,
    Runs,
    Sets,
    SingleCell,
    Strategy,
    Weights,
    overrides,
    show,
)
from mtl.loading import load_settings
from mtl.tune.settings import TuneSettings

__all__ = ["doctor"]


def doctor(
    config: Config = "default",
    backbone: Backbone = None,
    weights: Weights = None,
    single_cell: SingleCell = None,
    multi_cell: MultiCell = None,
    accelerator: Accelerator = None,
    devices: Devices = None,
    strategy: Strategy = None,
    precision: Precision = None,
    storage: Annotated[
        str | None, typer.Option(help="Of studies: a database URL, or a journal file.")
    ] = None,
    runs: Runs = Path("runs"),
    clean: Annotated[
        bool, typer.Option("--clean", help="Delete first what mtl has cached; no run may be at work.")
    ] = False,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Look at this machine for an experiment: packages, devices, weights, data, disk, storage; each line is ok or says what to do.

    Exit code 2 where something must be mended.
    """
    given = overrides(
        backbone=backbone, weights=weights, single_cell=single_cell, multi_cell=multi_cell, accelerator=accelerator,
        devices=devices, strategy=strategy, precision=precision,
    )  # fmt: skip
    settings = load_settings(
        TuneSettings, config, given | ({"tune.storage": storage} if storage else {}), sets or ()
    )

    from mtl.doctor import clean_cache, examine

    if clean:
        typer.echo(f"Freed {clean_cache() / 1e6:.0f} MB of the cache", err=True)
    found = examine(settings, runs)
    show(found, as_json)
    raise typer.Exit(0 if found.ok else 2)
