"""Any images, listed in a CSV file: `path,label[,group][,mask][,part]`."""

from __future__ import annotations

import os
from pathlib import Path

from stages.data.dataset import DataSet
from stages.data.problems import BadFileError, Problem, Scan, show
from stages.data.sample import Sample
from stages.data.table import Row, read_table
from stages.data.tree import number_in

__all__ = ["MANIFEST"]


def scan(root: Path) -> Scan:
    """Return images and problems; `root` is the CSV file, paths in it are relative to its folder."""
    result = Scan()
    if root.is_dir():
        raise BadFileError(Problem(show(root), "a CSV file", "a folder", "give the path of the CSV itself"))
    rows = read_table(root, ["path", "label"], ["group", "mask", "part"])
    seen: dict[Path, int] = {}
    for position, row in enumerate(rows):
        _add(root, position, row, seen, result)
    groups = sum(sample.group is not None for sample in result.samples)
    if 0 < groups < len(result.samples):
        without = len(result.samples) - groups
        result.problem(
            root, "a CSV file with a group in every row or in none", f"{without} rows without", "fill them in"
        )
    return result


def _add(root: Path, position: int, row: Row, seen: dict[Path, int], result: Scan) -> None:
    line, cells = row
    text = cells["path"]
    path = _locate(root, text)
    where = Path(os.path.abspath(path)) if path else None  # noqa: PTH100 - resolve() would follow links
    if path is None or where is None:
        result.problem(
            root,
            f"a list of files (line {line})",
            f"`{show(text)}`, which does not exist",
            "correct that path",
        )
    elif where in seen:
        got = f"`{show(text)}` again in line {line}"
        result.problem(
            root, f"a list without repeats (line {seen[where]})", got, "remove one of the two lines"
        )
    elif not cells["label"]:
        result.problem(
            root, f"labelled in every line (line {line})", "an empty label", "fill it in or remove the line"
        )
    else:
        seen[where] = line
        mask = _locate(root, cells["mask"]) if cells["mask"] else None
        if cells["mask"] and mask is None:
            got = f"the mask `{show(cells['mask'])}`, which does not exist"
            result.problem(root, f"a list of files (line {line})", got, "correct that path or leave it empty")
        number = number_in(path.stem)
        result.samples.append(
            Sample(
                path=path,
                name=Path(os.path.normpath(text)).as_posix(),
                label=cells["label"],
                dataset="manifest",
                group=cells["group"] or None,
                order=position if number is None else number,
                mask=mask,
                part=cells["part"] or None,
            )
        )


def _locate(root: Path, text: str) -> Path | None:
    """Return the file that a cell names (backslashes of Windows too), or None."""
    for spelling in (text, text.replace("\\", "/")):
        path = root.parent / spelling
        try:
            if text and path.is_file():
                return path
        except (OSError, ValueError):  # a name too long or with a null byte
            return None
    return None


MANIFEST = DataSet(
    name="manifest",
    title="Your own images, listed in a CSV file",
    kind="single-cell",
    classes=(),
    source="-",
    licence="yours",
    citation="yours",
    label_rule="the column `label`",
    group_rule="the column `group` where it is given",
    split_unit="group of the CSV, else image",
    obtain="Write a CSV file `path,label` with optional columns `group` (patient or slide), `mask`, `part`.",
    layout="FILE.csv with path,label[,group][,mask][,part]; paths relative to its folder",
    reader=scan,
)
