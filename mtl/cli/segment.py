"""`mtl segment IMAGE`, `mtl segment score` and `mtl segment train`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mtl.cli.run import AsJson, Runs, overrides

__all__ = ["app"]


class _ImagesFirst(TyperGroup):
    """A group whose first command may be left out: `mtl segment IMAGE` is `mtl segment images IMAGE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        asks = bool(args) and args[0] in ("-h", "--help")
        if args and not asks and args[0] not in self.commands:
            args = ["images", *args]
        rest: list[str] = super().parse_args(ctx, args)
        return rest


app = typer.Typer(
    cls=_ImagesFirst,
    no_args_is_help=True,
    help="Find white cells: `mtl segment IMAGE_OR_FOLDER` (short for `mtl segment images`), `score` and `train`.",
)


@app.command()
def images(
    path: Annotated[Path, typer.Argument(metavar="IMAGE_OR_FOLDER", help="An image, or a folder of images.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of outputs; runs/segment-NAME if not given.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(help="auto, residual_unet, threshold (white-cells), or the name of a threshold method."),
    ] = "auto",
    weights: Annotated[
        Path | None, typer.Option(help="Weights of `mtl segment train`; the shipped ones if not given.")
    ] = None,
    cell_size: Annotated[
        float | None,
        typer.Option(help="Diameter of white cells in px; the network measures it if not given."),
    ] = None,
    flips: Annotated[
        bool,
        typer.Option("--flips", help="Average the network over four mirror images; four times the work."),
    ] = False,
    any_hue: Annotated[
        bool,
        typer.Option(
            "--any-hue",
            help="Let the network's nuclei have any colour; else they must be violet, as Wright's and Giemsa's are.",
        ),
    ] = False,
    crops: Annotated[
        str, typer.Option(help="A PNG of every cell: none, plain, or black around it.")
    ] = "none",
    xyc: Annotated[
        bool, typer.Option("--xyc", help="Centroids as ALL-IDB has them, one `x y` a line.")
    ] = False,
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="Setting of a threshold method, such as sigma=1.5.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Segment images: label PNGs, overlays, and a table with a row a cell.

    Stop it with Ctrl-C; the same command goes on where it stopped. Exit code 1 where some images could not be read.
    """
    from mtl.segment.command import Outputs, segment_images
    from mtl.segment.methods import choose

    choice = choose(method, weights, cell_size, flips, sets or (), device, any_hue)
    result = segment_images(path, out, choice, Outputs(crops, xyc))
    typer.echo(json.dumps(result.to_json(), indent=1) if as_json else result.to_text())
    if result.failed:
        raise typer.Exit(1)


@app.command()
def score(
    truth: Annotated[Path, typer.Argument(help="A mask, or a folder of masks.")],
    predicted: Annotated[
        Path, typer.Argument(metavar="PRED", help="A mask, or a folder of masks of the same names.")
    ],
    snap: Annotated[
        bool,
        typer.Option("--snap", help="Round unexpected values to the nearest level (anti-aliased edges)."),
    ] = False,
    binary: Annotated[
        str, typer.Option(help="What 255 means in masks of 0 and 255 alone: nucleus or cell.")
    ] = "nucleus",
    as_json: AsJson = False,
) -> None:
    """Compare masks with the truth: Dice, IoU, success rate, borders, and cells one by one."""
    from mtl.segment.score import score_files

    result = score_files(truth, predicted, snap=snap, binary=binary)
    typer.echo(json.dumps(result.to_json(), indent=1) if as_json else result.to_text())


@app.command()
def train(
    data: Annotated[
        list[str] | None,
        typer.Option(help="DATASET:FOLDER with masks, such as wbc-1:data/wbc; repeat it to join several."),
    ] = None,
    test: Annotated[
        list[str] | None, typer.Option(help="DATASET:FOLDER that is only tested on; may be repeated.")
    ] = None,
    config: Annotated[str | None, typer.Option(help="YAML file of settings; flags come over it.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run folder.")] = None,
    arch: Annotated[
        str | None,
        typer.Option(help="residual-unet (if not given), or a model of segmentation-models-pytorch."),
    ] = None,
    encoder: Annotated[str | None, typer.Option(help="Encoder of such a model, such as resnet18.")] = None,
    encoder_weights: Annotated[
        str | None, typer.Option(help="none, or imagenet, which may be downloaded.")
    ] = None,
    width: Annotated[int | None, typer.Option(help="Channels of residual-unet at full size.")] = None,
    depth: Annotated[int | None, typer.Option(help="Poolings of residual-unet.")] = None,
    deep_supervision: Annotated[
        bool | None, typer.Option("--deep-supervision", help="Loss at coarser levels of residual-unet, too.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="shipped, none (random weights), a weight file, or auto: the shipped weights where they fit."
        ),
    ] = None,
    rehearsal: Annotated[
        float | None,
        typer.Option(
            help="Part of each batch that is rendered smears, lest other laboratories be forgotten; "
            "0.5 where training starts from weights, else 0."
        ),
    ] = None,
    border: Annotated[float | None, typer.Option(help="Extra weight of pixels near borders.")] = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Optimiser steps a fold; 500 from weights, 1500 from random ones."),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Instead of --steps: passes of as many crops as there are training images."),
    ] = None,
    folds: Annotated[int | None, typer.Option(help="Grouped folds; 1 for a hold-out of a fifth.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Crops in a batch.")] = None,
    crop_size: Annotated[
        int | None, typer.Option(help="Side of a crop in px; a cell measures 60 px.")
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate", "--lr", help="Peak learning rate; 3e-4 from weights, 3e-3 from random ones."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of splits, weights and crops.")] = None,
    limit: Annotated[int | None, typer.Option(help="Images of a data set at most, evenly spread.")] = None,
    accelerator: Annotated[str | None, typer.Option(help="auto, cpu, gpu, mps.")] = None,
    devices: Annotated[str | None, typer.Option(help="Number of devices, or auto.")] = None,
    strategy: Annotated[str | None, typer.Option(help="Lightning strategy, such as ddp.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="32-true, bf16-mixed, 16-mixed, or auto: what is the faster here.")
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="Any key, such as hardware.devices=2.")
    ] = None,
    runs: Runs = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Train a network on masks, beside the best threshold method on the same held-out images.

    Stop it with Ctrl-C; the same command goes on where it stopped. Near-duplicate images never stand on two sides.
    """
    from mtl.loading import load_settings
    from mtl.segment.plan import TrainPlan
    from mtl.segment.train import train_run

    given = overrides(
        data=data or None, test=test or None, arch=arch, encoder=encoder, encoder_weights=encoder_weights, width=width,
        depth=depth, deep_supervision=deep_supervision, start=start, rehearsal=rehearsal, border=border, steps=steps,
        folds=folds, crop_size=crop_size, seed=seed, limit=limit, accelerator=accelerator, devices=devices,
        strategy=strategy, precision=precision,
    )  # fmt: skip
    # `overrides` gives these to the stages of a run.
    plain = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    given |= {key: value for key, value in plain.items() if value is not None}
    plan = load_settings(TrainPlan, config or {}, given, sets or ())
    result = train_run(plan, runs, name)
    typer.echo(json.dumps(result.to_json(), indent=1) if as_json else result.to_text())
