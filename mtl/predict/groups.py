"""Which patient or slide an image is of: by its folder, by a pattern in its name, or by a table."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from mtl.errors import ConfigError

__all__ = ["group_images"]

_SHOWN = 3


def group_images(names: Sequence[str], by: str, top: str) -> dict[str, str]:
    r"""Return the group of each image.

    Args:
        names: Of the images, relative, in POSIX form.
        by: `folder`, `regex:PATTERN` (its first group, else all that it matches), or a CSV file with the columns `image` (name or
            file name) and `group`.
        top: Group of the images that lie in no subfolder.

    Raises:
        ConfigError: If the pattern or table is not usable, or misses images.

    Examples:
        >>> group_images(["a/1.png", "2.png"], "folder", "slides")
        {'a/1.png': 'a', '2.png': 'slides'}
        >>> group_images(["P7_x.png"], r"regex:P(\d+)", "")
        {'P7_x.png': '7'}
    """
    if by == "folder":
        parents = {name: PurePosixPath(name).parent.as_posix() for name in names}
        return {name: top if parent == "." else parent for name, parent in parents.items()}
    find = _by_pattern(by.removeprefix("regex:")) if by.startswith("regex:") else _by_table(Path(by), names)
    found = {name: find(name) for name in names}
    lost = [name for name, group in found.items() if not group]
    if lost:
        shown = ", ".join(lost[:_SHOWN]) + (", ..." if len(lost) > _SHOWN else "")
        raise ConfigError(
            f"Expected `--group-by {by}` to give every image a group, but {len(lost)} of {len(names)} have none ({shown}); do add them, "
            "or leave them out of the folder"
        )
    return {name: group for name, group in found.items() if group}


def _by_pattern(pattern: str) -> Callable[[str], str | None]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"Expected `--group-by regex:` to be a regular expression, but got {pattern!r} ({error}); do mend it"
        ) from error

    def find(name: str) -> str | None:
        match = compiled.search(name)
        return match and (match[1] if compiled.groups else match[0])

    return find


def _by_table(path: Path, names: Sequence[str]) -> Callable[[str], str | None]:
    if not path.is_file():
        raise ConfigError(
            f"Expected `--group-by` to be folder, regex:PATTERN or a CSV file, but got {str(path)!r}; do check it"
        )
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, ValueError, csv.Error) as error:
        raise ConfigError(
            f"Expected {path} to be a CSV file in UTF-8, but got: {error}; do check it"
        ) from error
    if not rows or not {"image", "group"} <= set(rows[0]):
        raise ConfigError(
            f"Expected {path} to have the columns image and group, but got {', '.join(map(str, rows[0])) if rows else 'no row'}; do add them"
        )
    table = _table(path, rows)
    files = [PurePosixPath(name).name for name in names]
    unique = (
        {file for file in files if files.count(file) == 1} if len(set(files)) < len(files) else set(files)
    )

    def find(name: str) -> str | None:
        file = PurePosixPath(name).name
        return table.get(name) or (table.get(file) if file in unique else None)

    return find


def _table(path: Path, rows: Sequence[Mapping[str, str | None]]) -> dict[str, str]:
    table: dict[str, str] = {}
    for row in rows:
        image, group = (row["image"] or "").strip(), (row["group"] or "").strip()
        if table.setdefault(image, group) != group:
            raise ConfigError(
                f"Expected {path} to name {image} once, but it has two groups, {table[image]} and {group}; do remove one"
            )
    return table
