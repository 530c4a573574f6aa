"""`mtl predict` and `mtl embed`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mtl.cli.options import AsJson, ConfigFile, Device, SetsOnly, flag_of, given_of, show
from mtl.loading import load_settings
from mtl.predict.settings import PredictSmears

__all__ = ["embed", "predict"]


def predict(
    path: Annotated[Path, typer.Argument(metavar="IMAGE_OR_FOLDER", help="An image, or a folder of images.")],
    run: Annotated[Path, typer.Option(help="Run folder, the folder of one of its stages, or an ensemble's.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of outputs; runs/predict-NAME if not given.")
    ] = None,
    chain: Annotated[str | None, flag_of(PredictSmears, "chain")] = None,
    stage: Annotated[str | None, flag_of(PredictSmears, "stage")] = None,
    group_by: Annotated[
        str | None, flag_of(PredictSmears, "group_by", metavar="folder|regex:...|CSV")
    ] = None,
    blast: Annotated[str | None, flag_of(PredictSmears, "blast")] = None,
    aggregate: Annotated[str | None, flag_of(PredictSmears, "aggregate")] = None,
    explain: Annotated[bool | None, flag_of(PredictSmears, "explain", "--explain")] = None,
    device: Device = None,
    config: ConfigFile = None,
    sets: SetsOnly = None,
    as_json: AsJson = False,
) -> None:
    """Answer smears by a finished run: its class for every field and cell, blasts a patient, and how sure it is.

    Stop it with Ctrl-C; the same command goes on where it stopped. Exit code 1 where some images could not be read.
    """
    given = given_of(
        chain=chain, stage=stage, group_by=group_by, blast=blast, aggregate=aggregate, explain=explain
    )
    given |= {f"segment.{key}": value for key, value in given_of(device=device).items()}
    settings = load_settings(PredictSmears, config or {}, given, sets or ())

    from mtl.predict.command import predict_images

    result = predict_images(path, run, out, settings)
    show(result, as_json)
    if result.failed:
        raise typer.Exit(1)


def embed(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="Run folder, the folder of one of its stages, or an ensemble's."),
    ],
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGES_OR_DATA...", help="Images, folders, or NAME:FOLDER data sets."),
    ],
    out: Annotated[Path | None, typer.Option(help="Folder of outputs; runs/embed-RUN if not given.")] = None,
    chain: Annotated[str | None, flag_of(PredictSmears, "chain")] = None,
    stage: Annotated[int | None, typer.Option(help="Stage of the chain; its last if not given.")] = None,
    group_by: Annotated[
        str, typer.Option(metavar="folder|regex:...|CSV", help="Groups of images that are no data set.")
    ] = "folder",
    as_json: AsJson = False,
) -> None:
    """Write the features of images as a stage sees them, and their principal components by label, source and patient."""
    from mtl.predict.embed import embed_images

    result = embed_images(run, images, out, chain=chain, stage=stage, group_by=group_by)
    show(result, as_json)
    if result.failed:
        raise typer.Exit(1)
