"""Tables of text: a page, a terminal and Markdown show the same ones."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Table", "markdown", "plain"]


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        title: What it shows.
        header: Of the columns; the first one names the row.
        rows: Of text.
        note: How to read it, a sentence or none.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def plain(table: Table) -> str:
    """Return a table for a terminal: columns aligned, the first to the left."""
    rows = [table.header, *table.rows]
    widths = [max(len(row[place]) for row in rows) for place in range(len(table.header))]
    lines = [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    rule = "-" * max(map(len, lines))
    return "\n".join(
        [table.title, rule, lines[0], rule, *lines[1:], rule, *([table.note] if table.note else [])]
    )


def markdown(table: Table, level: str) -> list[str]:
    """Return lines of Markdown; the title is a heading of that level, such as `##`."""

    def line(row: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in row) + " |"

    rule = "|---|" + "---:|" * (len(table.header) - 1)
    note = [table.note, ""] if table.note else []
    return [f"{level} {table.title}", "", line(table.header), rule, *map(line, table.rows), "", *note]
