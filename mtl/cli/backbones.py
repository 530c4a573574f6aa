"""`mtl backbones`: which networks a stage can stand on, and whether their weights are here."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mtl.cli.options import AsJson

if TYPE_CHECKING:
    from rich.table import Table

    from stages.learners.network.catalogue import BackboneRecord

__all__ = ["backbones"]

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HERE = {"package": "installed", "cache": "in the cache", "": "to fetch"}
_WIDE = 110
_LEGEND = (
    "papers: A Maaliw 2022, B Alam 2024, C Pushpalatha 2024, D Patel 2025, E Faiz 2023\n"
    "px: side of the images; M: million parameters; GMACs: of one image\n"
    "norm: ImageNet's mean and deviation, or 0.5 and 0.5"
)


def backbones(
    name: Annotated[
        str | None, typer.Argument(help="Show this one, of the list or any other that `--backbone` takes.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the backbones that the source papers name, and today's; `--backbone` takes any other of timm or torchvision, too.

    Parameters and multiplications are those of the backbone without a classifier. No network is asked.
    """
    from stages.learners.network.backbones import describe_backbone
    from stages.learners.network.catalogue import CATALOGUE
    from stages.learners.network.hub import is_here

    chosen = [describe_backbone(name)] if name else list(CATALOGUE.values())
    here = {record.name: is_here(record.name) for record in chosen}
    if as_json:
        told = [asdict(record) | {"weights": here[record.name] or None} for record in chosen]
        typer.echo(json.dumps(told, indent=2))
        return
    from rich.console import Console

    console = Console()
    if name:
        console.print(_details(chosen[0], here[chosen[0].name]))
        return
    wide = console.width >= _WIDE
    console.print(_overview(chosen, here, wide))
    typer.echo(f"\n{_LEGEND}" + ("" if wide else "\nlicence and training data: `mtl backbones NAME`"))


def _overview(records: list[BackboneRecord], here: dict[str, str], wide: bool) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("name", overflow="fold")
    table.add_column("papers", no_wrap=True)
    for title in ("px", "M", "GMACs"):
        table.add_column(title, justify="right", no_wrap=True)
    for title in ("norm", "weights", *(("licence", "trained on") if wide else ())):
        table.add_column(title, no_wrap=title != "trained on")
    for record in records:
        row = _row(record, here[record.name])
        more = (record.licence, record.pretrained) if wide else ()
        table.add_row(record.name, *row.values(), *more)
    return table


def _row(record: BackboneRecord, here: str) -> dict[str, str]:
    return {
        "papers": record.papers.replace(", ", ""),
        "px": str(record.input_size),
        "M": f"{record.parameters / 1e6:.1f}",
        "GMACs": f"{record.macs / 1e9:.2f}",
        "norm": _norm(record),
        "weights": _HERE[here],
    }


def _norm(record: BackboneRecord) -> str:
    if (record.mean, record.std) == _IMAGENET:
        return "ImageNet"
    if {*record.mean, *record.std} == {0.5}:
        return "0.5"
    return "its own"


def _details(record: BackboneRecord, here: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, title=record.name, title_justify="left")
    row = _row(record, here)
    rows: dict[str, Any] = {
        "papers": f"{record.title} in {record.papers}" if record.papers else record.title,
        "input size": f"{record.input_size} px",
        "parameters": f"{row['M']} M, without a classifier",
        "work": f"{row['GMACs']} GMACs an image",
        "normalisation": f"mean {record.mean}, deviation {record.std}",
        "licence": record.licence,
        "trained on": record.pretrained,
        "may have seen": ", ".join(record.seen),
        "built from": record.architecture,
        "weights": row["weights"],
        "note": record.note,
    }
    for key, value in rows.items():
        if value:
            table.add_row(Text(key, "dim"), Text(value))
    return table
