"""Taleqani Hospital fields of benign cells and three stages of B-cell ALL (Aria et al. 2021, Kaggle)."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from stages.data.dataset import DataSet, samples_of
from stages.data.problems import Scan
from stages.data.sample import Sample
from stages.data.tree import find_folder, read_class_folders, relative_name

__all__ = ["TALEQANI", "read"]

Version = Literal["Original", "Segmented"]
_CLASSES = ("Benign", "Early", "Pre", "Pro")


def read(root: Path, version: Version = "Original") -> list[Sample]:
    """Return the fields, sorted by name: `version` chooses the original or the authors' segmented images.

    Raises:
        DataError: If the tree is not as expected.
    """
    return samples_of(scan(root, version), "taleqani", root)


def scan(root: Path, version: Version = "Original") -> Scan:
    """Return fields and problems; `root` may be the folder above `Original` or the one with the classes."""
    result = Scan()
    folder = find_folder(root, version, marks=_CLASSES)
    for label, order, path in read_class_folders(folder, _CLASSES, result):
        name = relative_name(path, folder)
        result.samples.append(Sample(path=path, name=name, label=label, dataset="taleqani", order=order))
    return result


TALEQANI = DataSet(
    name="taleqani",
    title="Taleqani Hospital ALL fields",
    kind="multi-cell",
    classes=_CLASSES,
    source="https://www.kaggle.com/datasets/mehradaria/leukemia",
    licence="see the Kaggle page; the authors ask that it is not redistributed",
    citation="Aria, Ghaderzadeh, Bashash, Abolghasemi, Asadi, Hosseini: Acute lymphoblastic leukemia (ALL) image dataset. "
    "Kaggle 2021. doi:10.34740/KAGGLE/DSV/2175623",
    label_rule="the class folder",
    group_rule="none: 89 patients, but no ids in the files; near-duplicates only",
    split_unit="image (no patient ids)",
    obtain="Download it with an account at https://www.kaggle.com/datasets/mehradaria/leukemia and give the folder that "
    "holds `Original`.",
    layout="DIR/Original/{Benign,Early,Pre,Pro}/*.jpg, 224x224",
    reader=partial(scan, version="Original"),
    expected=MappingProxyType({"Benign": 504, "Early": 985, "Pre": 963, "Pro": 804}),
)
