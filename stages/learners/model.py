"""The seam: a `Learner` makes a `Model` of a `Task`, and everything else stands on the `Model`.

A model carries its preprocessing, its classes and (later) its calibration, and they are the very code that training used: running,
tuning, predicting, serving, exporting, ensembles and federation ask it and never prepare an image themselves.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from segmentation.errors import ReadError
from segmentation.files import read_json, write_json
from stages.data.images import decode_rgb
from stages.errors import ModelError
from stages.preprocess import Fitted, Preprocess
from stages.settings import PreprocessSettings
from stages.task import Task

__all__ = ["MODEL_FILE", "Fitting", "Learner", "Model", "Prediction", "load_model"]

MODEL_FILE = "model.json"
_KINDS: Mapping[str, str] = {
    "network": "stages.learners.network.model.NetworkModel",
    "classical": "stages.learners.classical.model.ClassicalModel",
    "stacked": "stages.learners.stacked.model.StackedModel",
}
"""Class that reads each kind of `model.json`; imported when it is needed."""

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
_AT_ONCE = 64
"""Images that are prepared at a time, so that any number of them takes bounded memory."""


@dataclass(frozen=True)
class Fitting:
    """How a learner came to its model.

    Attributes:
        history: Scores by epoch; empty for learners without epochs.
        best_epoch: Whose weights were kept, from 0.
        seconds: Of the training.
        parameters: Numbers that were learned or can be; 0 for learners that have none to count.
    """

    history: tuple[Mapping[str, float], ...]
    best_epoch: int
    seconds: float
    parameters: int


@dataclass(frozen=True)
class Prediction:
    """What a model says of one image.

    Attributes:
        label: The most probable class.
        probabilities: By class, summing to 1.
    """

    label: str
    probabilities: Mapping[str, float]


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

    @abstractmethod
    def prepared_probabilities(self, images: Image) -> Floats:
        """Return probabilities (N, K) of prepared images (N, S, S, 3) uint8, each row summing to 1."""

    @abstractmethod
    def prepared_embeddings(self, images: Image) -> Floats:
        """Return features (N, F) of prepared images (N, S, S, 3) uint8."""

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

    def probabilities(self, images: Iterable[Image]) -> Floats:
        """Return what the model says of images as they come from a file.

        Args:
            images: Each (H, W, 3) uint8 RGB, of any size; an iterator is taken some at a time.

        Returns:
            (N, K) float64, each row summing to 1.

        Raises:
            ModelError: If an array is no such image.
            SegmentationError: If an image cannot be segmented.
        """
        rows = [self.prepared_probabilities(batch) for batch in self._prepared(images)]
        return np.concatenate(rows) if rows else np.empty((0, len(self.classes)))

    def embeddings(self, images: Iterable[Image]) -> Floats:
        """Return the features behind the last layer of images as they come from a file; see `probabilities`.

        Returns:
            (N, F) float64.
        """
        size = self.preprocess.settings.image_size
        nothing = self.prepared_embeddings(np.empty((0, size, size, 3), np.uint8))
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
        (row,) = self.probabilities([pixels])
        scores = dict(zip(self.classes, map(float, row), strict=True))
        return Prediction(max(scores, key=lambda name: scores[name]), scores)

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
        told = {"kind": self.kind, "classes": list(self.classes), "preprocess": preprocess}
        write_json(folder / MODEL_FILE, told | self._state())

    def _prepared(self, images: Iterable[Image]) -> Iterator[Image]:
        rest = iter(images)
        while batch := [self.preprocess(_checked(image)) for image in islice(rest, _AT_ONCE)]:
            yield np.stack(batch)


def _checked(image: Any) -> Image:
    if isinstance(image, np.ndarray):
        if image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8 and image.size:
            return image
        got = f"{image.shape} {image.dtype}"
    else:
        got = type(image).__name__
    raise ModelError(
        f"Expected `image` to be a file or (H, W, 3) uint8 RGB, but got {got}; do convert it first"
    )


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
        preprocess = Preprocess.of_model(PreprocessSettings.model_validate(settings), fitted, folder)
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
    return model


def _unreadable(path: Path, error: Exception) -> ModelError:
    return ModelError(
        f"Expected {path} to be a model, but it cannot be read ({type(error).__name__}); do train it again"
    )
