"""ALL-IDB2: single cells cut from ALL-IDB1 (Donida Labati et al. 2011). Layout: `img/ImNNN_L.tif`, L = 1: lymphoblast."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

from stages.data.dataset import DataSet
from stages.data.problems import Scan
from stages.data.sample import Sample
from stages.data.sets.all_idb1 import ALL_IDB1, parse_name
from stages.data.tree import find_folder, images_in, relative_name

__all__ = ["ALL_IDB2"]

_CLASSES = ("normal", "lymphoblast")


def scan(root: Path) -> Scan:
    """Return crops and problems.

    A crop and the field it was cut from must not be parted; file names do not say which field that is. The audit
    finds it by template matching, so `group` is None here.
    """
    result = Scan()
    root = find_folder(root, ".", "ALL_IDB2", "ALL-IDB2", marks=["img"])
    for path in images_in(root / "img", result):
        parsed = parse_name(path.stem)
        if parsed is None:
            result.problem(
                path, "named `ImNNN_0` or `ImNNN_1`", "a name without a label", "rename it or move it away"
            )
            continue
        number, blast = parsed
        mask = root / "masks" / f"{path.stem}.png"
        result.samples.append(
            Sample(
                path=path,
                name=relative_name(path, root),
                label=_CLASSES[blast],
                dataset="all-idb2",
                order=number,
                mask=mask if mask.is_file() else None,
            )
        )
    return result


ALL_IDB2 = DataSet(
    name="all-idb2",
    title="ALL-IDB2, single cells cut from ALL-IDB1",
    kind="single-cell",
    classes=_CLASSES,
    source=ALL_IDB1.source,
    licence=ALL_IDB1.licence,
    citation=ALL_IDB1.citation,
    label_rule="the digit behind `_` in the file name (1 = lymphoblast)",
    group_rule="none in the files; the ALL-IDB1 field where template matching finds it",
    split_unit="image (tied to ALL-IDB1 fields by template matching)",
    obtain="Ask for it at https://homes.di.unimi.it/scotti/all (form, by e-mail); unpack it so that `img/` lies in DIR.",
    layout="DIR/img/ImNNN_{0,1}.tif, 257x257",
    reader=scan,
    expected=MappingProxyType({"normal": 130, "lymphoblast": 130}),
)
