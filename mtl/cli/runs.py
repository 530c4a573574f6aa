"""`mtl runs` and `mtl runs compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mtl.cli.options import AsJson, Runs, as_typed, show

__all__ = ["app"]

app = typer.Typer(invoke_without_command=True, help="List run folders (`mtl runs`), or compare two of them.")


@app.callback()
def runs(context: typer.Context, folder: Runs = Path("runs"), as_json: AsJson = False) -> None:
    """List run folders with their scores and size, the newest first; `mtl runs compare A B` compares two."""
    if context.invoked_subcommand is not None:
        return
    from mtl.listing.command import list_runs

    show(list_runs(folder), as_json)


@app.command()
def compare(
    first: Annotated[
        Path, typer.Argument(metavar="A", help="Run folder, or the folder of one of its stages.")
    ],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another.")],
    out: Annotated[
        Path | None, typer.Option(help="Report without extension; runs-A-B beside A if not given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare the last stages of two runs on the test images that both have: accuracy, McNemar, DeLong."""
    from mtl.listing.command import compare_runs

    show(compare_runs(first, second, out, as_typed()), as_json)
