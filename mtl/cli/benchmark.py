"""`mtl benchmark` and `mtl compare`."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from mtl.cli.run import AsJson, Runs, overrides

__all__ = ["benchmark", "compare"]


def benchmark(
    more: Annotated[list[str] | None, typer.Argument(help="Further chains.", metavar="[CHAIN]...")] = None,
    chains: Annotated[
        list[str] | None,
        typer.Option(
            help="Chains to compare, such as --chains 1,3 1,2,3; 3 alone starts from random weights."
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(help="Random splits, or how often folds are dealt anew.")] = 10,
    folds: Annotated[int, typer.Option(help="Folds of a k-fold; 0 for repeated hold-outs.")] = 0,
    five_by_two: Annotated[
        bool, typer.Option("--5x2", help="Five times two folds (Dietterich 1998).")
    ] = False,
    draw: Annotated[
        int, typer.Option(help="Score on so many test images drawn in every repeat (paper A: 150).")
    ] = 0,
    backbones: Annotated[str | None, typer.Option(help="timm models, separated by commas.")] = None,
    metric: Annotated[
        str, typer.Option(help="accuracy, balanced_accuracy, macro_f1, weighted_f1 or macro_auroc.")
    ] = "macro_f1",
    rope: Annotated[float, typer.Option(help="Differences up to so many points are practically none.")] = 1.0,
    workers: Annotated[int | None, typer.Option(help="Cells side by side; one a core if not given.")] = None,
    weights: Annotated[str | None, typer.Option(help="auto, none, or a weight file.")] = None,
    config: Annotated[str, typer.Option(help="YAML file, or a name that `mtl configs` lists.")] = "default",
    name: Annotated[str | None, typer.Option(help="Name of the benchmark's folder.")] = None,
    runs: Runs = Path("runs"),
    single_cell: Annotated[str | None, typer.Option(help="Data of stage 2 as NAME:FOLDER.")] = None,
    multi_cell: Annotated[str | None, typer.Option(help="Data of stage 3 as NAME:FOLDER.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of every learning stage.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Side in px that images are resized to.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the first repeat; the others count on.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="Any key, such as multi_cell.train.epochs=10.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare chains in paired runs on identical splits and seeds, with statistics that hold.

    The verdict is that of the corrected resampled t test (Nadeau & Bengio 2003). Stop it with Ctrl-C; the same command
    goes on where it stopped. Chains that begin alike train their beginning once.
    """
    from mtl.config import load_config, parse_stages

    given = overrides(
        weights=weights,
        name=name,
        seed=seed,
        epochs=epochs,
        image_size=image_size,
        single_cell=single_cell,
        multi_cell=multi_cell,
    )
    experiment = load_config(config, given, sets or ())

    from mtl.benchmark.plan import Design
    from mtl.benchmark.summary import benchmark_and_report

    design = Design(
        chains=tuple(map(parse_stages, [*(chains or []), *(more or [])] or ["1,3", "1,2,3"])),
        repeats=5 if five_by_two else repeats,
        folds=2 if five_by_two else folds,
        backbones=tuple(part.strip() for part in (backbones or "").split(",") if part.strip()),
        draw=draw,
    )
    result = benchmark_and_report(
        experiment, design, runs / f"{experiment.name}-benchmark", workers or os.cpu_count() or 1, metric, rope,
        shlex.join(["mtl", *sys.argv[1:]]),
    )  # fmt: skip
    typer.echo(json.dumps(result.to_json(), indent=1) if as_json else result.to_text())


def compare(
    tables: Annotated[
        list[Path],
        typer.Argument(help="A CSV file with a column of scores for every method, or two `predictions.csv`."),
    ],
    test_fraction: Annotated[
        float | None, typer.Option(help="Share of every split that was tested.", show_default="0.2")
    ] = None,
    folds: Annotated[
        int | None, typer.Option(help="Folds, if the scores are of a (repeated) k-fold.")
    ] = None,
    rope: Annotated[float, typer.Option(help="Differences up to so many points are practically none.")] = 1.0,
    claim: Annotated[
        str | None, typer.Option(help="A printed t,df,p to check, such as 0.85310,18,0.0001.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where to write: this name with .html, .md and .json.")] = Path(
        "comparison"
    ),
    as_json: AsJson = False,
) -> None:
    """Compare numbers from anywhere: scores of two methods or more, or what two models said of the same images."""
    from mtl.comparison.files import compare_files

    result = compare_files(tables, test_fraction, folds, rope, claim, out, shlex.join(["mtl", *sys.argv[1:]]))
    typer.echo(json.dumps(result.to_json(), indent=1) if as_json else result.to_text())
