"""Pictures of where a stage's network looked on test images, kept in its folder for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mtl.progress import Steps
from mtl.records import LearnedRecord, Record, read_record, write_record
from mtl.run.originals import original
from mtl.runs import Predictions, StageFolder
from segmentation.files import make_folder, write_image
from stages.errors import ModelError
from stages.explain import Explainer, Explanation, side_by_side
from stages.learners.model import load_model

__all__ = ["Gallery", "Shown", "explain_stage", "read_gallery", "sanity_text"]

_FOLDER = "explained"
_RIGHT, _WRONG = 3, 3
_SANITY = 2


class Shown(Record):
    """One test image that was explained.

    Attributes:
        name: Of it.
        label: What it is.
        said: What was said, which is what is explained.
        picture: File in the stage's folder: the image as the network saw it, then each map over it.
    """

    name: str
    label: str
    said: str
    picture: str


class Gallery(Record):
    """`explained/gallery.json`.

    Attributes:
        shown: Surest answers that are right, of different classes, then the surest mistakes.
        methods: Names of the maps, in their order.
        sanity: How alike maps stay when all weights are shuffled, by method: 0 is good; None where maps are flat.
    """

    shown: tuple[Shown, ...]
    methods: tuple[str, ...]
    sanity: dict[str, float | None]


def read_gallery(folder: Path) -> Gallery | None:
    """Return the gallery of a stage's folder, or None where there is none."""
    path = folder / _FOLDER / "gallery.json"
    return read_record(path, Gallery) if path.is_file() else None


def explain_stage(folder: StageFolder, steps: Steps) -> None:
    """Explain some test images of a finished stage; what is there is kept, and what has no network or images is left out.

    Raises:
        WriteError: If a picture cannot be written.
    """
    record = folder.record()
    if not isinstance(record, LearnedRecord) or record.evaluation is None or read_gallery(folder.path):
        return
    try:
        explainer = Explainer(load_model(folder.path))
    except ModelError:  # it has no network
        return
    steps.step(f"explain  {folder.path.name}", 0, 1)
    told = folder.predictions()
    maps: list[Explanation] = []
    shown: list[Shown] = []
    make_folder(folder.path / _FOLDER)
    methods: tuple[str, ...] = ()
    for row in _chosen(told):
        image = original(told.names[row], record.data.sources)
        if image is None:
            continue
        explained = explainer.explain(image, told.predicted[row])
        methods = tuple(explained.maps)
        picture = f"{_FOLDER}/{len(shown)}.png"
        write_image(folder.path / picture, side_by_side(explained))
        shown.append(
            Shown(name=told.names[row], label=told.labels[row], said=told.predicted[row], picture=picture)
        )
        maps.append(explained)
    sanity = explainer.sanity(maps[:_SANITY]) if maps else {}
    known = {name: None if value != value else value for name, value in sanity.items()}
    write_record(
        folder.path / _FOLDER / "gallery.json", Gallery(shown=tuple(shown), methods=methods, sanity=known)
    )
    steps.step(f"explain  {folder.path.name}", 1, 1, sanity_text(known))


def sanity_text(sanity: Mapping[str, float | None]) -> str:
    """Return for a person how alike maps stay when weights are shuffled."""
    said = [
        f"{name} {'not defined' if value is None or value != value else f'{value:.2f}'}"
        for name, value in sanity.items()
    ]
    return f"alike under shuffled weights (0 is good, 1 says nothing): {', '.join(said)}" if said else ""


def _chosen(told: Predictions) -> Sequence[int]:
    sure = told.probabilities.max(axis=1)
    order = [int(row) for row in (-sure).argsort(kind="stable")]
    right: dict[str, int] = {}
    for row in order:
        if told.predicted[row] == told.labels[row]:
            right.setdefault(told.labels[row], row)
    wrong = [row for row in order if told.predicted[row] != told.labels[row]]
    return [*list(right.values())[:_RIGHT], *wrong[:_WRONG]]
