"""Frozen features of many depths and colour, weighed by what they said of images that they had not learned from."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier

from segmentation.cache import cached_array
from segmentation.engine import pick_device
from segmentation.files import write_tensors
from segmentation.settings import Hardware
from stages.errors import ModelError
from stages.learners.at_rest import LearnerAtRest
from stages.learners.classical.colour import colour_histogram
from stages.learners.classical.fitting import grouped_folds
from stages.learners.classical.saving import load_pipelines, save_pipelines
from stages.learners.model import Fitting, Floats, Image, Model
from stages.learners.network.backbones import rebuild_backbone
from stages.learners.network.loading import backbone_fingerprint, load_state, match_state
from stages.learners.network.network import Network
from stages.learners.network.weights import WeightRecord
from stages.learners.stacked.closed_form import (
    STRENGTHS,
    LeastSquares,
    block_folds,
    choose_temperature,
    softmax,
    weigh,
)
from stages.learners.stacked.depths import DepthFeatures, layers_between
from stages.preprocess import Preprocess
from stages.settings import HeadSettings
from stages.task import Task

__all__ = ["STACKED_FILE", "StackedLearner", "StackedModel"]

STACKED_FILE = "stacked.safetensors"
_TREES = 300
_PRIOR = 0.01
"""Added to each of a forest's votes, so that what no tree said is improbable and not impossible."""


class StackedModel(Model):
    """A frozen backbone's middle layers with a least-squares head, and a forest on the colour histogram.

    Args:
        features: Of prepared images.
        head: On them.
        temperature: That makes its scores probabilities.
        colour: Forest on the histogram of hue, saturation and value; its classes are numbers of ours.
        weights: Of the two opinions, summing to 1.
        record: Where the backbone came from.
        classes: In the order of the probabilities.
        preprocess: What every image goes through.
    """

    kind = "stacked"

    def __init__(
        self,
        features: DepthFeatures,
        head: LeastSquares,
        temperature: float,
        colour: RandomForestClassifier,
        weights: Sequence[float],
        record: WeightRecord,
        classes: tuple[str, ...],
        preprocess: Preprocess,
    ) -> None:
        super().__init__(classes, preprocess)
        self.features = features
        self.head = head
        self.temperature = temperature
        self.colour = colour
        self.weights = tuple(weights)
        self.record = record

    def prepared_probabilities(self, images: Image) -> Floats:
        """Return probabilities (N, K) of prepared images (N, S, S, 3) uint8, each row summing to 1."""
        if not len(images):
            return np.empty((0, len(self.classes)))
        deep, colour = self.weights
        seen = softmax(self.head(self.features(images)), self.temperature)
        told = _votes(self.colour, colour_histogram(images), len(self.classes))
        votes: Floats = deep * seen + colour * told
        return votes

    def prepared_embeddings(self, images: Image) -> Floats:
        """Return the standardised features (N, F) of prepared images (N, S, S, 3) uint8; colour is not among them."""
        standard: Floats = (self.features(images) - self.head.mean) / self.head.scale
        return standard

    def _state(self) -> dict[str, Any]:
        return {
            "weights": self.record.model_dump(mode="json"),
            "layers": list(self.features.layers),
            "views": list(self.features.views),
            "temperature": self.temperature,
            "opinions": list(self.weights),
        }

    def _save_weights(self, folder: Path) -> None:
        backbone = self.features.network.backbone.state_dict()
        head = {name: torch.from_numpy(np.asarray(value)) for name, value in vars(self.head).items()}
        write_tensors(
            folder / STACKED_FILE,
            {f"backbone.{name}": value.cpu() for name, value in backbone.items()}
            | {f"least_squares.{name}": value for name, value in head.items()},
        )
        save_pipelines(folder, [self.colour])

    @classmethod
    def _load(
        cls, folder: Path, classes: tuple[str, ...], preprocess: Preprocess, state: Mapping[str, Any]
    ) -> Self:
        path = folder / STACKED_FILE
        if not path.is_file():
            raise ModelError(
                f"Expected {folder} to hold a model, but its {STACKED_FILE} is not there; do train it again"
            )
        record = WeightRecord.model_validate(state["weights"])
        network = _network(record, path, preprocess.settings.image_size, Hardware())
        saved = load_state(path)
        head = LeastSquares(
            *(saved[f"least_squares.{name}"].numpy() for name in ("mean", "scale", "matrix", "bias"))
        )
        features = DepthFeatures(network, state["layers"], state["views"])
        return cls(
            features, head, float(state["temperature"]), load_pipelines(folder)[0], state["opinions"], record, classes, preprocess
        )  # fmt: skip


class StackedLearner(LearnerAtRest):
    """Fits a head in closed form on what the backbone of the stage before says, and a forest on colour."""

    def fit(self, task: Task, folder: Path) -> tuple[StackedModel, Fitting]:
        """Fit on the training and validation parts; blocks inside the training part choose strength, temperature and weights.

        The same without the validation part is `Fitting.held_out`, on which certainty is measured.

        See `stages.learners.model.Learner`. There are no epochs, no history and nothing to resume; features are kept on the disk.

        Raises:
            ModelError: If the weights do not fit, the backbone has no layers at the depths asked for, or there is one class.
        """
        started = time.perf_counter()
        settings, classes = self.settings.stacked, len(task.classes)
        features = self._features()
        total = len(task.images) + settings.folds + 1
        described = self._described(features, task.images, total)
        features.remember(task.images, described)
        colours = colour_histogram(task.images)
        rows = np.sort(task.rows["train"])
        labels, groups = task.labels[rows], task.groups[rows]
        if len(np.unique(labels)) < 2:
            raise ModelError(
                f"Expected the training part to hold two classes or more, but got {task.classes[labels[0]]} alone; do add data"
            )
        folds = block_folds(labels, groups, settings.folds)
        known = described[rows], colours[rows], labels
        seen, told = self._kept_out(known, folds, classes, len(task.images), total)
        strength, temperature, weights = _chosen(seen, told, labels) if folds.any() else _UNTOLD

        def fitted(rows: Any) -> StackedModel:
            head = LeastSquares.path(described[rows], task.labels[rows], classes)[strength]
            forest = self._forest(colours[rows], task.labels[rows])
            return StackedModel(
                features, head, temperature, forest, weights, self.weights, task.classes, task.preprocess
            )

        # Nothing is stopped early by the validation part, so in the end what it shows is learned, too.
        whole = np.sort(np.concatenate([rows, task.rows["validation"]]))
        model, held_out = fitted(whole), fitted(rows) if len(whole) > len(rows) else None
        model.save(folder)
        self._tell(total, total, f"colour weighs {weights[1]:.2f}")
        return model, Fitting(
            (), 0, time.perf_counter() - started, model.head.matrix.size + classes, held_out
        )

    def out_of_fold(self, task: Task, folds: int) -> Floats:
        """Return what is said of every image by heads that learned from images of other groups alone.

        Groups are dealt at random, classes evenly: who looks for wrong labels wants every image judged by what is most like it and
        is no copy. All parts count alike.

        Args:
            task: Images, labels and groups; every class in two groups or more.
            folds: 2 or more.

        Returns:
            (N, K), each row summing to 1.

        Raises:
            ModelError: If the weights do not fit, or a class stands in one group alone.
        """
        parted = _dealt(task, folds, self.seed)
        features, total = self._features(), len(task.images) + folds
        described = self._described(features, task.images, total)
        known = described, colour_histogram(task.images), task.labels
        seen, told = self._kept_out(known, parted, len(task.classes), len(task.images), total)
        strength, temperature, (deep, colour) = _chosen(seen, told, task.labels)
        self._tell(total, total, f"colour weighs {colour:.2f}")
        votes: Floats = deep * softmax(seen[strength], temperature) + colour * told
        return votes

    def _features(self) -> DepthFeatures:
        settings = self.settings.stacked
        network = _network(self.weights, self.start, self.settings.preprocess.image_size, self.hardware)
        return DepthFeatures(network, layers_between(network.backbone, *settings.depths), settings.views)

    def _kept_out(
        self, known: tuple[Floats, Any, Any], folds: Any, classes: int, done: int, total: int
    ) -> tuple[dict[float, Floats], Floats]:
        """Return what heads, by strength, and forests say of each fold (M, K) that they did not learn from; zeros without folds."""
        described, colours, labels = known
        seen = {strength: np.zeros((len(labels), classes)) for strength in STRENGTHS}
        told = np.zeros((len(labels), classes))
        for fold in np.unique(folds) if folds.any() else ():
            out = folds == fold
            for strength, head in LeastSquares.path(described[~out], labels[~out], classes).items():
                seen[strength][out] = head(described[out])
            told[out] = _votes(self._forest(colours[~out], labels[~out]), colours[out], classes)
            self._tell(done + int(fold), total, "folds")
        return seen, told

    def _described(self, features: DepthFeatures, images: Image, total: int) -> Floats:
        content = hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()
        told = [content, images.shape, features.layers, features.views, self.weights.mean, self.weights.std]
        key = json.dumps([*told, backbone_fingerprint(self.start), torch.__version__])
        return cached_array(
            "stacked", key, lambda: features(images, lambda done, _: self._tell(done, total, "features"))
        )

    def _forest(self, colours: Any, labels: Any) -> RandomForestClassifier:
        return RandomForestClassifier(_TREES, n_jobs=-1, random_state=self.seed).fit(colours, labels)


_UNTOLD = (0.1, 0.3, (0.5, 0.5))
"""Strength, temperature and weights where a class has a single group, so that no block can be kept out."""


def _chosen(
    seen: Mapping[float, Floats], told: Floats, labels: Any
) -> tuple[float, float, tuple[float, float]]:
    """Return strength, temperature, and the weights of deep features and of colour."""
    tried = {strength: choose_temperature(scores, labels) for strength, scores in seen.items()}
    strength = min(tried, key=lambda one: tried[one][1])
    temperature = tried[strength][0]
    deep, colour = weigh(np.stack([softmax(seen[strength], temperature), told]), labels)
    return strength, temperature, (float(deep), float(colour))


def _dealt(task: Task, folds: int, seed: int) -> Any:
    """Return the fold of every image (N,): whole groups, classes evenly; fewer folds where a class has fewer groups."""
    groups = {
        name: len(np.unique(task.groups[task.labels == index])) for index, name in enumerate(task.classes)
    }
    least = min(groups, key=lambda name: groups[name])
    if groups[least] < 2:
        raise ModelError(
            f"Expected every class to stand in two groups or more, but {least} stands in {groups[least]}; do leave it out, or add data"
        )
    parted = np.zeros(len(task.labels), np.int64)
    for number, (_, out) in enumerate(
        grouped_folds(task.labels, task.groups, min(folds, groups[least]), seed)
    ):
        parted[out] = number
    return parted


def _votes(forest: RandomForestClassifier, colours: Any, classes: int) -> Floats:
    votes = np.zeros((len(colours), classes))
    votes[:, forest.classes_.astype(int)] = forest.predict_proba(colours)
    smoothed: Floats = (votes + _PRIOR) / (1 + _PRIOR * classes)
    return smoothed


def _network(record: WeightRecord, file: Path, size: int, hardware: Hardware) -> Network:
    backbone = rebuild_backbone(record, "avg", size)
    state = {name: value for name, value in load_state(file).items() if name.startswith("backbone.")}
    match_state(backbone, state, file.parent.name)
    network = Network(backbone, record, HeadSettings(), ("", ""))  # whose head is not asked
    return network.to(pick_device(hardware)).eval()
