"""What `mtl predict` does: every image once, its outputs whole, a second call going on where the first stopped."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtl.errors import RunError
from mtl.predict.deciding import answer_patient, answers_patients
from mtl.predict.drawing import overlay
from mtl.predict.explained import Explained
from mtl.predict.export import Coco, geojson
from mtl.predict.groups import group_images
from mtl.predict.patients import Bagged, Patients
from mtl.predict.predictor import Looked, Predictor
from mtl.predict.records import FieldSaid, PatientSaid
from mtl.predict.settings import PredictSmears
from mtl.predict.tables import (
    CELL_COLUMNS,
    FIELD_COLUMNS,
    PATIENT_COLUMNS,
    Told,
    cell_rows,
    field_row,
    patient_row,
)
from mtl.progress import Reporter
from mtl.records import read_record, write_record
from mtl.run.gallery import sanity_text
from mtl.runs import hold, stage_key
from mtl.segment.inputs import Job, content_of, find_images, pixels_of
from mtl.segment.places import advised
from mtl.segment.stream import Large, in_order
from segmentation.errors import ReadError
from segmentation.files import finite, make_folder, write_image, write_json, write_table, write_text
from stages.data.images import decode_rgb
from stages.learners.bags.model import BagModel

__all__ = ["Predicted", "predict_images"]

_VERSION = 2  # raise it when outputs change, so that none is kept from before
_SHOWN = 12
_EXPLAINED = 3  # images that say whether explanations mean anything


@dataclass(frozen=True)
class Predicted:
    """What was done.

    Attributes:
        folder: Where everything lies.
        run: That answered.
        stages: Of it that answered, by what they answer.
        blast: Class that was counted as blasts, if there is one.
        images: That are done, those of earlier calls included.
        cells: White cells in them.
        skipped: Images that were done already.
        empty: Images without a white cell.
        unlike: Images that are unlike the training data.
        failed: Message by image that could not be read.
        sanity: How alike explanations stay when all weights are shuffled, by what is explained and by method; 0 is good.
        patients: By group.
    """

    folder: Path
    run: Path
    stages: Mapping[str, str]
    blast: str | None
    images: int
    cells: int
    skipped: int
    empty: int
    unlike: int
    failed: Mapping[str, str]
    sanity: Mapping[str, Mapping[str, float]]
    patients: Sequence[PatientSaid]

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json` can write."""
        told = vars(self) | {"folder": str(self.folder), "run": str(self.run)}
        return told | {"patients": [one.model_dump(mode="json") for one in self.patients]}

    def to_text(self) -> str:
        """Return a few lines for a person: each patient, what is doubtful, and where the files are."""
        lines = [_line(one) for one in self.patients[:_SHOWN]]
        if len(self.patients) > _SHOWN:
            lines.append(f"... and {len(self.patients) - _SHOWN} more groups in patients.csv")
        notes = [
            f"{self.images} images, {self.cells} white cells"
            + (f", {self.empty} images without one" if self.empty else ""),
            f"{self.unlike} images are unlike the training data: nothing is answered for them"
            if self.unlike
            else "",
            f"{self.skipped} images already done with the same settings" if self.skipped else "",
            "No class of stage 2 is said to be of blasts: none are counted (--blast CLASS)"
            if "cells" in self.stages and self.blast is None
            else "",
            f"{len(self.failed)} images could not be read" if self.failed else "",
            *(f"Explanations of {what} are {sanity_text(scores)}" for what, scores in self.sanity.items()),
            f"Wrote {self.folder}: patients.csv, fields.csv, cells.csv, predictions.json, overlays/",
        ]
        return "\n".join([*lines, *filter(None, notes)])


def _line(patient: PatientSaid) -> str:
    text = f"{patient.group}: {patient.fields} images"
    if patient.label is not None:
        text += f", {patient.label} {patient.probabilities[patient.label]:.0%}"
        text += f" ({patient.answer})" if patient.answer != patient.label else ""
    if patient.unlike_fields:
        text += f", {patient.unlike_fields} unlike the training data"
    return text + (f"; blasts {patient.blasts.to_text()}" if patient.blasts else "")


def predict_images(path: Path, run: Path, out: Path | None, chosen: PredictSmears) -> Predicted:
    """Answer an image or all images of a folder.

    Args:
        path: An image file or a folder.
        run: Run folder, the folder of one of its stages, or that of an ensemble.
        out: Folder of outputs; `runs/predict-NAME` if None.
        chosen: How, and what is written.

    Raises:
        MtlError: If path, run or groups are not usable, outputs cannot be written, or another process writes to the folder.
        StagesError: If the only image cannot be read.
    """
    name = (path.stem if path.is_file() else path.resolve().name) or "images"
    folder = out or Path("runs") / f"predict-{name}"
    jobs = find_images(path, folder).jobs
    groups = group_images([job.name for job in jobs], chosen.group_by, name)
    predictor = Predictor(run, chosen)
    with advised(folder, "--out"):
        make_folder(folder)
    with hold(folder, "--out"), advised(folder, "--out"):
        return _Work(predictor, folder, jobs, groups).do(alone=path.is_file())


class _Work:
    def __init__(
        self, predictor: Predictor, folder: Path, jobs: Sequence[Job], groups: Mapping[str, str]
    ) -> None:
        self.predictor, self.folder, self.jobs, self.groups = predictor, folder, jobs, groups
        self.settings = predictor.settings
        self.classes = predictor.cells.classes if predictor.cells else ()
        self.bagged: dict[str, Bagged] = {}
        self.explained = Explained(predictor) if self.settings.explain else None
        self.written = stage_key(
            _VERSION, predictor.key(), self.settings.model_dump(include={"geojson", "explain"})
        )

    def do(self, *, alone: bool) -> Predicted:
        finished: list[Job] = []
        failed: dict[str, str] = {}
        skipped = 0
        sanity: dict[str, dict[str, float]] = {}
        with Reporter() as reporter:
            try:
                for job, old in in_order(self.jobs, self._one, reporter, "predict", failed, alone=alone):
                    finished.append(job)
                    skipped += old
                self._answer_patients(finished, reporter)
                if self.explained is not None:
                    sanity = self.explained.sanity([decode_rgb(job.path) for job in finished[:_EXPLAINED]])
            finally:  # what is done stands in the tables, even where the rest was interrupted
                result = self._write_tables(finished, failed, skipped, sanity)
        return result

    def _answer_patients(self, jobs: Sequence[Job], reporter: Reporter) -> None:
        model = self.predictor.fields
        if not isinstance(model, BagModel) or not answers_patients(model):
            return
        own: dict[str, list[tuple[str, Path]]] = {}
        for job in jobs:
            own.setdefault(self.groups[job.name], []).append((job.name, job.path))
        for number, (group, images) in enumerate(own.items(), 1):
            self.bagged[group] = answer_patient(model, images)
            reporter.step("patients", number, len(own), group)

    def _place(self, job: Job, kind: str, suffix: str) -> Path:
        return self.folder / kind / f"{job.stem}{suffix}"

    def _one(self, job: Job, large: Large) -> tuple[Job, bool]:
        place = self._place(job, "records", ".json")
        key = stage_key(self.written, job.name, content_of(job.path))
        if self._known(place, key) and self._place(job, "overlays", ".png").is_file():
            return job, True
        pixels = pixels_of(job.path, self.settings.segment.max_pixels, "segment.max_pixels")
        with large.hold(job.name, pixels) as tell:
            looked = self.predictor.look(decode_rgb(job.path), job.name, job.stem, tell)
            self._draw(job, looked)
        make_folder(place.parent)
        write_record(place, Told(key=key, field=looked.said))
        return job, False

    def _known(self, place: Path, key: str) -> bool:
        if not place.is_file():
            return False
        try:
            return read_record(place, Told).key == key
        except (ReadError, RunError):  # damaged, or of another version: the image is done again
            return False

    def _draw(self, job: Job, looked: Looked) -> None:
        picture = self._place(job, "overlays", ".png")
        make_folder(picture.parent)
        write_image(picture, overlay(looked.image, looked.said, self.classes))
        if self.settings.geojson:
            outlines = self._place(job, "geojson", ".geojson")
            make_folder(outlines.parent)
            write_json(outlines, geojson(looked.said, self.classes))
        picture = self._place(job, "explained", ".png")
        drawn = self.explained.picture(looked) if self.explained else None
        if drawn is not None:
            make_folder(picture.parent)
            write_image(picture, drawn)

    def _fields(self, jobs: Sequence[Job]) -> Iterator[FieldSaid]:
        # Read again one by one: thousands of fields shall not be held at once.
        for job in jobs:
            yield read_record(self._place(job, "records", ".json"), Told).field

    def _write_tables(
        self,
        jobs: Sequence[Job],
        failed: Mapping[str, str],
        skipped: int,
        sanity: Mapping[str, Mapping[str, float]],
    ) -> Predicted:
        patients = Patients(self.predictor.blast, self.predictor.aggregate, self.classes)
        parts = {name: part for _, own in self.bagged.values() for name, part in own.items()}
        coco = Coco(self.classes)
        fields, cells, texts = [], [], []
        counts: Counter[str] = Counter()
        names = self.predictor.fields.classes if self.predictor.fields else ()
        for one in self._fields(jobs):
            group = self.groups[one.image]
            patients.add(group, one)
            fields.append(field_row(group, one, names, parts.get(one.image)))
            cells += cell_rows(group, one, self.classes)
            texts.append(one.model_dump_json(exclude={"cells": {"__all__": {"outline"}}}))
            counts["cells"] += len(one.cells)
            counts["empty"] += not one.cells
            counts["unlike"] += one.said is not None and one.said.unlike
            if self.settings.coco:
                coco.add(one)
        found = patients.records(self.bagged)
        said = self.classes if self.predictor.aggregate in ("mean", "noisy-or") else names
        write_table(self.folder / "cells.csv", (*CELL_COLUMNS, *map("p_{}".format, self.classes)), cells)
        write_table(self.folder / "fields.csv", (*FIELD_COLUMNS, *map("p_{}".format, names)), fields)
        write_table(self.folder / "patients.csv", (*PATIENT_COLUMNS, *map("p_{}".format, said)), (patient_row(one, said) for one in found))  # fmt: skip
        if self.settings.coco:
            write_text(self.folder / "coco.json", coco.to_text())
        stages = {"cells": 2, "fields": 3}
        result = Predicted(
            self.folder, self.predictor.run,
            {what: self.predictor.stages[number].path.name for what, number in stages.items() if number in self.predictor.stages},
            self.predictor.blast, len(jobs), counts["cells"], skipped, counts["empty"], counts["unlike"], failed,
            sanity, found,
        )  # fmt: skip
        write_text(self.folder / "predictions.json", _json(result, texts))
        return result


def _json(result: Predicted, fields: Sequence[str]) -> str:
    head = json.dumps(finite(result.to_json()), indent=1, ensure_ascii=False)
    return head.removesuffix("\n}") + ',\n "fields": [' + ",\n".join(fields) + "]\n}\n"
