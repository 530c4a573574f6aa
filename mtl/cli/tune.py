"""`mtl tune`, `mtl tune report` and `mtl dashboard`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mtl.cli.options import (
    AsJson,
    Backbone,
    Config,
    Epochs,
    ImageSize,
    MultiCell,
    Runs,
    Seed,
    Sets,
    SingleCell,
    Weights,
    below,
    given_of,
    overrides,
    show,
)

__all__ = ["app", "dashboard"]

Storage = Annotated[
    str | None,
    typer.Option(
        help="Database URL, or a journal file ending in .log. Its password is never written down: give it again to every worker, or set PGPASSWORD."
    ),
]

app = typer.Typer(invoke_without_command=True, no_args_is_help=False)


@app.callback()
def tune(
    context: typer.Context,
    trials: Annotated[
        int | None, typer.Option(help="Trials in all, by all workers.", show_default="50")
    ] = None,
    stage: Annotated[
        str | None, typer.Option(help="Whose settings are searched: 2, 3 or chain (both).", show_default="3")
    ] = None,
    search: Annotated[Path | None, typer.Option(help="YAML file with the search space.")] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="What is tuned for; two, separated by a comma, give a Pareto front.", show_default="macro_f1"
        ),
    ] = None,
    sampler: Annotated[
        str | None, typer.Option(help="tpe, cmaes, random, nsga2 or gp.", show_default="tpe")
    ] = None,
    pruner: Annotated[
        str | None, typer.Option(help="median, hyperband, halving or none.", show_default="median")
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            help="Grouped folds inside the training part; 1 for an inner hold-out.", show_default="3"
        ),
    ] = None,
    storage: Storage = None,
    study: Annotated[str | None, typer.Option(help="Name of the study, and of its folder.")] = None,
    join: Annotated[Path | None, typer.Option(help="Folder of a study to add this worker to.")] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Run the best configuration, and score it on the test part.")
    ] = False,
    config: Config = "default",
    runs: Runs = Path("runs"),
    backbone: Backbone = None,
    weights: Weights = None,
    single_cell: SingleCell = None,
    multi_cell: MultiCell = None,
    epochs: Epochs = None,
    image_size: ImageSize = None,
    seed: Seed = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Search for better settings with Optuna, inside the training part alone.

    Stop it with Ctrl-C; the same command goes on where it stopped. `--join` adds workers, on this machine or others.
    """
    if context.invoked_subcommand:
        return
    from mtl.loading import load_settings
    from mtl.tune.settings import TuneSettings
    from mtl.tune.space import read_space

    plan = given_of(
        trials=trials, stage=stage, metrics=metric, sampler=sampler, pruner=pruner, folds=folds, storage=storage, study=study,
        space=read_space(search) if search else None,
    )  # fmt: skip
    given = overrides(
        backbone=backbone, weights=weights, single_cell=single_cell, multi_cell=multi_cell, epochs=epochs,
        image_size=image_size, seed=seed,
    )  # fmt: skip
    given |= below("tune", plan)
    settings = load_settings(TuneSettings, config, given, sets or ())

    from mtl.tune.command import join_study, start_study

    if join is not None:
        result = join_study(join, storage, runs, apply=apply)
    else:
        result = start_study(settings, runs, apply=apply)
    show(result, as_json)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a study, as `mtl tune` printed it.")],
    storage: Storage = None,
) -> None:
    """Write the report of a study: history, importances, parallel coordinates, slice, timeline, Pareto front."""
    from mtl.tune.command import report_study

    typer.echo(report_study(folder, storage).to_text())


def dashboard(
    study: Annotated[Path | None, typer.Argument(help="Folder of a study; the newest if not given.")] = None,
    runs: Runs = Path("runs"),
    storage: Storage = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8080,
) -> None:
    """Watch a study in the browser with optuna-dashboard (extra `dashboard`)."""
    from mtl.tune.dashboard import serve

    serve(study, runs, storage, host, port, typer.echo)
