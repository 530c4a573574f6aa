"""`mtl benchmark` and `mtl compare`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from mtl.benchmark.plan import BenchmarkSettings, Design
from mtl.cli.options import (
    AsJson,
    Backbone,
    Config,
    ConfigFile,
    Epochs,
    Features,
    ImageSize,
    Learner,
    MultiCell,
    Name,
    Runs,
    Seed,
    Sets,
    SetsOnly,
    SingleCell,
    Weights,
    Workers,
    as_typed,
    below,
    cross_validate,
    flag_of,
    given_of,
    overrides,
    show,
    with_learner,
)
from mtl.comparison.settings import CompareSettings
from mtl.loading import load_settings

__all__ = ["benchmark", "compare"]


def benchmark(
    more: Annotated[list[str] | None, typer.Argument(help="Further chains.", metavar="[CHAIN]...")] = None,
    chains: Annotated[list[str] | None, flag_of(Design, "chains")] = None,
    repeats: Annotated[int | None, flag_of(Design, "repeats")] = None,
    folds: Annotated[int | None, flag_of(Design, "folds")] = None,
    five_by_two: Annotated[
        bool, typer.Option("--5x2", help="Five times two folds (Dietterich 1998).")
    ] = False,
    draw: Annotated[int | None, flag_of(Design, "draw")] = None,
    backbones: Annotated[str | None, flag_of(Design, "backbones")] = None,
    metric: Annotated[str | None, flag_of(Design, "metric")] = None,
    rope: Annotated[float | None, flag_of(Design, "rope")] = None,
    variants: Annotated[list[str] | None, flag_of(Design, "variants", "--variant")] = None,
    workers: Workers = None,
    backbone: Backbone = None,
    weights: Weights = None,
    learner: Learner = None,
    features: Features = None,
    config: Config = "default",
    name: Name = None,
    runs: Runs = Path("runs"),
    single_cell: SingleCell = None,
    multi_cell: MultiCell = None,
    epochs: Epochs = None,
    image_size: ImageSize = None,
    seed: Seed = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Compare chains, or variants of the settings, in paired runs on identical splits and seeds, with statistics that hold.

    One chain with --folds is cross-validated, as `mtl run --folds` does.
    The verdict is that of the corrected resampled t test (Nadeau & Bengio 2003). Stop it with Ctrl-C; the same command
    goes on where it stopped. Chains that begin alike train their beginning once.
    """
    given = overrides(
        backbone=backbone, weights=weights, name=name, seed=seed, epochs=epochs, image_size=image_size,
        single_cell=single_cell, multi_cell=multi_cell,
    )  # fmt: skip
    given |= below("benchmark", given_of(
        chains=[*(chains or []), *(more or [])] or None, repeats=repeats, folds=folds, draw=draw, backbones=backbones,
        metric=metric, rope=rope, variants=variants,
    ))  # fmt: skip
    if five_by_two:
        given |= {"benchmark.repeats": 5, "benchmark.folds": 2}
    settings = with_learner(
        lambda keys: load_settings(BenchmarkSettings, config, keys, sets or ()), given, learner, features
    )

    if settings.benchmark.alone:
        cross_validate(settings, runs, workers, as_json)
        return

    from mtl.benchmark.summary import benchmark_and_report

    folder = runs / f"{settings.name}-benchmark"
    show(benchmark_and_report(settings, folder, workers or os.cpu_count() or 1, as_typed()), as_json)


def compare(
    tables: Annotated[
        list[Path],
        typer.Argument(help="A CSV file with a column of scores for every method, or two `predictions.csv`."),
    ],
    test_fraction: Annotated[float | None, flag_of(CompareSettings, "test_fraction")] = None,
    folds: Annotated[int | None, flag_of(CompareSettings, "folds")] = None,
    rope: Annotated[float | None, flag_of(CompareSettings, "rope")] = None,
    claim: Annotated[str | None, flag_of(CompareSettings, "claim")] = None,
    out: Annotated[Path, typer.Option(help="Where to write: this name with .html, .md and .json.")] = Path(
        "comparison"
    ),
    config: ConfigFile = None,
    sets: SetsOnly = None,
    as_json: AsJson = False,
) -> None:
    """Compare numbers from anywhere: scores of two methods or more, or what two models said of the same images."""
    given = given_of(test_fraction=test_fraction, folds=folds, rope=rope, claim=claim)
    settings = load_settings(CompareSettings, config or {}, given, sets or ())

    from mtl.comparison.files import compare_files

    show(compare_files(tables, settings, out, as_typed()), as_json)
