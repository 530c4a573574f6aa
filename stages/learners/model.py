"""The seam: a `Learner` makes a `Model` of a `Task`, and everything else stands on the `Model`.

A model carries its preprocessing, its classes and its calibration, and they are the very code that training used: running,
tuning, predicting, serving, exporting, ensembles and federation ask it and never prepare an image themselves.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from segmentation.errors import ReadError
from segmentation.files import read_json, write_json
from stages.bag_settings import PATIENT, Bagging
from stages.calibrate import Calibration, Certainty, Surroundings, fit_certainty, unit
from stages.data.images import decode_rgb
from stages.errors import ModelError
from stages.learners.classical.colour import colour_statistics
from stages.preprocess import Fitted, Preprocess
from stages.settings import PreprocessSettings
from stages.task import Task

__all__ = ["AT_ONCE", "MODEL_FILE", "Bag", "Fitting", "Learner", "Model", "Prediction", "load_model"]

MODEL_FILE = "model.json"
_KINDS: Mapping[str, str] = {
    "bags": "stages.learners.bags.model.BagModel",
    "classical": "stages.learners.classical.model.ClassicalModel",
    "ensemble": "stages.learners.ensemble.model.EnsembleModel",
    "network": "stages.learners.network.model.NetworkModel",
    "stacked": "stages.learners.stacked.model.StackedModel",
}
"""Class that reads each kind of `model.json`; imported when it is needed."""

Image = npt.NDArray[np.uint8]
Bag = Image | Sequence[Image]
Floats = npt.NDArray[np.float64]
AT_ONCE = 64
"""Images that are prepared at a time, so that any number of them takes bounded memory."""
_LEARNED = 1000
"""Training images that say where the training data lie, evenly spread."""


@dataclass(frozen=True)
class Fitting:
    """How a learner came to its model.

    Attributes:
        history: Scores by epoch; empty for learners without epochs.
        best_epoch: Whose weights were kept, from 0.
        seconds: Of the training.
        parameters: Numbers that were learned or can be; 0 for learners that have none to count.
        held_out: The same learned without the validation part, where the model itself learned that part, too: certainty is measured on it.
        private: Whether training images are promised privacy: nothing else that was measured on them may go into the model.
    """

    history: tuple[Mapping[str, float], ...]
    best_epoch: int
    seconds: float
    parameters: int
    held_out: Model | None = None
    private: bool = False


@dataclass(frozen=True)
class Prediction:
    """What a model says of one image.

    Attributes:
        label: The most probable class.
        probabilities: By class, summing to 1, calibrated where the model is.
        within: Classes that it may be: in nine of ten images of every class, that class is among them; empty without calibration.
        unsure: Whether it is too improbable to be answered.
        distance: To the training data, 1 for the farthest that is like them; None where it is not known.
    """

    label: str
    probabilities: Mapping[str, float]
    within: tuple[str, ...] = ()
    unsure: bool = False
    distance: float | None = None

    @property
    def unlike(self) -> bool:
        """Whether the image is unlike the training data: what is said of it means nothing."""
        return self.distance is not None and self.distance > 1


class Model(ABC):
    """What was learned, ready for images as they come from a file.

    Args:
        classes: Names of the classes, in the order of the probabilities.
        preprocess: What every image goes through.
    """

    kind: str

    def __init__(self, classes: tuple[str, ...], preprocess: Preprocess) -> None:
        self.classes = classes
        self.preprocess = preprocess
        self.calibration: Calibration | None = None
        self.frame: float | None = None
        """Side of an image in parts of its cell's longer side, where the images are of one cell; see `stages.preprocess.framing`."""

    @abstractmethod
    def prepared_probabilities(self, images: Image) -> Floats:
        """Return probabilities (N, K) of prepared images (N, S, S, 3) uint8, each row summing to 1, before calibration."""

    @abstractmethod
    def prepared_embeddings(self, images: Image) -> Floats:
        """Return features (N, F) of prepared images (N, S, S, 3) uint8."""

    def prepared_answers(self, images: Image) -> tuple[Floats, Floats]:
        """Return both, probabilities (N, K) before calibration and features (N, F); one pass where the model knows how."""
        return self.prepared_probabilities(images), self.prepared_embeddings(images)

    def quicken(self) -> None:  # noqa: B027 - most have nothing to choose
        """Answer from now on as fast as this machine can without answers that differ noticeably; nothing to choose for most models."""

    def calibrated(self, probabilities: Floats) -> Floats:
        """Return probabilities (N, K) as the validation part asks for; as they are where nothing was calibrated."""
        return probabilities if self.calibration is None else self.calibration.calibrated(probabilities)

    def calibrate(self, task: Task) -> Floats | None:
        """Find on the validation part how sure the model may be; see `stages.calibrate`. Without such a part nothing changes.

        Args:
            task: That it learned; its test part is not looked at.

        Returns:
            What was said of the validation part before calibration, (N, K), or None without one.
        """
        train, rows = task.rows["train"], task.rows["validation"]
        if not len(rows) or not len(train):
            return None
        known = train[np.linspace(0, len(train) - 1, min(_LEARNED, len(train))).astype(int)]
        learned = _vectors(task.images[known], self.prepared_embeddings(task.images[known]))
        around = {name: Surroundings.of(own, task.labels[known]) for name, own in learned.items()}
        said, features = self.prepared_answers(task.images[rows])
        seen = _vectors(task.images[rows], features)
        certainty = fit_certainty(
            said, task.labels[rows], [str(group) for group in task.groups[rows]],
            {name: one.distances(seen[name]) for name, one in around.items()},
        )  # fmt: skip
        self.calibration = Calibration(certainty, around)
        return said

    def distances(self, images: Image, features: Floats) -> Floats | None:
        """Return how far prepared images (N, S, S, 3) uint8 with features (N, F) lie from the training data, (N,); see `stages.calibrate`."""
        return None if self.calibration is None else self.calibration.distances(_vectors(images, features))

    @abstractmethod
    def _state(self) -> dict[str, Any]:
        """Return what `model.json` holds besides kind, classes and preprocessing."""

    @abstractmethod
    def _save_weights(self, folder: Path) -> None:
        """Write what `model.json` cannot hold."""

    @classmethod
    @abstractmethod
    def _load(
        cls, folder: Path, classes: tuple[str, ...], preprocess: Preprocess, state: Mapping[str, Any]
    ) -> Self:
        """Read what `_state` and `_save_weights` wrote."""

    def probabilities(self, images: Iterable[Bag]) -> Floats:
        """Return what the model says of images as they come from a file, calibrated where it is.

        Args:
            images: Each (H, W, 3) uint8 RGB, of any size; an iterator is taken some at a time. Where patients are answered for, each
                may be a list of the images of a patient.

        Returns:
            (N, K) float64, each row summing to 1.

        Raises:
            ModelError: If an array is no such image.
            SegmentationError: If an image cannot be segmented.
        """
        rows = [self.prepared_probabilities(batch) for batch in self._prepared(images)]
        return self.calibrated(np.concatenate(rows)) if rows else np.empty((0, len(self.classes)))

    def answers(self, images: Iterable[Bag]) -> list[Prediction]:
        """Return what the model says of images as they come from a file, and how sure it is; see `probabilities`."""
        found: list[Prediction] = []
        for batch in self._prepared(images):
            said, features = self.prepared_answers(batch)
            found += self._answers(said, self.distances(batch, features))
        return found

    def _answers(self, said: Floats, distances: Floats | None) -> Iterator[Prediction]:
        said, how = self.calibrated(said), self.calibration
        for place, row in enumerate(said):
            scores = dict(zip(self.classes, map(float, row), strict=True))
            label = self.classes[int(row.argmax())]
            if how is None:
                yield Prediction(label, scores)
                continue
            inside = how.sets(row[None])[0]
            within = tuple(name for name, held in zip(self.classes, inside, strict=True) if held)
            distance = None if distances is None else float(distances[place])
            yield Prediction(label, scores, within, bool(how.unsure(row[None])[0]), distance)

    def embeddings(self, images: Iterable[Bag]) -> Floats:
        """Return the features behind the last layer of images as they come from a file; see `probabilities`.

        Returns:
            (N, F) float64.
        """
        nothing = self.prepared_embeddings(np.empty((0, *self.preprocess.shape), np.uint8))
        return np.concatenate(
            [nothing, *(self.prepared_embeddings(batch) for batch in self._prepared(images))]
        )

    def predict(self, image: Image | Path | str) -> Prediction:
        """Return what the model says of one image: an array (H, W, 3) uint8 RGB, or a file.

        Raises:
            DataError: If the file cannot be read.
            ModelError: If the array is no such image.
        """
        pixels = decode_rgb(Path(image)) if isinstance(image, (str, Path)) else image
        (said,) = self.answers([pixels])
        return said

    def save(self, folder: Path) -> None:
        """Write the model; `model.json` comes last, so a folder that has it is whole.

        Raises:
            WriteError: If it cannot be written.
        """
        self._save_weights(folder)
        self.preprocess.save(folder)
        preprocess = self.preprocess.settings.model_dump(mode="json") | {
            "identity": self.preprocess.identity,
            "fitted": self.preprocess.fitted.model_dump(mode="json"),
        }
        if self.preprocess.bagging is not None:
            preprocess["bagging"] = self.preprocess.bagging.model_dump(mode="json")
        told = {
            "kind": self.kind,
            "classes": list(self.classes),
            "preprocess": preprocess,
            "certainty": None,
            "frame": self.frame,
        }
        if self.calibration is not None:
            self.calibration.save(folder)
            told["certainty"] = self.calibration.certainty.model_dump(mode="json")
        write_json(folder / MODEL_FILE, told | self._state())

    def _prepared(self, images: Iterable[Bag]) -> Iterator[Image]:
        rest, bagging = iter(images), self.preprocess.bagging
        several = bagging is not None and bagging.unit == PATIENT
        while batch := [self.preprocess(_checked(image, several=several)) for image in islice(rest, AT_ONCE)]:
            yield np.stack(batch)


def _vectors(images: Image, features: Floats) -> dict[str, Floats]:
    """Return what distances are measured of, (N, F) each: features of length 1, and colour."""
    return {"features": unit(features), "colour": colour_statistics(images).astype(np.float64)}


def _checked(image: Any, *, several: bool) -> Bag:
    for one in image if several and isinstance(image, (list, tuple)) and image else (image,):
        if isinstance(one, np.ndarray):
            if one.ndim == 3 and one.shape[2] == 3 and one.dtype == np.uint8 and one.size:
                continue
            got = f"{one.shape} {one.dtype}"
        else:
            got = type(one).__name__
        raise ModelError(
            f"Expected `image` to be a file or (H, W, 3) uint8 RGB, but got {got}; do convert it first"
        )
    return image  # type: ignore[no-any-return]


class Learner(Protocol):
    """What makes a model of a task."""

    def fit(self, task: Task, folder: Path) -> tuple[Model, Fitting]:
        """Learn from the training part, look at the validation part, never at the test part.

        Args:
            task: Images, labels, parts, preprocessing.
            folder: Existing folder; gets the saved model, and what a stopped call needs to go on.

        Raises:
            StagesError: If learning fails.
            KeyboardInterrupt: If stopped; the same call goes on.
        """


def load_model(folder: Path) -> Model:
    """Read the model that `Model.save` wrote.

    Args:
        folder: Of a finished stage.

    Raises:
        ModelError: If there is none, it is damaged, or this version segments with another network.
    """
    path = folder / MODEL_FILE
    if not path.is_file():
        raise ModelError(
            f"Expected {folder} to hold a model, but it has no {MODEL_FILE}; do give the folder of a finished stage"
        )
    try:
        told = read_json(path)
        kind, classes = told.pop("kind"), tuple(told.pop("classes"))
        settings = told.pop("preprocess")
        identity, fitted = settings.pop("identity"), Fitted.model_validate(settings.pop("fitted"))
        bags = settings.pop("bagging", None)
        bagging = None if bags is None else Bagging.model_validate(bags)
        preprocess = Preprocess.of_model(PreprocessSettings.model_validate(settings), fitted, folder, bagging)
        sure, frame = told.pop("certainty", None), told.pop("frame", None)
        certainty = None if sure is None else Certainty.model_validate(sure)
        module, _, name = _KINDS[kind].rpartition(".")
    except (ReadError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(path, error) from error
    if preprocess.identity != identity:
        raise ModelError(
            f"Expected {folder} to be segmented by the network of this version, but it was trained behind another one; "
            "do train it again, or install the version that trained it"
        )
    try:
        model: Model = getattr(importlib.import_module(module), name)._load(folder, classes, preprocess, told)
    except (ValidationError, KeyError, TypeError) as error:
        raise _unreadable(path, error) from error
    model.frame = frame
    if certainty is not None:
        model.calibration = Calibration.load(folder, certainty)
    return model


def _unreadable(path: Path, error: Exception) -> ModelError:
    return ModelError(
        f"Expected {path} to be a model, but it cannot be read ({type(error).__name__}); do train it again"
    )
