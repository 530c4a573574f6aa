"""`mtl serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mtl.cli.options import ConfigFile, Device, SetsOnly, flag_of, given_of
from mtl.loading import load_settings
from mtl.predict.settings import PredictSmears
from mtl.serve.settings import ServeSmears

__all__ = ["serve"]


def serve(
    run: Annotated[
        list[Path],
        typer.Option(help="Run folder, that of a stage or of an ensemble; several times for several."),
    ],
    host: Annotated[str | None, flag_of(ServeSmears, "host")] = None,
    port: Annotated[int | None, flag_of(ServeSmears, "port")] = None,
    token: Annotated[
        str | None,
        typer.Option(help="What who asks must know; better given by the variable.", envvar="MTL_TOKEN"),
    ] = None,
    chain: Annotated[str | None, flag_of(PredictSmears, "chain")] = None,
    stage: Annotated[str | None, flag_of(PredictSmears, "stage")] = None,
    blast: Annotated[str | None, flag_of(PredictSmears, "blast")] = None,
    engine: Annotated[str | None, flag_of(PredictSmears, "engine")] = None,
    device: Device = None,
    config: ConfigFile = None,
    sets: SetsOnly = None,
) -> None:
    """Serve finished runs as a page for people and a JSON API for machines (extra `serve`); research use only.

    It listens on this machine alone; --host for others needs --token. Uploads are deleted after an hour, and when it ends.
    """
    given = given_of(host=host, port=port, token=token)
    given |= {
        f"predict.{key}": value
        for key, value in given_of(chain=chain, stage=stage, blast=blast, engine=engine).items()
    }
    given |= {f"predict.segment.{key}": value for key, value in given_of(device=device).items()}
    settings = load_settings(ServeSmears, config or {}, given, sets or ())

    from mtl.serve.command import serve_runs

    serve_runs(run, settings, typer.echo)
