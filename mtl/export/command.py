"""What `mtl export` does: a graph is written only if it gives a run's own test images the probabilities that the run gives them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtl.errors import FailedError, RunError
from mtl.export.card import model_card
from mtl.export.settings import ExportModel
from mtl.progress import Reporter
from mtl.records import LearnedRecord
from mtl.run.load import learned_stages
from mtl.run.originals import original
from mtl.runs import StageFolder
from segmentation.files import make_folder, write_text
from stages.errors import ModelError
from stages.export.engines import Engine, open_engine
from stages.export.formats import EXPORT_FOLDER, INT8_FILE, copy_export, save_graph, save_int8
from stages.export.graph import Whole, about, exported_program, network_of, outside
from stages.learners.model import Floats, Image, load_model
from stages.learners.network.model import NetworkModel

__all__ = ["TOLERANCE", "Eighth", "Exported", "ExportedStage", "export_run"]

TOLERANCE = 1e-4


@dataclass(frozen=True)
class Eighth:
    """What eight bits cost on the same test images.

    Attributes:
        file: Written.
        difference: Largest of a probability.
        accuracy: In 32 bits.
        accuracy_int8: In eight.
        changed: Images that get another class.
    """

    file: str
    difference: float
    accuracy: float
    accuracy_int8: float
    changed: int


@dataclass(frozen=True)
class ExportedStage:
    """One exported network.

    Attributes:
        stage: Name of its folder.
        file: Written.
        images: Test images that were compared.
        difference: Largest of a probability between the file and the run.
        outside: Steps that an image must go through before the file gets it.
        int8: If asked for.
    """

    stage: str
    file: str
    images: int
    difference: float
    outside: tuple[str, ...]
    int8: Eighth | None


@dataclass(frozen=True)
class Exported:
    """What was exported."""

    run: str
    format: str
    stages: tuple[ExportedStage, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json` can write."""
        return asdict(self)

    def to_text(self) -> str:
        """Return a few lines for a person."""
        return "\n".join(line for one in self.stages for line in _lines(one))


def _lines(one: ExportedStage) -> Iterator[str]:
    yield f"{one.stage}: largest difference of a probability on {one.images} test images {one.difference:.1e} (allowed {TOLERANCE:.0e})"
    if one.outside:
        yield f"  Not in the file, and to be done before it: {', '.join(one.outside)} (`mtl predict --engine` does)"
    if one.int8:
        yield (
            f"  int8: accuracy {one.int8.accuracy_int8:.3f} in place of {one.int8.accuracy:.3f}, {one.int8.changed} of {one.images} images get "
            f"another class, largest difference {one.int8.difference:.3f}; wrote {one.int8.file}"
        )
    yield f"  Wrote {one.file} and its card.md"


def export_run(run: Path, chosen: ExportModel, out: Path | None = None) -> Exported:
    """Export the networks of a run.

    Args:
        run: Run folder, or the folder of one of its stages.
        chosen: How.
        out: Gets a folder a stage; `export` in the folder of each stage if None, where `mtl predict --engine` looks.

    Raises:
        MissingExtraError: If what writes or runs the format is not installed.
        RunError: If the run has no such stage, or its test images are gone.
        FailedError: If the file would answer otherwise than the run; nothing is written then.
    """
    stages = learned_stages(run, chosen.chain)
    if chosen.stage is not None and chosen.stage not in stages:
        known = ", ".join(map(str, stages)) or "none"
        raise RunError(
            f"Expected `--stage` to be one that learned ({known}), but got {chosen.stage}; do choose one"
        )
    wanted = [stages[chosen.stage]] if chosen.stage is not None else list(stages.values())
    models = {folder.path: load_model(folder.path) for folder in wanted}
    networks = [
        (folder, model) for folder in wanted if isinstance(model := models[folder.path], NetworkModel)
    ]
    if not networks:
        network_of(models[wanted[-1].path])  # which says why not
    with Reporter() as reporter:
        found = [_export(folder, model, chosen, out, reporter) for folder, model in networks]
    return Exported(str(run), chosen.format, tuple(found))


def _export(
    stage: StageFolder, model: NetworkModel, chosen: ExportModel, out: Path | None, reporter: Reporter
) -> ExportedStage:
    record, name = stage.learned_record(), stage.path.name
    bar, steps = f"export  {name}", 4 if chosen.int8 else 3
    reporter.step(bar, 0, steps, "test images")
    labels, images = _test_images(stage, record, chosen.images)
    model.network.cpu()
    expected = model.probabilities(images)
    ready = [model.preprocess.before_resizing(image) for image in images]
    size = model.preprocess.settings.image_size
    folder = out / name if out else stage.path / EXPORT_FOLDER
    with tempfile.TemporaryDirectory() as temporary:
        reporter.step(bar, 1, steps, chosen.format)
        example = torch.zeros(2, size + 8, size + 16, 3, dtype=torch.uint8)
        program = exported_program(Whole(model), example)
        told = about(model, record.key)
        path = save_graph(program, chosen.format, Path(temporary), told)
        reporter.step(bar, 2, steps, "parity")
        said = _answers(open_engine(chosen.format, path), ready)
        difference = float(np.abs(said - expected).max())
        if not difference <= TOLERANCE:  # NaN is not, either
            raise FailedError(
                f"Expected the exported file to give the probabilities of {name} within {TOLERANCE:.0e}, but one differs by {difference:.1e}, and "
                "nothing was written; do report it with the name of the backbone, or choose another format"
            )
        eighth = None
        if chosen.int8:
            reporter.step(bar, 3, steps, "int8")
            source = path if chosen.format == "onnx" else save_graph(program, "onnx", Path(temporary), told)
            small = Path(temporary) / INT8_FILE
            save_int8(
                source,
                small,
                [model.preprocess(image) for image in _training_images(stage, record, chosen.calibration)],
            )
            eighth = _eighth(
                folder / INT8_FILE, _answers(open_engine("onnx", small), ready), expected, labels
            )
        make_folder(folder)
        if eighth:
            copy_export(small, folder)
        copy_export(path, folder)
    told_stage = ExportedStage(
        name,
        str(folder / path.name),
        len(images),
        difference,
        tuple(outside(model.preprocess.settings)),
        eighth,
    )
    write_text(folder / "card.md", model_card(record, model, told_stage))
    reporter.step(bar, steps, steps)
    return told_stage


def _answers(engine: Engine, images: Sequence[Image]) -> Floats:
    # One by one, as images of files differ in size.
    return np.concatenate([engine(image[None])[0] for image in images]).astype(np.float64)


def _eighth(path: Path, said: Floats, expected: Floats, labels: Sequence[int]) -> Eighth:
    accuracy, other = (float((votes.argmax(axis=1) == labels).mean()) for votes in (expected, said))
    changed = int((said.argmax(axis=1) != expected.argmax(axis=1)).sum())
    return Eighth(str(path), float(np.abs(said - expected).max()), accuracy, other, changed)


def _test_images(stage: StageFolder, record: LearnedRecord, count: int) -> tuple[list[int], list[Image]]:
    told = stage.predictions() if record.evaluation is not None else None
    if told is None:
        raise RunError(
            f"Expected {stage.path} to have test images to compare an exported file with, but its test part is empty; do train with one"
        )
    rows = np.linspace(0, len(told.names) - 1, min(count, len(told.names))).round().astype(int)
    truth, found = told.truth(), [(row, original(told.names[row], record.data.sources)) for row in rows]
    here = [(int(truth[row]), image) for row, image in found if image is not None]
    if not here:
        raise RunError(
            f"Expected the test images of {stage.path.name} to be in {record.data.sources[0].root}, but they are gone; do put them back"
        )
    return [label for label, _ in here], [image for _, image in here]


def _training_images(stage: StageFolder, record: LearnedRecord, count: int) -> Iterator[Image]:
    from stages.data.catalogue import read_dataset
    from stages.data.images import load_rgb

    parts = stage.learned().parts
    samples = [
        sample for source in record.data.sources for sample in read_dataset(source.dataset, source.root)
    ]
    trained = [sample for sample in samples if parts.get(f"image {sample.key}") == "train"]
    if not trained:
        raise ModelError(
            f"Expected training images of {stage.path.name} to fit eight bits to, but none is in {record.data.sources[0].root}; do put them back"
        )
    for row in np.linspace(0, len(trained) - 1, min(count, len(trained))).round().astype(int):
        yield load_rgb(trained[row])
