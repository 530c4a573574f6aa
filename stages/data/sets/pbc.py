"""Barcelona PBC: normal peripheral blood cells, eight classes (Acevedo et al. 2020)."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

from stages.data.dataset import DataSet
from stages.data.problems import Scan
from stages.data.sample import Sample
from stages.data.tree import find_folder, read_class_folders, relative_name

__all__ = ["PBC"]

_CLASSES = (
    "basophil",
    "eosinophil",
    "erythroblast",
    "ig",
    "lymphocyte",
    "monocyte",
    "neutrophil",
    "platelet",
)


def scan(root: Path) -> Scan:
    """Return cells and problems; `root` may be `PBC_dataset_normal_DIB` or the folder above."""
    result = Scan()
    folder = find_folder(root, "PBC_dataset_normal_DIB", marks=_CLASSES)
    for label, order, path in read_class_folders(folder, _CLASSES, result):
        name = relative_name(path, folder)
        result.samples.append(Sample(path=path, name=name, label=label, dataset="pbc", order=order))
    return result


PBC = DataSet(
    name="pbc",
    title="Barcelona PBC, normal peripheral blood cells",
    kind="single-cell",
    classes=_CLASSES,
    source="https://data.mendeley.com/datasets/snkd93bnjr/1",
    licence="CC BY 4.0",
    citation="Acevedo, Merino, Alférez, Molina, Boldú, Rodellar: A dataset of microscopic peripheral blood cell images for "
    "development of automatic recognition systems. Data in Brief 30 (2020) 105474. doi:10.17632/snkd93bnjr.1",
    label_rule="the class folder (ig = immature granulocytes)",
    group_rule="none: no patient ids in the files",
    split_unit="image (no patient ids)",
    obtain="Download PBC_dataset_normal_DIB.zip at https://data.mendeley.com/datasets/snkd93bnjr/1 and unpack it "
    "(no checksum of the archive is known to us, so `mtl` does not fetch it).",
    layout="DIR/PBC_dataset_normal_DIB/<class>/*.jpg, about 360x363",
    reader=scan,
    expected=MappingProxyType(
        {
            "basophil": 1218,
            "eosinophil": 3117,
            "erythroblast": 1551,
            "ig": 2895,
            "lymphocyte": 1214,
            "monocyte": 1420,
            "neutrophil": 3329,
            "platelet": 2348,
        }
    ),
)
