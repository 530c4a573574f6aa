"""Any tree with one folder a class, with or without `train`, `val`, `test` above (as torchvision's ImageFolder)."""

from __future__ import annotations

from pathlib import Path

from stages.data.dataset import DataSet
from stages.data.problems import BadFileError, Problem, Scan, show
from stages.data.sample import Sample
from stages.data.tree import images_in, read_class_folders, relative_name, require_folder, subfolders

__all__ = ["FOLDER"]

_PARTS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


def scan(root: Path) -> Scan:
    """Return images and problems; images at any depth below a class folder belong to that class."""
    result = Scan()
    tops = subfolders(require_folder(root), result)
    if not tops and not result.problems:
        raise BadFileError(
            Problem(show(root), "a folder with one folder a class", "one without", "check the path")
        )
    parted = tops and all(top.name.lower() in _PARTS for top in tops)
    for top in tops if parted else [root]:
        _add(top, root, _PARTS[top.name.lower()] if parted else None, result)
    for path in images_in(root, Scan()):
        result.note(path, "in a class folder", "an image beside them, passed over", "move it into its class")
    return result


def _add(folder: Path, root: Path, part: str | None, result: Scan) -> None:
    classes = [child.name for child in subfolders(folder, Scan() if folder == root else result)]
    if not classes:
        result.problem(folder, "a folder with one folder a class", "none", "fill it or remove it")
    for label, order, path in read_class_folders(folder, classes, result, deep=True):
        name = relative_name(path, root)
        result.samples.append(
            Sample(path=path, name=name, label=label, dataset="folder", order=order, part=part)
        )


FOLDER = DataSet(
    name="folder",
    title="Your own images, one folder a class",
    kind="single-cell",
    classes=(),
    source="-",
    licence="yours",
    citation="yours",
    label_rule="the class folder",
    group_rule="none; use `manifest` where patients are known",
    split_unit="image (no patient ids)",
    obtain="Put images into DIR/<class>/ or DIR/{train,val,test}/<class>/.",
    layout="DIR/<class>/**/*.{jpg,png,tif,bmp} or DIR/{train,val,test}/<class>/**",
    reader=scan,
)
