"""`mtl segment IMAGE`, `mtl segment score`, `mtl segment train` and `mtl segment export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mtl.cli.options import (
    Accelerator,
    AsJson,
    ConfigFile,
    Devices,
    Precision,
    Runs,
    SetsOnly,
    Strategy,
    below,
    flag_of,
    given_of,
    show,
)
from mtl.export.settings import ExportModel
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
    help="Find white cells: `mtl segment IMAGE_OR_FOLDER` (short for `mtl segment images`), `score`, `train` and `export`.",
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
    truth: Annotated[
        Path,
        typer.Argument(
            help="A mask, or a folder of masks; with --centroids an ALL-IDB1 folder or .xyc files."
        ),
    ],
    predicted: Annotated[
        Path, typer.Argument(metavar="PRED", help="A mask, or a folder of masks of the same names.")
    ],
    snap: Annotated[bool | None, flag_of(ScoreMasks, "snap", "--snap")] = None,
    binary: Annotated[str | None, flag_of(ScoreMasks, "binary")] = None,
    centroids: Annotated[bool | None, flag_of(ScoreMasks, "centroids", "--centroids")] = None,
    distance: Annotated[float | None, flag_of(ScoreMasks, "distance")] = None,
    config: ConfigFile = None,
    sets: SetsOnly = None,
    as_json: AsJson = False,
) -> None:
    """Compare masks with the truth: Dice, IoU, success rate, borders, and cells one by one.

    With --centroids: recall, precision and F1 of detection against the centroids of blasts.
    """
    given = given_of(snap=snap, binary=binary, centroids=centroids, distance=distance)
    settings = load_settings(ScoreMasks, config or {}, given, sets or ())

    from mtl.segment.centroids import score_centroids
    from mtl.segment.score import score_files

    score_by = score_centroids if settings.centroids else score_files
    show(score_by(truth, predicted, settings), as_json)


@app.command()
def train(
    data: Annotated[
        list[str] | None,
        typer.Option(help="NAME:FOLDER with masks, such as wbc-1:data/wbc; repeat it to join several."),
    ] = None,
    test: Annotated[
        list[str] | None, typer.Option(help="NAME:FOLDER that is only tested on; may be repeated.")
    ] = None,
    config: ConfigFile = None,
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
    accelerator: Accelerator = None,
    devices: Devices = None,
    strategy: Strategy = None,
    precision: Precision = None,
    sets: SetsOnly = None,
    runs: Runs = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Train a network on masks, beside the best threshold method on the same held-out images.

    Stop it with Ctrl-C; the same command goes on where it stopped. Near-duplicate images never stand on two sides.
    """
    from mtl.loading import load_settings
    from mtl.segment.plan import TrainPlan
    from mtl.segment.train import train_run

    given = given_of(
        data=data or None, test=test or None, arch=arch, encoder=encoder, encoder_weights=encoder_weights, width=width,
        depth=depth, deep_supervision=deep_supervision, start=start, rehearsal=rehearsal, border=border, steps=steps,
        epochs=epochs, folds=folds, batch_size=batch_size, crop_size=crop_size, learning_rate=learning_rate, seed=seed,
        limit=limit, name=name,
    )  # fmt: skip
    hardware = given_of(accelerator=accelerator, devices=devices, strategy=strategy, precision=precision)
    given |= below("hardware", hardware)
    plan = load_settings(TrainPlan, config or {}, given, sets or ())
    show(train_run(plan, runs), as_json)


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="Folder that gets the file.")] = Path("exported"),
    form: Annotated[str | None, flag_of(ExportModel, "format", "--format")] = None,
    weights: Annotated[Path | None, flag_of(SegmentImages, "weights")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the network as a file for other engines: bytes of an image in, probabilities of every pixel out (extra `export`).

    It is written only if it gives a rendered smear the same probabilities within 1e-4.
    """
    settings = load_settings(ExportModel, {}, given_of(format=form))

    from mtl.export.segmentation import export_pixels

    show(export_pixels(weights, settings.format, out), as_json)
