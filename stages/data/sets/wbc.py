"""Zheng et al. 2018: single white cells with masks, `Dataset 1` (Jiangxi Tecom) and `Dataset 2` (CellaVision)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

from stages.data.dataset import DataSet
from stages.data.problems import BadFileError, Problem, Scan, show
from stages.data.sample import Sample
from stages.data.table import read_table
from stages.data.tree import images_in, number_in, require_folder

__all__ = ["WBC_1", "WBC_2"]

_CLASSES = ("neutrophil", "lymphocyte", "monocyte", "eosinophil", "basophil")


def scan(root: Path, which: int) -> Scan:
    """Return cells and problems of `Dataset <which>`; `root` is that folder or the one above.

    The CSV lies beside the folder (as published) or in it. Its second column is called `class label` in one and
    `class` in the other.
    """
    result = Scan()
    require_folder(root)
    folder = root / f"Dataset {which}"
    folder = folder if folder.is_dir() else root
    labels = _labels(folder, which, result)
    images = images_in(folder, result, frozenset({".bmp"}))
    for path in images:
        number = number_in(path.stem)
        label = labels.get(number) if number is not None else None
        if number is None or label is None:
            result.problem(path, "labelled in the CSV", "no row", "add its row or move it away")
            continue
        mask = path.with_suffix(".png")
        result.samples.append(
            Sample(
                path=path,
                name=path.name,
                label=label,
                dataset=f"wbc-{which}",
                order=number,
                mask=mask if mask.is_file() else None,
            )
        )
    absent = len(labels.keys() - {number_in(path.stem) for path in images})
    if images and absent:
        result.note(
            folder, f"complete ({len(labels)} rows in the CSV)", f"{absent} images fewer", "download it again"
        )
    return result


def _labels(folder: Path, which: int, result: Scan) -> dict[int, str]:
    """Return image number -> class name."""
    csv = f"Class Labels of Dataset {which}.csv"
    table = next((path / csv for path in (folder.parent, folder) if (path / csv).is_file()), None)
    if table is None:
        expected, got = f"a folder with `{csv}` beside the images or above", "neither"
        raise BadFileError(Problem(show(folder), expected, got, "give the folder that holds both"))
    column = "class label" if which == 1 else "class"
    labels: dict[int, str] = {}
    for line, row in read_table(table, ["image id", column]):
        image, code = row["image id"], row[column]
        if not (image.isascii() and image.isdigit()) or code not in {"1", "2", "3", "4", "5"}:
            got = f"`{show(image)},{show(code)}` in line {line}"
            result.problem(table, "filled with numbers, classes 1 to 5", got, "correct that line")
        elif int(image) in labels:
            result.problem(
                table, "one row an image", f"image {int(image)} again in line {line}", "remove one row"
            )
        else:
            labels[int(image)] = _CLASSES[int(code) - 1]
    return labels


WBC_1 = DataSet(
    name="wbc-1",
    title="Zheng 2018 white blood cells, Dataset 1 (Jiangxi Tecom)",
    kind="single-cell",
    classes=_CLASSES,
    source="https://github.com/zxaoyou/segmentation_WBC",
    licence="GPL-3.0 (of the repository); cite Zheng 2018",
    citation="Zheng, Wang, Wang, Liu: Fast and robust segmentation of white blood cell images by self-supervised learning. "
    "Micron 107 (2018) 55-71. doi:10.1016/j.micron.2018.01.010",
    label_rule="the CSV (1 neutrophil, 2 lymphocyte, 3 monocyte, 4 eosinophil, 5 basophil; not verified by experts)",
    group_rule="none: nothing tells which cells share a slide",
    split_unit="image (no patient ids)",
    obtain="`git clone https://github.com/zxaoyou/segmentation_WBC` and give that folder (GitHub publishes no checksum of "
    "its archives, so `mtl` does not fetch it).",
    layout="DIR/Dataset 1/NNN.bmp and NNN.png (mask), DIR/Class Labels of Dataset 1.csv",
    reader=partial(scan, which=1),
    expected=MappingProxyType(dict(zip(_CLASSES, (176, 53, 48, 22, 1), strict=True))),
)

WBC_2 = replace(
    WBC_1,
    name="wbc-2",
    title="Zheng 2018 white blood cells, Dataset 2 (CellaVision)",
    layout="DIR/Dataset 2/NNN.bmp and NNN.png (mask), DIR/Class Labels of Dataset 2.csv",
    reader=partial(scan, which=2),
    expected=MappingProxyType(dict(zip(_CLASSES, (33, 37, 15, 12, 3), strict=True))),
)
