"""Every data set that `mtl` reads, by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from stages.data.dataset import DataSet, Download
from stages.data.sample import Sample
from stages.data.sets.all_idb1 import ALL_IDB1
from stages.data.sets.all_idb2 import ALL_IDB2
from stages.data.sets.bccd import BCCD, BCCD_CELLS
from stages.data.sets.bloodmnist import BLOODMNIST
from stages.data.sets.cnmc2019 import CNMC2019
from stages.data.sets.deepapl import DEEPAPL, DEEPAPL_DIAGNOSIS
from stages.data.sets.folder import FOLDER
from stages.data.sets.manifest import MANIFEST
from stages.data.sets.pbc import PBC
from stages.data.sets.taleqani import TALEQANI
from stages.data.sets.wbc import WBC_1, WBC_2
from stages.errors import DataError

__all__ = ["CATALOGUE", "DataSet", "Download", "Source", "find_dataset", "parse_source", "read_dataset"]

_ALL = (
    ALL_IDB1,
    ALL_IDB2,
    CNMC2019,
    TALEQANI,
    BCCD,
    BCCD_CELLS,
    WBC_1,
    WBC_2,
    PBC,
    BLOODMNIST,
    DEEPAPL,
    DEEPAPL_DIAGNOSIS,
    FOLDER,
    MANIFEST,
)
CATALOGUE: Mapping[str, DataSet] = MappingProxyType({dataset.name: dataset for dataset in _ALL})


@dataclass(frozen=True)
class Source:
    """A data set and its folder, as `NAME:FOLDER` names them."""

    dataset: str
    folder: Path


def parse_source(text: str, flag: str) -> Source:
    """Return the source that `NAME:FOLDER` names.

    Args:
        text: Such as `pbc:data/pbc`.
        flag: Where it was given, for the message.

    Raises:
        DataError: If it has another form, or the data set is unknown.
    """
    name, colon, folder = text.partition(":")
    if not colon or not folder:
        raise DataError(
            f"Expected `{flag}` to be NAME:FOLDER such as pbc:data/pbc, but got {text!r}; do see `mtl data list`"
        )
    return Source(find_dataset(name).name, Path(folder))


def find_dataset(name: str) -> DataSet:
    """Return the data set called `name`.

    Raises:
        DataError: If there is none; the message suggests the nearest names.
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    near = difflib.get_close_matches(name.lower().replace("_", "-"), CATALOGUE, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(CATALOGUE)};"
    raise DataError(
        f"Expected `dataset` to be a known name, but got {name!r}; {hint} do run `mtl data list`."
    )


def read_dataset(name: str, root: Path, labels: str | None = None) -> list[Sample]:
    """Return the samples of data set `name` under `root`, sorted by name; see `DataSet.scan`.

    Raises:
        DataError: If the name is unknown, the folder missing, nothing is found, or anything is wrong with the tree.
    """
    return find_dataset(name).read(root, labels)
