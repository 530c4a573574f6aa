"""`mtl export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mtl.cli.options import AsJson, ConfigFile, SetsOnly, flag_of, given_of, show
from mtl.export.settings import ExportModel
from mtl.loading import load_settings

__all__ = ["export"]


def export(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Run folder, or the folder of one of its stages.")
    ],
    form: Annotated[str | None, flag_of(ExportModel, "format", "--format")] = None,
    int8: Annotated[bool | None, flag_of(ExportModel, "int8", "--int8")] = None,
    chain: Annotated[str | None, flag_of(ExportModel, "chain")] = None,
    stage: Annotated[int | None, flag_of(ExportModel, "stage")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Gets a folder a stage; each stage's own `export` if not given.")
    ] = None,
    config: ConfigFile = None,
    sets: SetsOnly = None,
    as_json: AsJson = False,
) -> None:
    """Write the networks of a run as files for other engines: bytes of an image in, calibrated probabilities out (extra `export`).

    A file is written only if it gives the run's own test images the same probabilities within 1e-4.
    """
    given = given_of(format=form, int8=int8, chain=chain, stage=stage)
    settings = load_settings(ExportModel, config or {}, given, sets or ())

    from mtl.export.command import export_run

    show(export_run(run, settings, out), as_json)
