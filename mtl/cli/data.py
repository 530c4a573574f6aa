"""`mtl data`: the data sets that `mtl` reads, what is wrong with a copy or its labels, how to get one, rendered ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mtl.clean.settings import CleanLabels
from mtl.cli.options import AsJson, ConfigFile, SetsOnly, as_typed, flag_of, given_of
from mtl.cli.options import show as show_result
from mtl.config import Rendering
from mtl.loading import load_settings

if TYPE_CHECKING:
    from rich.table import Table

    from stages.data.catalogue import DataSet
    from stages.data.check import CheckReport

__all__ = ["app"]

app = typer.Typer(help="Data sets: list, check, get, render, clean.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A name that `mtl data list` shows.")]
_DEFAULT_SIZE = f"{Rendering().width}x{Rendering().height}"


@app.command("list")
def list_datasets(
    name: Annotated[str | None, typer.Argument(help="Show this one alone.")] = None,
    short: Annotated[bool, typer.Option("--short", help="One line a data set.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show every data set: source, licence, citation, classes and counts, what labels and groups are."""
    from stages.data.catalogue import CATALOGUE, find_dataset

    chosen = [find_dataset(name)] if name else list(CATALOGUE.values())
    if as_json:
        _print_json([_plain(dataset) for dataset in chosen])
    elif short:
        _print(_overview(chosen))
    else:
        for dataset in chosen:
            _print(_details(dataset))


@app.command()
def check(
    name: Name,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Its folder, or its file.")],
    labels: Annotated[
        str | None, typer.Option(help="all-idb1: detection (the default) or fab, which needs `fab.csv`.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read every file of a data set and report all that is wrong with it at once.

    Exit code 2 when anything must be mended, else 0.
    """
    from stages.data.check import check_dataset

    with _progress(f"check {name}") as tell:
        report = check_dataset(name, folder, tell, labels)
    if as_json:
        _print_json(report.as_dict())
    else:
        _print_report(report)
    raise typer.Exit(0 if report.ok else 2)


@app.command()
def get(
    name: Name,
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Where to put it; data/NAME if not given.")
    ] = None,
    variant: Annotated[str | None, typer.Option(help="Which file, where there are several.")] = None,
    as_json: AsJson = False,
) -> None:
    """Download a data set whose terms allow it, or print how to obtain it."""
    from stages.data.catalogue import find_dataset
    from stages.data.check import show
    from stages.data.download import get_dataset

    dataset = find_dataset(name)
    path = get_dataset(name, folder or Path("data") / name, variant) if dataset.downloads else None
    if as_json:
        _print_json({"dataset": name, "path": show(path) if path else None, "obtain": dataset.obtain})
    else:
        typer.echo(show(path) if path else f"{name} ({dataset.licence}): {dataset.obtain}")


@app.command()
def render(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write the two trees.")],
    fields: Annotated[int | None, flag_of(Rendering, "fields")] = None,
    crops: Annotated[int | None, flag_of(Rendering, "crops")] = None,
    slides: Annotated[int | None, flag_of(Rendering, "slides")] = None,
    size: Annotated[
        str | None, typer.Option(metavar="WxH", help="Size of a field in px.", show_default=_DEFAULT_SIZE)
    ] = None,
    seed: Annotated[int | None, flag_of(Rendering, "seed")] = None,
    config: ConfigFile = None,
    sets: SetsOnly = None,
    as_json: AsJson = False,
) -> None:
    """Render smears: invented cells in the layout of ALL-IDB1 and ALL-IDB2, for trying things out."""
    given = given_of(fields=fields, crops=crops, slides=slides, seed=seed)
    if size is not None:
        given["width"], given["height"] = _size(size)
    settings = load_settings(Rendering, config or {}, given, sets or ())

    from stages.data.check import show as shown
    from stages.data.smears import render_trees

    with _progress("render") as tell:
        trees = render_trees(folder, **settings.model_dump(), progress=tell)
    if as_json:
        _print_json({"all-idb1": shown(trees.all_idb1), "all-idb2": shown(trees.all_idb2), "rendered": True})
    else:
        typer.echo(f"Rendered, no patient's: {shown(trees.all_idb1)}, {shown(trees.all_idb2)}")


@app.command()
def clean(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Run folder, or the folder of one of its stages.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder of outputs; `clean` in the stage's folder if not given.")
    ] = None,
    chain: Annotated[str | None, flag_of(CleanLabels, "chain")] = None,
    stage: Annotated[int | None, flag_of(CleanLabels, "stage")] = None,
    folds: Annotated[int | None, flag_of(CleanLabels, "folds")] = None,
    config: ConfigFile = None,
    sets: SetsOnly = None,
    as_json: AsJson = False,
) -> None:
    """Find labels that are probably wrong: a page to look at, and a table to correct that `mtl run` takes.

    Every image is judged by heads that learned from images of other groups (confident learning). Needs the extra `clean`.
    """
    given = given_of(chain=chain, stage=stage, folds=folds)
    settings = load_settings(CleanLabels, config or {}, given, sets or ())

    from mtl.clean.command import clean_labels

    show_result(clean_labels(run, out, settings, as_typed()), as_json)


def _size(text: str) -> tuple[int, int]:
    """Return (width, height) of a text such as `640x480`."""
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(
        side.isascii() and side.isdigit() and 0 < len(side) < 6 and int(side) for side in sides
    ):
        message = f"Expected `--size` to be of the form WxH, but got {text!r}; do give it as in 640x480."
        raise typer.BadParameter(message)
    return int(sides[0]), int(sides[1])


def _plain(dataset: DataSet) -> dict[str, Any]:
    plain: dict[str, Any] = {
        name: getattr(dataset, name)
        for name in ("name", "title", "kind", "classes", "source", "licence", "citation", "label_rule")
    }
    plain |= {name: getattr(dataset, name) for name in ("group_rule", "split_unit", "layout", "obtain")}
    plain["expected"] = dict(dataset.expected)
    plain["downloads"] = [
        {"variant": item.variant, "url": item.url, "checksum": item.checksum} for item in dataset.downloads
    ]
    return plain


def _classes(dataset: DataSet) -> str:
    if not dataset.classes:
        return "as found"
    counts = dataset.expected
    return ", ".join(f"{name} {counts[name]:,}" if name in counts else name for name in dataset.classes)


def _overview(datasets: list[DataSet]) -> Table:
    from rich.table import Table

    table = Table("name", "kind", "images", "classes", "split unit", "get")
    for item in datasets:
        images = f"{sum(item.expected.values()):,}" if item.expected else "-"
        get = "mtl data get" if item.downloads else "by hand"
        table.add_row(item.name, item.kind, images, str(len(item.classes) or "any"), item.split_unit, get)
    return table


def _details(dataset: DataSet) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, title=f"{dataset.name}: {dataset.title}", title_justify="left")
    rows = {
        "kind": dataset.kind,
        "source": dataset.source,
        "licence": dataset.licence,
        "cite": dataset.citation,
        "classes": _classes(dataset),
        "label": dataset.label_rule,
        "group": dataset.group_rule,
        "split unit": dataset.split_unit,
        "layout": dataset.layout,
        "obtain": dataset.obtain,
    }
    for key, value in rows.items():
        table.add_row(Text(key, "dim"), Text(value))
    return table


def _print_report(report: CheckReport) -> None:
    from rich.table import Table
    from rich.text import Text

    from stages.data.check import show

    typer.echo(f"{report.dataset} in {show(report.root)}")
    table = Table("class", "images", "in the full set")
    for label in {**report.counts, **report.expected}:
        expected = report.expected.get(label)
        full = "-" if expected is None else f"{expected:,}"
        table.add_row(Text(label), f"{report.counts.get(label, 0):,}", full)
    _print(table)
    groups = "no groups in the files" if report.groups is None else f"{report.groups:,} groups"
    typer.echo(f"{groups}; split unit: {report.split_unit}; {report.masks:,} with a mask")
    if report.sizes:
        (w0, w1, w2), (h0, h1, h2) = report.sizes.width, report.sizes.height
        typer.echo(f"width {w0} to {w2} px (median {w1}), height {h0} to {h2} px (median {h1})")
    for title, items in (("note", report.notes), ("problem", report.problems)):
        for item in items:
            typer.echo(f"{title}: {item.path}: {item.what}; do {item.todo}")
    typer.echo(f"problems: {len(report.problems)}, notes: {len(report.notes)}")


def _print(table: Table) -> None:
    from rich.console import Console

    Console().print(table)


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2))


@contextmanager
def _progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Give a callback that draws a bar on a terminal and is silent elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
