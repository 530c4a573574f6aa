"""`mtl find-lr`."""

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
from mtl.find_lr.settings import RatePlan

__all__ = ["find_lr"]


def find_lr(
    stages: Annotated[
        str | None, typer.Option(help="Chain of stages: 1 ImageNet, 2 single cell, 3 multi-cell.")
    ] = None,
    stage: Annotated[int | None, flag_of(RatePlan, "stage")] = None,
    head: Annotated[
        bool | None, typer.Option("--head", help="Of the head alone, for head_learning_rate.")
    ] = None,
    lowest: Annotated[float | None, flag_of(RatePlan, "lowest")] = None,
    highest: Annotated[float | None, flag_of(RatePlan, "highest")] = None,
    steps: Annotated[int | None, flag_of(RatePlan, "steps")] = None,
    backbone: Backbone = None,
    weights: Weights = None,
    config: RunConfig = None,
    name: Name = None,
    runs: Runs = Path("runs"),
    single_cell: SingleCell = None,
    multi_cell: MultiCell = None,
    start: Annotated[
        Path | None,
        typer.Option("--from", help="Begin from a finished run or stage folder, with its configuration."),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images in a batch.")] = None,
    image_size: ImageSize = None,
    seed: Seed = None,
    accelerator: Accelerator = None,
    sets: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Suggest a learning rate: train a stage for some batches while the rate rises, and look at the loss.

    Curve and suggestion are fastai's `lr_find`. Stages before it are trained first, and `mtl run` reuses them.
    """
    from mtl.config import config_to_continue
    from mtl.find_lr.settings import FindRateSettings
    from mtl.loading import load_settings

    given = overrides(
        stages=stages, backbone=backbone, weights=weights, name=name, seed=seed, accelerator=accelerator,
        batch_size=batch_size, image_size=image_size, single_cell=single_cell, multi_cell=multi_cell,
    ) | below("find_lr", given_of(stage=stage, head=head, lowest=lowest, highest=highest, steps=steps))  # fmt: skip
    base = config if config is not None else config_to_continue(start) if start else "default"
    settings = load_settings(FindRateSettings, base, given, sets or ())

    from mtl.find_lr.command import find_rate

    show(find_rate(settings, runs, as_typed(), start), as_json)
