"""BloodMNIST: the Barcelona cells in one `.npz`, with official parts (Yang et al. 2023)."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

from stages.data.dataset import DataSet, Download
from stages.data.npz import PARTS, read_labels
from stages.data.problems import BadFileError, Problem, Scan, show
from stages.data.sample import Sample
from stages.data.tree import require_folder

__all__ = ["BLOODMNIST"]

_CLASSES = (
    "basophil",
    "eosinophil",
    "erythroblast",
    "immature granulocyte",
    "lymphocyte",
    "monocyte",
    "neutrophil",
    "platelet",
)
_RECORD = "https://zenodo.org/records/10519652"
_MD5 = {
    "28": "7053d0359d879ad8a5505303e11de1dc",
    "64": "2b94928a2ae4916078ca51e05b6b800b",
    "128": "adace1e0ed228fccda1f39692059dd4c",
    "224": "b718ff6835fcbdb22ba9eacccd7b2601",
}


def scan(root: Path) -> Scan:
    """Return frames and problems; `root` is the `.npz` or a folder with just one `bloodmnist*.npz`."""
    path = _find(root)
    result = Scan()
    frame = 0
    orders = dict.fromkeys(_CLASSES, 0)
    for part, labels in zip(PARTS.values(), read_labels(path, len(_CLASSES)), strict=True):
        for code in labels:
            label = _CLASSES[code]
            # Zero-padded, so that names sort as frames do and reading in order walks through the file once.
            name = f"{path.name}#{frame:05d}"
            order = orders[label]
            sample = Sample(
                path=path, name=name, label=label, dataset="bloodmnist", order=order, frame=frame, part=part
            )
            result.samples.append(sample)
            orders[label] += 1
            frame += 1
    return result


def _find(root: Path) -> Path:
    if root.suffix.lower() == ".npz" and root.is_file():
        return root
    found = sorted(require_folder(root).glob("bloodmnist*.npz"))
    if len(found) == 1:
        return found[0]
    got = f"a folder with {len(found) or 'none'}"
    raise BadFileError(
        Problem(show(root), "a `bloodmnist*.npz` or a folder with just one", got, "name the file itself")
    )


def _download(size: str, md5: str) -> Download:
    file = "bloodmnist.npz" if size == "28" else f"bloodmnist_{size}.npz"
    return Download(
        variant=size,
        url=f"{_RECORD}/files/{file}?download=1",
        checksum=f"md5:{md5}",
        file=file,
        checksum_source="`INFO` of the official medmnist package, version 3",
    )


BLOODMNIST = DataSet(
    name="bloodmnist",
    title="BloodMNIST (MedMNIST v2 and +), normal peripheral blood cells",
    kind="single-cell",
    classes=_CLASSES,
    source="https://medmnist.com/",
    licence="CC BY 4.0",
    citation="Yang, Shi, Wei, Liu, Zhao, Ke, Pfister, Ni: MedMNIST v2. Scientific Data 10 (2023) 41. "
    "doi:10.1038/s41597-022-01721-8; images: Acevedo et al. 2020",
    label_rule="the label array",
    group_rule="none: no patient ids; the source's own train, val and test parts",
    split_unit="image (no patient ids)",
    obtain=f"`mtl data get bloodmnist`, or download a `bloodmnist*.npz` at {_RECORD}.",
    layout="DIR/bloodmnist.npz (28 px) or bloodmnist_{64,128,224}.npz",
    reader=scan,
    expected=MappingProxyType(
        dict(zip(_CLASSES, (1218, 3117, 1551, 2895, 1214, 1420, 3329, 2348), strict=True))
    ),
    downloads=tuple(_download(size, md5) for size, md5 in _MD5.items()),
)
