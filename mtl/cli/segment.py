"""`mtl segment IMAGE`, `mtl segment score` and `mtl segment train`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mtl.cli.options import AsJson, ConfigFile, Runs, SetsOnly, flag_of, given_of, show
from mtl.loading import load_settings
from mtl.segment.settings import ScoreMasks, SegmentImages

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
    method: Annotated[str | None, flag_of(SegmentImages, "method")] = None,
    weights: Annotated[Path | None, flag_of(SegmentImages, "weights")] = None,
    cell_size: Annotated[float | None, flag_of(SegmentImages, "cell_size")] = None,
    flips: Annotated[bool | None, flag_of(SegmentImages, "flips", "--flips")] = None,
    any_hue: Annotated[bool | None, flag_of(SegmentImages, "any_hue", "--any-hue")] = None,
    crops: Annotated[str | None, flag_of(SegmentImages, "crops")] = None,
    xyc: Annotated[bool | None, flag_of(SegmentImages, "xyc", "--xyc")] = None,
    device: Annotated[str | None, flag_of(SegmentImages, "device")] = None,
    config: ConfigFile = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Any setting as KEY=VALUE, such as parameters.sigma=1.5 of a threshold method."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Segment images: label PNGs, overlays, and a table with a row a cell.

    Stop it with Ctrl-C; the same command goes on where it stopped. Exit code 1 where some images could not be read.
    """
    given = given_of(
        method=method, weights=weights, cell_size=cell_size, flips=flips, any_hue=any_hue, crops=crops, xyc=xyc,
        device=device,
    )  # fmt: skip
    settings = load_settings(SegmentImages, config or {}, given, sets or ())

    from mtl.segment.command import segment_images

    result = segment_images(path, out, settings)
    show(result, as_json)
    if result.failed:
        raise typer.Exit(1)


@app.command()
def score(
    truth: Annotated[Path, typer.Argument(help="A mask, or a folder of masks.")],
    predicted: Annotated[
        Path, typer.Argument(metavar="PRED", help="A mask, or a folder of masks of the same names.")
    ],
    snap: Annotated[bool | None, flag_of(ScoreMasks, "snap", "--snap")] = None,
    binary: Annotated[str | None, flag_of(ScoreMasks, "binary")] = None,
    config: ConfigFile = None,
    sets: SetsOnly = None,
    as_json: AsJson = False,
) -> None:
    """Compare masks with the truth: Dice, IoU, success rate, borders, and cells one by one."""
    settings = load_settings(ScoreMasks, config or {}, given_of(snap=snap, binary=binary), sets or ())

    from mtl.segment.score import score_files

    show(score_files(truth, predicted, settings), as_json)


@app.command()
def train(
    data: Annotated[
        list[str],
        typer.Option(help="DATASET:FOLDER with masks, such as wbc-1:data/wbc; repeat it to join several."),
    ],
    test: Annotated[
        list[str] | None, typer.Option(help="DATASET:FOLDER that is only tested on; may be repeated.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run folder.")] = None,
    arch: Annotated[
        str, typer.Option(help="residual-unet, or a model of segmentation-models-pytorch.")
    ] = "residual-unet",
    encoder: Annotated[str | None, typer.Option(help="Encoder of such a model, such as resnet18.")] = None,
    encoder_weights: Annotated[
        str, typer.Option(help="none, or imagenet, which may be downloaded.")
    ] = "none",
    width: Annotated[int, typer.Option(help="Channels of residual-unet at full size.")] = 16,
    depth: Annotated[int, typer.Option(help="Poolings of residual-unet.")] = 4,
    deep_supervision: Annotated[
        bool, typer.Option("--deep-supervision", help="Loss at coarser levels of residual-unet, too.")
    ] = False,
    start: Annotated[
        str,
        typer.Option(
            help="shipped, none (random weights), a weight file, or auto: the shipped weights where they fit."
        ),
    ] = "auto",
    rehearsal: Annotated[
        float | None,
        typer.Option(
            help="Part of each batch that is rendered smears, lest other laboratories be forgotten; "
            "0.5 where training starts from weights, else 0."
        ),
    ] = None,
    border: Annotated[float, typer.Option(help="Extra weight of pixels near borders.")] = 0.5,
    steps: Annotated[
        int | None,
        typer.Option(help="Optimiser steps a fold; 500 from weights, 1500 from random ones."),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Instead of --steps: passes of as many crops as there are training images."),
    ] = None,
    folds: Annotated[int, typer.Option(help="Grouped folds; 1 for a hold-out of a fifth.")] = 1,
    batch_size: Annotated[int, typer.Option(help="Crops in a batch.")] = 16,
    crop_size: Annotated[int, typer.Option(help="Side of a crop in px; a cell measures 60 px.")] = 128,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate", "--lr", help="Peak learning rate; 3e-4 from weights, 3e-3 from random ones."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of splits, weights and crops.")] = 0,
    limit: Annotated[int | None, typer.Option(help="Images of a data set at most, evenly spread.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    runs: Runs = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Train a network on masks, beside the best threshold method on the same held-out images.

    Stop it with Ctrl-C; the same command goes on where it stopped. Near-duplicate images never stand on two sides.
    """
    from mtl.segment.plan import TrainPlan
    from mtl.segment.train import train_run

    plan = TrainPlan(
        data=tuple(data), test=tuple(test or ()), arch=arch, encoder=encoder, encoder_weights=encoder_weights,
        width=width, depth=depth, deep_supervision=deep_supervision, start=start, rehearsal=rehearsal, border=border, steps=steps, epochs=epochs, folds=folds, batch_size=batch_size, crop_size=crop_size,
        learning_rate=learning_rate, seed=seed, limit=limit,
    )  # fmt: skip
    result = train_run(plan, runs, name, device)
    typer.echo(json.dumps(result.to_json(), indent=1) if as_json else result.to_text())
