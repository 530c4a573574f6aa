"""`mtl federate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mtl.cli.options import (
    Accelerator,
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
from mtl.errors import ConfigError
from mtl.federate.settings import ClientSettings, NetworkSettings, PickSettings
from stages.learners.federated.settings import FederateSettings

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="Hospitals train one chain together on Flower (extra `federated`)."
)


Clients = Annotated[int | None, flag_of(FederateSettings, "clients")]
Rounds = Annotated[int | None, flag_of(FederateSettings, "rounds")]
LocalEpochs = Annotated[int | None, flag_of(FederateSettings, "local_epochs")]
Averaging = Annotated[str | None, flag_of(FederateSettings, "strategy")]
Dp = Annotated[str | None, flag_of(FederateSettings, "dp")]
DpTrain = Annotated[str | None, flag_of(FederateSettings, "dp_train")]
Epsilon = Annotated[float | None, flag_of(FederateSettings, "epsilon")]
Delta = Annotated[float | None, flag_of(FederateSettings, "delta")]
Public = Annotated[
    str | None,
    typer.Option(
        help="Images that anybody may see, whose main directions the head looks along.", metavar="NAME:FOLDER"
    ),
]
Start = Annotated[
    Path | None,
    typer.Option("--from", help="Go on from a finished run or stage folder, with its configuration."),
]


@app.command()
def simulate(
    clients: Clients = None,
    rounds: Rounds = None,
    local_epochs: LocalEpochs = None,
    partition: Annotated[str | None, flag_of(FederateSettings, "partition")] = None,
    engine: Annotated[str | None, flag_of(FederateSettings, "engine")] = None,
    strategy: Averaging = None,
    dp: Dp = None,
    dp_train: DpTrain = None,
    epsilon: Epsilon = None,
    delta: Delta = None,
    public: Public = None,
    best: Annotated[int | None, flag_of(PickSettings, "best")] = None,
    backbones: Annotated[str | None, flag_of(PickSettings, "backbones")] = None,
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
    start: Start = None,
    backbone: Backbone = None,
    weights: Weights = None,
    single_cell: SingleCell = None,
    multi_cell: MultiCell = None,
    image_size: ImageSize = None,
    seed: Seed = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Learn the last stage of a chain at several clients, on this machine.

    The groups of each part of the split are dealt to the clients, none to two of them. Stop it with Ctrl-C; the same command
    goes on behind the last whole round and ends with the same weights. With --best several backbones are trained in one place first.
    """
    from mtl.config import config_to_continue
    from mtl.federate.settings import FederatedExperiment
    from mtl.loading import load_settings

    plan = given_of(
        clients=clients, rounds=rounds, local_epochs=local_epochs, partition=partition, engine=engine, strategy=strategy,
        dp=dp, dp_train=dp_train, epsilon=epsilon, delta=delta, public=_public(public),
    )  # fmt: skip
    given = overrides(
        stages=stages, name=name, backbone=backbone, weights=weights, single_cell=single_cell, multi_cell=multi_cell,
        image_size=image_size, seed=seed,
    )  # fmt: skip
    given |= {"against": "none", **below("federate", plan)}
    given |= below("pick", given_of(best=best, backbones=backbones))
    base = config if config is not None else config_to_continue(start) if start else "default"
    experiment = load_settings(FederatedExperiment, base, given, sets or ())
    if experiment.pick.best is not None:
        if start is not None:
            raise ConfigError(
                "Expected `--best` without --from, whose weights are of one backbone, but got both; do leave one out"
            )
        from mtl.federate.pick import pick_and_simulate

        show(pick_and_simulate(experiment, runs, as_typed(), compare=compare), as_json)
        return

    from mtl.federate.command import simulate as run

    show(run(experiment, runs, as_typed(), start, compare=compare), as_json)


@app.command()
def server(
    classes: Annotated[str | None, flag_of(NetworkSettings, "classes", metavar="NAME,NAME...")] = None,
    keys_folder: Annotated[str | None, flag_of(NetworkSettings, "keys", "--keys")] = None,
    listen: Annotated[str | None, flag_of(NetworkSettings, "listen")] = None,
    clients: Annotated[
        int | None, typer.Option(help="Clients to wait for before the first round; more may join later.")
    ] = None,
    rounds: Rounds = None,
    local_epochs: LocalEpochs = None,
    strategy: Averaging = None,
    dp: Dp = None,
    dp_train: DpTrain = None,
    epsilon: Epsilon = None,
    delta: Delta = None,
    public: Public = None,
    stages: Annotated[
        str | None, typer.Option(help="1,2 or 1,3; a longer chain goes on from a run with --from.")
    ] = None,
    config: RunConfig = None,
    name: Name = None,
    runs: Runs = Path("runs"),
    start: Start = None,
    backbone: Backbone = None,
    weights: Weights = None,
    image_size: ImageSize = None,
    seed: Seed = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Wait for clients over a network, and run the rounds with them.

    The server holds no images and gets none. Stop it with Ctrl-C; the same command goes on behind the last whole round, and clients
    that wait come back by themselves.
    """
    from mtl.config import config_to_continue
    from mtl.federate.settings import ServedExperiment
    from mtl.loading import load_settings

    plan = given_of(
        clients=clients, rounds=rounds, local_epochs=local_epochs, strategy=strategy, dp=dp, dp_train=dp_train,
        epsilon=epsilon, delta=delta, public=_public(public),
    )  # fmt: skip
    given = overrides(
        stages=stages, name=name, backbone=backbone, weights=weights, image_size=image_size, seed=seed
    )
    given |= {"against": "none", **below("federate", plan)}
    given |= below("server", given_of(classes=classes, keys=keys_folder, listen=listen))
    base = config if config is not None else config_to_continue(start) if start else "default"
    experiment = load_settings(ServedExperiment, base, given, sets or ())

    from mtl.federate.server import serve

    show(serve(experiment, runs, as_typed(), start), as_json)


@app.command()
def client(
    address: Annotated[str, flag_of(ClientSettings, "server", "--server", metavar="HOST:PORT")],
    data: Annotated[str, flag_of(ClientSettings, "data", metavar="NAME:FOLDER")],
    key: Annotated[str, flag_of(ClientSettings, "key")],
    ca: Annotated[str | None, flag_of(ClientSettings, "ca")] = None,
    name: Annotated[str | None, flag_of(ClientSettings, "name")] = None,
    wait: Annotated[float | None, flag_of(ClientSettings, "wait")] = None,
    backbone: Annotated[str | None, flag_of(ClientSettings, "backbone")] = None,
    dp: Annotated[str | None, flag_of(ClientSettings, "dp")] = None,
    epsilon: Annotated[float | None, flag_of(ClientSettings, "epsilon")] = None,
    accelerator: Accelerator = None,
    runs: Runs = Path("runs"),
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Take part in a server's federation with images that stay here.

    The server says what is trained; nothing that it sends is run as code. Stop it with Ctrl-C; the same command goes on.
    """
    from mtl.loading import load_settings

    given = given_of(
        server=address,
        data=data,
        key=key,
        ca=ca,
        name=name,
        wait=wait,
        backbone=backbone,
        dp=dp,
        epsilon=epsilon,
    ) | below("hardware", given_of(accelerator=accelerator))
    settings = load_settings(ClientSettings, {}, given, sets or ())

    from mtl.federate.client import join

    show(join(settings, runs), as_json)


@app.command()
def keys(
    folder: Annotated[Path, typer.Argument(help="Where to.")] = Path("keys"),
    host: Annotated[
        str | None, typer.Option(help="Of a server: the name or address by which clients call it.")
    ] = None,
    client_name: Annotated[str | None, typer.Option("--client", help="Of a client: its name.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a server's certificate and the authority that signs it, or a client's pair of keys."""
    if (host is None) == (client_name is None):
        raise ConfigError(
            "Expected `--host` for the keys of a server or `--client` for those of a client, but got both or neither; do give one"
        )

    from mtl.extras import check_extra

    check_extra("federated")
    from mtl.federate.keys import make_client_key, make_server_keys

    made = make_client_key(folder, client_name) if client_name else make_server_keys(folder, str(host))
    show(made, as_json)


def _public(text: str | None) -> dict[str, str] | None:
    if text is None:
        return None
    from stages.data.catalogue import parse_source

    source = parse_source(text, "--public")
    return {"dataset": source.dataset, "root": str(source.folder)}
