"""Which data sets a paper needs, and where they lie below `--data`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from mtl.config import STAGE_FIELDS
from mtl.errors import ConfigError
from mtl.loading import config_path, read_tree
from mtl.reproduce.published import Paper

__all__ = ["RENDERED", "datasets_of", "find_roots"]

RENDERED = ("all-idb1", "all-idb2")
"""Data sets that smears are rendered in the layout of."""

_ALSO = {"cnmc2019": ("cnmc",)}


def datasets_of(paper: Paper) -> dict[str, str]:
    """Return the data set of every stage of a paper that learns, by the stage's name."""
    tree = read_tree(config_path(paper.config))
    stages = [STAGE_FIELDS[number] for number in tree["stages"] if number in STAGE_FIELDS]
    return {stage: tree[stage]["data"]["dataset"] for stage in stages}


def find_roots(paper: Paper, data: Path) -> Mapping[str, Path | None]:
    """Return the folder of every stage's data set, None where it is not there.

    A data set lies in the folder below `data` whose name is its own, but for case, dashes and what follows.

    Raises:
        ConfigError: If `data` is no folder.
    """
    if not data.is_dir():
        raise ConfigError(f"Expected `--data` to be a folder with data sets, but got {data}; do give one")
    known = {_plain(path.name): path for path in sorted(data.iterdir()) if path.is_dir()}
    found: dict[str, Path | None] = {}
    for stage, dataset in datasets_of(paper).items():
        names = (_plain(dataset), *_ALSO.get(dataset, ()))
        found[stage] = next((path for name, path in known.items() if name.startswith(names)), None)
    return found


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
