"""`mtl reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mtl.cli.options import AsJson, ConfigFile, Runs, SetsOnly, as_typed, flag_of, given_of, show
from mtl.errors import ConfigError
from mtl.loading import load_settings
from mtl.reproduce.settings import ReproduceSettings

__all__ = ["reproduce"]


def reproduce(
    name: Annotated[
        str | None,
        typer.Argument(
            help="maaliw2022, alam2024, pushpalatha2024, patel2025 or faiz2023.", metavar="[NAME]"
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All papers.")] = False,
    data: Annotated[Path | None, flag_of(ReproduceSettings, "data")] = None,
    budget: Annotated[float | None, flag_of(ReproduceSettings, "budget")] = None,
    weights: Annotated[str | None, flag_of(ReproduceSettings, "weights")] = None,
    stand_in: Annotated[str | None, flag_of(ReproduceSettings, "stand_in")] = None,
    runs: Runs = Path("runs"),
    seed: Annotated[int | None, flag_of(ReproduceSettings, "seed")] = None,
    config: ConfigFile = None,
    sets: SetsOnly = None,
    as_json: AsJson = False,
) -> None:
    """Run a source paper again and print its tables beside ours, with colour alone and what its own split would have claimed.

    Networks whose weights cannot be had are named and left out; --stand-in runs others in their place and says so. The same
    command goes on where it stopped.
    """
    if bool(name) == every:
        raise ConfigError(
            f"Expected the name of a paper or --all, but got {'both' if name else 'neither'}; do give one"
        )
    given = given_of(data=data, budget=budget, weights=weights, stand_in=stand_in, seed=seed)
    settings = load_settings(ReproduceSettings, config or {}, given, sets or ())

    from mtl.reproduce.command import reproduce as run

    show(run(name, settings, runs, as_typed()), as_json)
