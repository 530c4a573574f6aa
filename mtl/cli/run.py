"""`mtl run`, `mtl report` and `mtl configs`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from mtl.cli.options import (
    Accelerator,
    AsJson,
    Backbone,
    Devices,
    Epochs,
    Features,
    ImageSize,
    Learner,
    MultiCell,
    Name,
    Precision,
    Preset,
    RunConfig,
    Runs,
    Seed,
    Sets,
    SingleCell,
    Strategy,
    Weights,
    Workers,
    as_typed,
    cross_validate,
    flag_of,
    overrides,
    show,
    with_learner,
)
from mtl.errors import ConfigError
from mtl.presets import check_alone
from stages.bag_settings import BagSettings
from stages.settings import StageSettings

__all__ = ["configs", "report", "run"]


def run(
    stages: Annotated[
        str | None, typer.Option(help="Chain of stages: 1 ImageNet, 2 single cell, 3 multi-cell.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Further chains on the same splits, such as '1,3', or 'none'.")
    ] = None,
    backbone: Backbone = None,
    weights: Weights = None,
    learner: Learner = None,
    features: Features = None,
    unit: Annotated[str | None, flag_of(StageSettings, "unit")] = None,
    aggregate: Annotated[str | None, flag_of(BagSettings, "aggregate")] = None,
    config: RunConfig = None,
    name: Name = None,
    runs: Runs = Path("runs"),
    single_cell: SingleCell = None,
    multi_cell: MultiCell = None,
    start: Annotated[
        Path | None,
        typer.Option("--from", help="Go on from a finished run or stage folder, with its configuration."),
    ] = None,
    preset: Preset = None,
    time_budget: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="MINUTES",
            help="Of training: last stages learn by the best preset that fits into it.",
        ),
    ] = None,
    epochs: Epochs = None,
    batch_size: Annotated[int | None, typer.Option(help="Images in a batch.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", "--lr", help="Peak learning rate.")
    ] = None,
    image_size: ImageSize = None,
    test: Annotated[
        list[str] | None,
        typer.Option(
            help="Score the chains on NAME:FOLDER, too, which no stage has seen; several times for several. "
            "A finished run is not trained again."
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            help="Cross-validate the chain of --stages in so many folds: every image is predicted once."
        ),
    ] = None,
    workers: Workers = None,
    segment: Annotated[
        str | None,
        typer.Option(
            help="Find white cells first: none, residual_unet, or a threshold method such as hsv or channel-mixer."
        ),
    ] = None,
    seed: Seed = None,
    accelerator: Accelerator = None,
    devices: Devices = None,
    strategy: Strategy = None,
    precision: Precision = None,
    logger: Annotated[
        str | None,
        typer.Option(
            help="Lightning's loggers that write into each stage's logs: csv,tensorboard,mlflow (extra `logger`)."
        ),
    ] = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Train a chain of stages and write a report.

    The default runs ImageNet -> single cell -> multi-cell on rendered smears, and the classical chain 1,3 beside it.
    Stop it with Ctrl-C; the same command goes on where it stopped. Finished stages are reused. With --folds the chain of
    --stages is cross-validated into NAME-folds, and the tables that papers print are printed.
    """
    from mtl.benchmark.plan import BenchmarkSettings
    from mtl.config import config_to_continue, load_config

    given = overrides(
        stages=stages, against=against, backbone=backbone, weights=weights, name=name, seed=seed,
        accelerator=accelerator, devices=devices, strategy=strategy, precision=precision, logger=logger, epochs=epochs,
        batch_size=batch_size, learning_rate=learning_rate, image_size=image_size, segment=segment,
        single_cell=single_cell, multi_cell=multi_cell, tests=test,
    )  # fmt: skip
    beside = {"--from": start, "--against": (against or "none") != "none", "--test": test}
    for flag in (flag for flag, also in beside.items() if also and folds is not None):
        raise ConfigError(
            f"Expected `--folds` without {flag}, but got both; do leave it out, or compare chains with `mtl benchmark --folds`"
        )
    if time_budget is not None:
        if not 0 < time_budget < math.inf:
            raise ConfigError(
                f"Expected `--time-budget` to be minutes above 0, but got {time_budget:g}; do give some"
            )
        check_alone(
            f"--time-budget {time_budget:g}",
            learner=learner, features=features, image_size=image_size, preset=preset, epochs=epochs, folds=folds,
            unit=unit, aggregate=aggregate,
        )  # fmt: skip
    base = config if config is not None else config_to_continue(start) if start else "default"
    experiment = with_learner(
        lambda keys: load_config(base, keys, sets or ()), given, learner, features, preset,
        {"unit": unit, "bags.aggregate": aggregate},
    )  # fmt: skip
    if folds is not None:
        cross_validate(BenchmarkSettings.of_folds(experiment, folds), runs, workers, as_json)
        return
    if workers is not None:
        raise ConfigError("Expected `--workers` beside `--folds`, but got it alone; do leave it out")

    from mtl.run.execute import execute

    show(execute(experiment, runs, as_typed(), start, time_budget), as_json)


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
