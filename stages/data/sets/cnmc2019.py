"""C-NMC 2019: stained lymphoblasts and normal precursors of 118 subjects (Gupta & Gupta 2019, TCIA).

Layout, from Kaggle or TCIA: `fold_k/{all,hem}/UID_<subject>_<image>_<cell>_{all,hem}.bmp` somewhere below the root,
and the preliminary test phase as a folder of `<n>.bmp` beside `C-NMC_test_prelim_phase_data_labels.csv`
(`Patient_ID,new_names,labels`; `Patient_ID` holds the original file name, label 1 is ALL). The final test phase has
no labels and is passed over.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import MappingProxyType

from stages.data.dataset import DataSet
from stages.data.problems import BadFileError, Problem, Scan, show
from stages.data.sample import Sample
from stages.data.table import read_table
from stages.data.tree import images_in, relative_name, require_folder, subfolders

__all__ = ["CNMC2019", "parse_name"]

_CLASSES = ("hem", "all")
_NAME = re.compile(r"UID_(H?)([0-9]{1,9})_[0-9]+_[0-9]+_(all|hem)", re.IGNORECASE)
_TEST_CSV = ("*prelim*labels*.csv", "phase2.csv")


def parse_name(stem: str) -> tuple[str, str] | None:
    """Return (subject, class) of a stem such as `UID_H12_3_1_hem`, or None if it is not of that form.

    A subject is written as in the file, `H` for healthy included, without leading zeros.
    """
    match = _NAME.fullmatch(stem)
    if match is None:
        return None
    subject = f"{match[1].upper()}{int(match[2])}"
    return subject, match[3].lower()


def scan(root: Path) -> Scan:
    """Return cells and problems; `part` is `fold_0` to `fold_2` or `test`."""
    result = Scan()
    require_folder(root)
    folds = _folds(root, result)
    tables = sorted({table for pattern in _TEST_CSV for table in root.rglob(pattern)})
    if not folds and not tables:
        raise BadFileError(
            Problem(
                show(root),
                "a folder with `fold_0`, `fold_1`, `fold_2` in it",
                "one without",
                "give the folder that the archives unpack to",
            )
        )
    for fold in folds:
        _add_fold(fold, root, result)
    for table in tables:
        _add_test(table, root, result)
    return result


def _folds(root: Path, result: Scan, depth: int = 3) -> list[Path]:
    """Return the `fold_k` folders at most `depth` levels below `root` (Kaggle and TCIA nest them differently)."""
    found = []
    for folder in subfolders(root, result):
        if re.fullmatch(r"fold_[0-9]+", folder.name, re.IGNORECASE):
            found.append(folder)
        elif depth and not folder.is_symlink():
            found += _folds(folder, result, depth - 1)
    return found


def _add_fold(fold: Path, root: Path, result: Scan) -> None:
    for label in _CLASSES:
        folder = fold / label
        images = images_in(folder, result) if folder.is_dir() else []
        if not images:
            result.problem(
                folder,
                "a class folder with images",
                "an empty or missing folder",
                "unpack that archive again",
            )
        for order, path in enumerate(images):
            parsed = parse_name(path.stem)
            if parsed is None:
                expected = "named `UID_<subject>_<image>_<cell>_{all,hem}`"
                result.problem(path, expected, "a name without a subject", "rename it or move it away")
                continue
            subject, named = parsed
            if named != label:
                result.problem(path, f"in a folder `{named}`", f"`{label}`", "move it where its name says")
            name = relative_name(path, root)
            result.samples.append(
                Sample(
                    path=path,
                    name=name,
                    label=label,
                    dataset="cnmc2019",
                    group=subject,
                    order=order,
                    part=fold.name.lower(),
                )
            )


def _add_test(table: Path, root: Path, result: Scan) -> None:
    rows = read_table(table, ["patient_id", "new_names", "labels"])
    folder = _test_folder(table, [row["new_names"] for _, row in rows])
    for order, (line, row) in enumerate(rows):
        path = folder / row["new_names"]
        if row["labels"] not in ("0", "1"):
            result.problem(
                table, "labelled 0 or 1", f"`{show(row['labels'])}` in line {line}", "correct that cell"
            )
        elif not path.is_file():
            result.problem(
                path, f"there, as line {line} of `{table.name}` says", "nothing", "unpack that archive again"
            )
        else:
            parsed = parse_name(Path(row["patient_id"]).stem)
            result.samples.append(
                Sample(
                    path=path,
                    name=relative_name(path, root),
                    label=_CLASSES[int(row["labels"])],
                    dataset="cnmc2019",
                    group=parsed[0] if parsed else row["patient_id"] or None,
                    order=order,
                    part="test",
                )
            )


def _test_folder(table: Path, names: list[str]) -> Path:
    """Return the folder of the test images: beside the CSV, or in a folder beside it."""
    here = table.parent
    first = names[0] if names else ""
    siblings = [here, *(folder for folder in sorted(here.iterdir()) if folder.is_dir())]
    return next((folder for folder in siblings if (folder / first).is_file()), here)


CNMC2019 = DataSet(
    name="cnmc2019",
    title="C-NMC 2019, ALL challenge of ISBI 2019",
    kind="single-cell",
    classes=_CLASSES,
    source="https://www.cancerimagingarchive.net/collection/c-nmc-2019/",
    licence="TCIA data usage policy, see the page",
    citation="Gupta, Gupta: ALL challenge dataset of ISBI 2019. The Cancer Imaging Archive 2019. "
    "doi:10.7937/tcia.2019.dc64i46r",
    label_rule="the folder `all` (lymphoblast) or `hem` (normal); the CSV for the preliminary test phase",
    group_rule="the subject in the file name (H... = healthy); its patient id in the CSV for the test phase",
    split_unit="patient",
    obtain="Download it at https://www.cancerimagingarchive.net/collection/c-nmc-2019/ (or Kaggle "
    "`andrewmvd/leukemia-classification`) and give the folder that the archives unpack to.",
    layout="DIR/**/fold_{0,1,2}/{all,hem}/UID_<subject>_<image>_<cell>_{all,hem}.bmp, "
    "DIR/**/C-NMC_test_prelim_phase_data_labels.csv beside its images",
    reader=scan,
    expected=MappingProxyType({"hem": 1130 + 1163 + 1096 + 648, "all": 2397 + 2418 + 2457 + 1219}),
)
