"""Read the small CSV files that lie beside images, with errors that name file, line and column."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from stages.data.problems import BadFileError, Problem, show

__all__ = ["Row", "read_table"]

Row = tuple[int, dict[str, str]]
"""Line number in the file (from 1) and the cells by lower-case column name."""


def read_table(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> list[Row]:
    """Return the rows of a CSV file with a header.

    Args:
        path: UTF-8 with or without a byte-order mark.
        required: Columns that must be there, lower-case; matched without regard to case and outer blanks.
        optional: Columns that may be there; where one is missing its cells are "".

    Raises:
        BadFileError: If the file is missing, no UTF-8, no CSV, empty, lacks a column or has a ragged row.
    """
    lines = _lines(path)
    header = [cell.strip().casefold() for cell in lines[0][1]] if lines else []
    missing = [name for name in required if name not in header]
    if missing:
        got = f"the header `{show(','.join(header))}`" if header else "an empty file"
        example = ",".join((*required, *(f"[{name}]" for name in optional)))
        raise BadFileError(
            Problem(
                show(path),
                f"a CSV file with the column `{missing[0]}`",
                got,
                f"begin it with the line `{example}`",
            )
        )
    wanted = [name for name in (*required, *optional) if name in header]
    rows: list[Row] = []
    for number, cells in lines[1:]:
        if len(cells) != len(header):
            expected, got = f"a CSV file with {len(header)} cells in line {number}", f"{len(cells)}"
            raise BadFileError(Problem(show(path), expected, got, "quote cells that hold a comma"))
        found = {name: cells[header.index(name)].strip() for name in wanted}
        rows.append((number, dict.fromkeys(optional, "") | found))
    return rows


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return (line number, cells) of every line that is not blank."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            return [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except UnicodeDecodeError:
        problem = Problem(show(path), "a CSV file in UTF-8", "another encoding", "save it as UTF-8")
    except csv.Error as error:
        problem = Problem(show(path), "a CSV file", f"a line that is none ({error})", "mend that line")
    except OSError as error:
        problem = Problem(
            show(path),
            "a CSV file that can be read",
            error.strerror or "an error",
            "check path and permissions",
        )
    raise BadFileError(problem)
