"""`mtl ensemble`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mtl.cli.options import AsJson, ConfigFile, Runs, SetsOnly, as_typed, flag_of, given_of, show
from mtl.ensemble.settings import EnsembleSettings
from mtl.loading import load_settings

__all__ = ["ensemble"]


def ensemble(
    members: Annotated[
        list[Path],
        typer.Argument(help="Run folders, stage folders or ensembles, two or more.", metavar="RUN RUN..."),
    ],
    rule: Annotated[str | None, flag_of(EnsembleSettings, "rule")] = None,
    weights: Annotated[str | None, flag_of(EnsembleSettings, "weights")] = None,
    threshold: Annotated[float | None, flag_of(EnsembleSettings, "threshold")] = None,
    criterion: Annotated[str | None, flag_of(EnsembleSettings, "criterion")] = None,
    copies: Annotated[
        bool | None,
        typer.Option(
            "--copies/--no-copies", help="Copy corrected and spoilt images into folders (default: do)."
        ),
    ] = None,
    name: Annotated[str | None, flag_of(EnsembleSettings, "name")] = None,
    runs: Runs = Path("runs"),
    seed: Annotated[int | None, flag_of(EnsembleSettings, "seed")] = None,
    config: ConfigFile = None,
    sets: SetsOnly = None,
    as_json: AsJson = False,
) -> None:
    """Combine finished runs into one model, chosen on the validation part and scored on the test part.

    The runs must tell the same classes of the same test images. All rules are scored beside the one that is asked for, and
    beside every single network. The folder is a model like any other, and may be a member of another ensemble.
    """
    given = given_of(
        rule=rule,
        weights=weights,
        threshold=threshold,
        criterion=criterion,
        copies=copies,
        name=name,
        seed=seed,
    )
    settings = load_settings(EnsembleSettings, config or {}, given, sets or ())

    from mtl.ensemble.command import make_ensemble

    show(make_ensemble(members, settings, runs, as_typed()), as_json)
