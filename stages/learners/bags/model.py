"""Bags as a model: features of a backbone at rest, and what was learned to make one answer of those of a bag."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from segmentation.cache import cached_array
from segmentation.files import write_tensors
from stages.bag_settings import BagSettings
from stages.errors import ModelError
from stages.learners.at_rest import LearnerAtRest
from stages.learners.bags import AGGREGATE_FILE
from stages.learners.bags.aggregate import Aggregate
from stages.learners.bags.fitting import Bags, answer_bags, fit_bags
from stages.learners.classical.features.deep import DeepFeatures
from stages.learners.model import Fitting, Floats, Image, Model, Prediction
from stages.learners.network.loading import load_state
from stages.preprocess import Preprocess
from stages.preprocess.bags import squares_of
from stages.task import Task

__all__ = ["BagLearner", "BagModel", "PictureFeatures"]


class PictureFeatures:
    """Features of the pictures of bags by a backbone at rest.

    Args:
        deep: The backbone.
    """

    def __init__(self, deep: DeepFeatures) -> None:
        self.deep = deep
        self._known: dict[bytes, Floats] = {}

    def remember(self, images: Image, bags: Bags) -> None:
        """Keep the features of bags, given as strips, so that they are not computed again while this object lives."""
        parts = np.split(bags.features, np.cumsum(bags.counts)[:-1])
        self._known |= {_digest(strip): own for strip, own in zip(images, parts, strict=True)}

    def __call__(self, images: Image, told: Callable[[int], None] | None = None) -> Bags:
        """Return the features of the pictures of bags.

        Args:
            images: Strips (N, most * S, S, 3) uint8.
            told: Called with the number of bags that are done.
        """
        nothing = self.deep(np.empty((0, self.deep.size, self.deep.size, 3), np.uint8))
        rows: list[Floats] = []
        for place, strip in enumerate(images):
            known = self._known.get(_digest(strip)) if self._known else None
            rows.append(self.deep(squares_of(np.asarray(strip))) if known is None else known)
            if told:
                told(place + 1)
        return Bags(np.concatenate([nothing, *rows]), np.array([len(own) for own in rows], np.int64))


def _digest(strip: Image) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(strip).data).digest()


class BagModel(Model):
    """A backbone at rest that looks at every picture of a bag, and a small network that makes one answer of them.

    Args:
        features: Of pictures.
        network: From those of a bag to its answer.
        classes: In the order of the probabilities.
        preprocess: That makes strips of bags; see `stages.preprocess.bags`.
    """

    kind = "bags"

    def __init__(
        self, features: PictureFeatures, network: Aggregate, classes: tuple[str, ...], preprocess: Preprocess
    ) -> None:
        super().__init__(classes, preprocess)
        self.features = features
        self.network = network

    def prepared_probabilities(self, images: Image) -> Floats:
        """Return probabilities (N, K) of bags as strips (N, most * S, S, 3) uint8, each row summing to 1."""
        return self.prepared_answers(images)[0]

    def prepared_embeddings(self, images: Image) -> Floats:
        """Return the mean features (N, F) of the pictures of bags (N, most * S, S, 3) uint8."""
        return self.prepared_answers(images)[1]

    def prepared_answers(self, images: Image) -> tuple[Floats, Floats]:
        """Return both, in one pass."""
        said, features, _ = self._asked(images)
        return said, features

    def decided(self, strip: Image) -> tuple[Prediction, list[float]]:
        """Return what is said of a bag, and how much each of its pictures decided, summing to 1.

        Args:
            strip: (most * S, S, 3) uint8, of `preprocess.cells` or `preprocess.strip`; pictures are in its order.
        """
        said, features, weights = self._asked(strip[None])
        (answer,) = self._answers(said, self.distances(strip[None], features))
        return answer, weights[0].tolist()

    def _asked(self, images: Image) -> tuple[Floats, Floats, Floats]:
        bags = self.features(images)
        if not len(bags):
            return np.empty((0, len(self.classes))), bags.means(), np.empty((0, 0))
        told = answer_bags(self.network, bags, range(len(bags)))
        said: Floats = told.logs.double().softmax(dim=1).numpy()
        return said, bags.means(), told.weights.double().numpy()

    def _state(self) -> dict[str, Any]:
        return {"deep": self.features.deep.state(), "bags": self.network.settings.model_dump(mode="json")}

    def _save_weights(self, folder: Path) -> None:
        self.features.deep.save(folder)
        write_tensors(folder / AGGREGATE_FILE, self.network.state_dict())

    @classmethod
    def _load(
        cls, folder: Path, classes: tuple[str, ...], preprocess: Preprocess, state: Mapping[str, Any]
    ) -> Self:
        path = folder / AGGREGATE_FILE
        if not path.is_file():
            raise ModelError(
                f"Expected {folder} to hold a model, but its {AGGREGATE_FILE} is not there; do train it again"
            )
        saved = load_state(path)
        network = Aggregate(len(saved["mean"]), len(classes), BagSettings.model_validate(state["bags"]))
        network.load_state_dict(saved)
        features = PictureFeatures(DeepFeatures.load(folder, state["deep"]))
        return cls(features, network.eval(), classes, preprocess)


class BagLearner(LearnerAtRest):
    """Trains what makes one answer of a bag, on features that the backbone of the stage before has of its pictures."""

    def fit(self, task: Task, folder: Path) -> tuple[BagModel, Fitting]:
        """Train on the training part, keep the best epoch by the validation part; see `stages.learners.model.Learner`.

        Features are computed once and kept on the disk: no label decides them. There is nothing to resume: it takes seconds.

        Raises:
            ModelError: If the weights do not fit.
        """
        started = time.perf_counter()
        settings, size = self.settings.bags, self.settings.preprocess.image_size
        features = PictureFeatures(DeepFeatures(self.weights, self.start, "avg", size, self.hardware))
        total = len(task.images) + settings.epochs
        bags = self._looked(features, task.images, lambda done: self._tell(done, total, "features"))
        features.remember(task.images, bags)
        fitted = fit_bags(
            bags, task.labels, task.rows, len(task.classes), settings, self.seed,
            lambda done, _, text: self._tell(len(task.images) + done, total, text),
        )  # fmt: skip
        model = BagModel(features, fitted.network, task.classes, task.preprocess)
        model.save(folder)
        parameters = sum(value.numel() for value in fitted.network.parameters())
        seconds = time.perf_counter() - started
        return model, Fitting(fitted.history, fitted.best_epoch, seconds, parameters)

    def _looked(self, features: PictureFeatures, images: Image, told: Callable[[int], None]) -> Bags:
        content = hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()
        key = json.dumps([content, images.shape, features.deep.key, torch.__version__])
        seen = cached_array("bags", key, lambda: features(images, told).features)
        return Bags(seen, np.array([len(squares_of(strip)) for strip in images], np.int64))
