"""ALL-IDB1: blood-smear fields of healthy people and patients with ALL (Donida Labati et al. 2011).

Layout: `im/ImNNN_L.jpg` (L = 1: leukaemia), `xyc/ImNNN_L.xyc` (centroids of blasts), and, of our own making,
`fab.csv` with the columns `image,fab[,slide]` and `masks/ImNNN_L.png`.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from stages.data.dataset import DataSet, samples_of
from stages.data.problems import BadFileError, Problem, Scan, show
from stages.data.sample import Sample
from stages.data.table import read_table
from stages.data.tree import find_folder, images_in, relative_name

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["ALL_IDB1", "FAB_CLASSES", "read", "read_centroids"]

Labels = Literal["detection", "fab"]
FAB_CLASSES = ("normal", "L1", "L2", "L3")
_DETECTION = ("normal", "leukaemia")
_NAME = re.compile(r"im([0-9]{1,6})_([01])", re.IGNORECASE)
_HOW = (
    "write a CSV `image,fab` (and `slide` where known) with a line such as `Im001_1.jpg,L2` for every field"
)
_MISSING = (
    "write it (`image,fab`, such as `Im001_1.jpg,L2`), or ask for normal and leukaemia alone: "
    "`--set multi_cell.data.labels=detection` (of a test `tests.0.labels`)"
)


def parse_name(stem: str) -> tuple[int, int] | None:
    """Return (number, class) of a stem such as `Im001_1`, or None if it is not of that form."""
    match = _NAME.fullmatch(stem)
    return (int(match[1]), int(match[2])) if match else None


def read(root: Path, labels: Labels) -> list[Sample]:
    """Return the fields, sorted by name.

    Args:
        root: The folder that holds `im`.
        labels: `"fab"` for normal, L1, L2, L3 from `fab.csv`; `"detection"` for normal and leukaemia from the file
            names. Slides are read from `fab.csv` in both cases, where it lies there.

    Raises:
        DataError: If the tree is not as expected, or FAB labels are asked for and `fab.csv` is missing or incomplete.
    """
    return samples_of(scan(root, labels), "all-idb1", root)


def scan(root: Path, labels: Labels) -> Scan:
    """Return fields and problems; see `read`."""
    result = Scan()
    root = find_folder(root, ".", "ALL_IDB1", "ALL-IDB1", marks=["im"])
    table = root / "fab.csv"
    if labels == "fab" and not table.is_file():
        raise BadFileError(
            Problem(show(table), "a CSV file with the FAB class of every field", "nothing", _MISSING)
        )
    fab = _read_fab(table, result) if table.is_file() else {}
    result.expected = {"normal": 59} if labels == "fab" else None
    for path in images_in(root / "im", result):
        _add(path, root, labels, fab, result)
    if fab:
        names = {sample.path.name.casefold() for sample in result.samples}
        for image in fab:
            if image not in names:
                result.note(
                    table,
                    "about fields that exist",
                    f"the row `{show(image)}` without a field",
                    "remove the row",
                )
    return result


def _add(path: Path, root: Path, labels: Labels, fab: dict[str, tuple[str, str]], result: Scan) -> None:
    parsed = parse_name(path.stem)
    if parsed is None:
        result.problem(
            path, "named `ImNNN_0` or `ImNNN_1`", "a name without a label", "rename it or move it away"
        )
        return
    number, ill = parsed
    kind, slide = fab.get(path.name.casefold(), ("", ""))
    if not kind and labels == "fab":
        result.problem(path, "listed in `fab.csv`", "no row", _HOW)
        return
    if kind and (kind != "normal") != bool(ill):
        says = f"`{kind}` in `fab.csv` and `_{ill}` in the file name"
        result.problem(path, "labelled alike in `fab.csv` and its name", says, "correct the row")
    mask = root / "masks" / f"{path.stem}.png"
    result.samples.append(
        Sample(
            path=path,
            name=relative_name(path, root),
            label=kind if labels == "fab" else _DETECTION[ill],
            dataset="all-idb1",
            group=f"ALL-IDB1/{slide or path.stem}",
            order=number,
            mask=mask if mask.is_file() else None,
        )
    )


def _read_fab(table: Path, result: Scan) -> dict[str, tuple[str, str]]:
    """Return file name -> (FAB class, slide); keys in lower case."""
    classes = {name.casefold(): name for name in FAB_CLASSES}
    rows: dict[str, tuple[str, str]] = {}
    for line, row in read_table(table, ["image", "fab"], ["slide"]):
        image, label = row["image"].casefold(), classes.get(row["fab"].casefold())
        if label is None:
            got = f"`{show(row['fab'])}` in line {line}"
            result.problem(table, f"filled with {', '.join(FAB_CLASSES)}", got, "correct that cell")
        elif image in rows:
            result.problem(
                table, "one row a field", f"`{show(row['image'])}` again in line {line}", "remove one row"
            )
        else:
            rows[image] = (label, row["slide"])
    return rows


def read_centroids(path: Path) -> npt.NDArray[np.int_]:
    """Return the centroids of blasts in an `.xyc` file.

    Args:
        path: One `x y` in px a line; empty for a healthy field.

    Returns:
        Centroids (n, 2) int, columns x and y.

    Raises:
        DataError: If the file cannot be read or a line is not two numbers.
    """
    import numpy as np

    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        got = getattr(error, "strerror", None) or "bytes that are no text"
        raise BadFileError(Problem(show(path), "a readable text file", got, "copy it again")) from error
    points: list[tuple[int, int]] = []
    for number, line in enumerate(lines, 1):
        cells = line.replace(",", " ").split()
        if not cells:
            continue
        if len(cells) != 2 or not all(re.fullmatch(r"[0-9]{1,9}(\.[0-9]*)?", cell) for cell in cells):
            expected = "a list of centroids, one `x y` a line"
            raise BadFileError(
                Problem(show(path), expected, f"`{show(line)[:40]}` in line {number}", "correct that line")
            )
        points.append((round(float(cells[0])), round(float(cells[1]))))
    return np.array(points, dtype=np.int_).reshape(-1, 2)


ALL_IDB1 = DataSet(
    name="all-idb1",
    title="ALL-IDB1, fields of peripheral blood",
    kind="multi-cell",
    classes=(*_DETECTION, *FAB_CLASSES[1:]),
    source="https://homes.di.unimi.it/scotti/all",
    licence="research use, on request from Università degli Studi di Milano; no redistribution",
    citation="Donida Labati, Piuri, Scotti: ALL-IDB: the acute lymphoblastic leukemia image database for image "
    "processing. IEEE ICIP 2011, 2045-2048. doi:10.1109/ICIP.2011.6115881",
    label_rule="`labels: detection`: the digit behind `_` in the file name (1 = leukaemia); `labels: fab`: normal, L1, L2, L3 of "
    "`fab.csv`",
    group_rule="the slide where `fab.csv` gives it, else the field itself",
    split_unit="source field",
    obtain="Ask for it at https://homes.di.unimi.it/scotti/all (form, by e-mail); unpack it so that `im/` and `xyc/` lie in DIR. "
    f"For FAB classes, {_HOW}, and save it as DIR/fab.csv.",
    layout="DIR/im/ImNNN_{0,1}.jpg, DIR/xyc/ImNNN_{0,1}.xyc, optional DIR/fab.csv, DIR/masks/ImNNN_{0,1}.png",
    reader=scan,
    labels=("detection", "fab"),
    expected=MappingProxyType({"normal": 59, "leukaemia": 49}),
)
