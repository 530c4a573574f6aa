"""What `mtl segment score` does: masks paired by name, compared, and their means told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtl.errors import ConfigError
from mtl.progress import Reporter
from mtl.segment.inputs import images_below, is_grey
from mtl.segment.settings import ScoreMasks
from segmentation.cells import CellSettings, find_cells
from segmentation.errors import MaskError
from segmentation.masks import CYTOPLASM, NUCLEUS, Labels, cell_of, nucleus_of, read_mask
from segmentation.scores import score_instances, score_mask

__all__ = [
    "AS_DRAWN",
    "INSTANCE_KEYS",
    "MASK_KEYS",
    "Scored",
    "masks_below",
    "mean_scores",
    "read_labels",
    "score_files",
    "score_pair",
]

MASK_KEYS = ("dice", "iou", "success", "boundary_f1", "hd95")
INSTANCE_KEYS = ("precision", "recall", "f1", "pq", "aji")
AS_DRAWN = CellSettings(min_area=20, min_share=0.0, min_nucleus=0.0)
"""Masks are taken as they are: nothing but specks is left out, and touching cells are split alike on both sides."""

Scores = dict[str, dict[str, float]]
"""`nucleus`, `cell` and `instances`, each a score by its name; a part that the truth does not tell is absent."""


@dataclass(frozen=True)
class Scored:
    """Scores of masks.

    Attributes:
        images: Scores by the name that truth and prediction share.
        mean: Means over the images.
        counts: True, predicted and matched cells in all images, and precision and recall over all of them together.
        only_truth: Names without a prediction.
        only_predicted: Names without a truth.
        note: What the truth does not tell.
    """

    images: Mapping[str, Scores]
    mean: Scores
    counts: Mapping[str, float]
    only_truth: tuple[str, ...]
    only_predicted: tuple[str, ...]
    note: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json` can write."""
        return asdict(self)

    def to_text(self) -> str:
        """Return tables for a person."""
        lines = [f"{len(self.images)} pairs; means over images"]
        head = ("Dice", "IoU", "IoU > 0.8", "border F1", "HD95 px")
        lines.append(f"{'':<10}" + "".join(f"{name:>11}" for name in head))
        for part in ("nucleus", "cell"):
            if part in self.mean:
                values = [self.mean[part][key] for key in MASK_KEYS]
                lines.append(
                    f"{part:<10}"
                    + "".join(f"{value:>11.4f}" for value in values[:-1])
                    + f"{values[-1]:>11.2f}"
                )
        one = self.mean["instances"]
        lines.append(
            f"Cells one by one (IoU > 0.5): {self.counts['true']:g} true, {self.counts['predicted']:g} predicted, "
            f"{self.counts['matched']:g} matched; precision {self.counts['precision']:.4f}, recall {self.counts['recall']:.4f}; "
            f"mean PQ {one['pq']:.4f}, mean AJI {one['aji']:.4f}"
        )
        for names, what in (
            (self.only_truth, "without a prediction"),
            (self.only_predicted, "without a truth"),
        ):
            if names:
                lines.append(f"{len(names)} {what}, such as {names[0]}")
        return "\n".join([*lines, *([self.note] if self.note else [])])


def score_files(truth: Path, predicted: Path, settings: ScoreMasks) -> Scored:
    """Compare masks with the truth.

    Args:
        truth: A mask, or a folder of masks; a colour image beside a mask of its name is passed over.
        predicted: The same; files of the same name, whatever their suffixes, are pairs.
        settings: How masks are read.

    Raises:
        ConfigError: If nothing is there or nothing matches.
        MaskError: If a mask has unexpected values or another size than its truth.
    """
    true_files, found_files = masks_below(truth, "TRUTH"), masks_below(predicted, "PRED")
    if truth.is_file() and predicted.is_file():
        true_files = {predicted.stem: truth}
    shared = [name for name in true_files if name in found_files]
    if not shared:
        examples = ", ".join([*true_files][:2]), ", ".join([*found_files][:2])
        raise ConfigError(
            f"Expected masks of the same names, but {truth} holds {examples[0]}... and {predicted} holds {examples[1]}...; do name them alike"
        )
    foreground = NUCLEUS if settings.binary == "nucleus" else CYTOPLASM
    pairs: dict[str, tuple[Labels, Labels]] = {}
    for name in shared:
        true = read_labels(true_files[name], settings.snap, foreground, None)
        pairs[name] = (
            true,
            read_labels(found_files[name], settings.snap, foreground, (true.shape[0], true.shape[1])),
        )
    parts, note = _told([true for true, _ in pairs.values()])
    images: dict[str, Scores] = {}
    totals: dict[str, float] = defaultdict(float)
    with Reporter() as reporter:
        for number, (name, (true, found)) in enumerate(pairs.items()):
            images[name] = score_pair(found, true, parts)
            for key in ("true", "predicted", "matched"):
                totals[key] += images[name]["instances"][key]
            reporter.step("score", number + 1, len(pairs), name)
    totals["precision"] = (
        totals["matched"] / totals["predicted"] if totals["predicted"] else float(totals["true"] == 0)
    )
    totals["recall"] = (
        totals["matched"] / totals["true"] if totals["true"] else float(totals["predicted"] == 0)
    )
    left = tuple(name for name in true_files if name not in found_files)
    new = tuple(name for name in found_files if name not in true_files)
    return Scored(images, mean_scores([*images.values()]), dict(totals), left, new, note)


def score_pair(found: Labels, true: Labels, parts: Sequence[str] = ("nucleus", "cell")) -> Scores:
    """Return the scores of one image.

    Args:
        found: Predicted labels, (H, W) uint8.
        true: Labels of the truth, (H, W) uint8.
        parts: What the truth tells: `nucleus`, `cell` or both.
    """
    masks = {"nucleus": nucleus_of, "cell": cell_of}
    scores: Scores = {part: asdict(score_mask(masks[part](found), masks[part](true))) for part in parts}
    if "cell" not in parts:  # where cytoplasm is not drawn, nuclei are what can be counted
        found, true = np.where(nucleus_of(found), found, 0), np.where(nucleus_of(true), true, 0)
    first, second = (find_cells(labels, settings=AS_DRAWN).instances for labels in (found, true))
    scores["instances"] = {key: float(value) for key, value in asdict(score_instances(first, second)).items()}
    return scores


def mean_scores(each: Sequence[Scores]) -> Scores:
    """Return the means over images."""
    return {
        part: {key: float(np.mean([scores[part][key] for scores in each])) for key in (INSTANCE_KEYS if part == "instances" else MASK_KEYS)}
        for part in each[0]
    }  # fmt: skip


def _told(truths: Sequence[Labels]) -> tuple[tuple[str, ...], str]:
    if any((true == CYTOPLASM).any() for true in truths) and any((true == NUCLEUS).any() for true in truths):
        return ("nucleus", "cell"), ""
    if any((true == NUCLEUS).any() for true in truths):
        note = (
            "The truth draws no cytoplasm: 255 was taken for nuclei (--binary cell takes it for whole cells)."
        )
        return ("nucleus",), note
    if any((true == CYTOPLASM).any() for true in truths):
        return ("cell",), "The truth draws no nuclei: whole cells alone were compared."
    return ("nucleus", "cell"), "The truth is empty in all images."


def masks_below(path: Path, what: str) -> dict[str, Path]:
    """Return masks by their names without suffix, relative to the folder; a colour image beside its mask is passed over.

    Args:
        path: A mask, or a folder of masks.
        what: Name of the argument, for errors.

    Raises:
        ConfigError: If there are none, or several of one name.
    """
    if path.is_file():
        return {path.stem: path}
    if not path.is_dir():
        raise ConfigError(
            f"Expected `{what}` to be a mask or a folder of masks, but got {path}; do check the path"
        )
    groups: dict[str, list[Path]] = defaultdict(list)
    for one in images_below(path):
        groups[one.relative_to(path).with_suffix("").as_posix()].append(one)
    if not groups:
        raise ConfigError(
            f"Expected {path} to hold masks (PNG, BMP or TIFF), but got none; do give another folder"
        )
    found: dict[str, Path] = {}
    for name, files in groups.items():
        grey = [one for one in files if is_grey(one)] if len(files) > 1 else files
        if len(grey) != 1:
            raise ConfigError(
                f"Expected one mask called {name} in {path}, but got {', '.join(one.name for one in files)}; do remove the others"
            )
        found[name] = grey[0]
    return found


def read_labels(path: Path, snap: bool, foreground: int, shape: tuple[int, int] | None) -> Labels:
    """Return the labels of a mask, (H, W) uint8; see `segmentation.masks.read_mask`.

    Raises:
        MaskError: If its values or size are not as expected.
    """
    try:
        return read_mask(path, snap=snap, foreground=foreground, shape=shape)
    except MaskError as error:
        text = str(error).replace("name its encoding, or say that values are to be rounded to the nearest (snap=True)", "do add --snap to round values to the nearest level")  # fmt: skip
        raise MaskError(text) from None
