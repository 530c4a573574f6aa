"""`mtl federate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mtl.cli.options import (
    AsJson,
    Backbone,
    ImageSize,
    MultiCell,
    Name,
    RunConfig,
    Runs,
    Seed,
    Sets,
    SingleCell,
    Weights,
    as_typed,
    below,
    flag_of,
    given_of,
    overrides,
    show,
)
from stages.learners.federated.settings import FederateSettings

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="Hospitals train one chain together on Flower (extra `federated`)."
)


@app.command()
def simulate(
    clients: Annotated[int | None, flag_of(FederateSettings, "clients")] = None,
    rounds: Annotated[int | None, flag_of(FederateSettings, "rounds")] = None,
    local_epochs: Annotated[int | None, flag_of(FederateSettings, "local_epochs")] = None,
    partition: Annotated[str | None, flag_of(FederateSettings, "partition")] = None,
    strategy: Annotated[str | None, flag_of(FederateSettings, "strategy")] = None,
    dp: Annotated[str | None, flag_of(FederateSettings, "dp")] = None,
    dp_train: Annotated[str | None, flag_of(FederateSettings, "dp_train")] = None,
    epsilon: Annotated[float | None, flag_of(FederateSettings, "epsilon")] = None,
    delta: Annotated[float | None, flag_of(FederateSettings, "delta")] = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare",
            help="Train the same in one place, at each client alone, with heads of their own and with privacy, too.",
        ),
    ] = False,
    stages: Annotated[
        str | None, typer.Option(help="Chain of stages; the last is federated, those before it are not.")
    ] = None,
    config: RunConfig = None,
    name: Name = None,
    runs: Runs = Path("runs"),
    start: Annotated[
        Path | None,
        typer.Option("--from", help="Go on from a finished run or stage folder, with its configuration."),
    ] = None,
    backbone: Backbone = None,
    weights: Weights = None,
    single_cell: SingleCell = None,
    multi_cell: MultiCell = None,
    image_size: ImageSize = None,
    seed: Seed = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Learn the last stage of a chain at several clients, in this process.

    The groups of each part of the split are dealt to the clients, none to two of them. Stop it with Ctrl-C; the same command
    goes on behind the last whole round and ends with the same weights.
    """
    from mtl.config import config_to_continue
    from mtl.federate.settings import FederatedExperiment
    from mtl.loading import load_settings

    plan = given_of(
        clients=clients, rounds=rounds, local_epochs=local_epochs, partition=partition, strategy=strategy, dp=dp,
        dp_train=dp_train, epsilon=epsilon, delta=delta,
    )  # fmt: skip
    given = overrides(
        stages=stages, name=name, backbone=backbone, weights=weights, single_cell=single_cell, multi_cell=multi_cell,
        image_size=image_size, seed=seed,
    )  # fmt: skip
    given |= {"against": "none", **below("federate", plan)}
    base = config if config is not None else config_to_continue(start) if start else "default"
    experiment = load_settings(FederatedExperiment, base, given, sets or ())

    from mtl.federate.command import simulate as run

    show(run(experiment, runs, as_typed(), start, compare=compare), as_json)
