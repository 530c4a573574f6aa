"""A classifier on features as a model, and what fits it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from stages.classical_settings import DEEP, ClassicalSettings
from stages.learners.at_rest import LearnerAtRest
from stages.learners.classical.features import Extractor
from stages.learners.classical.fitting import fit_pipeline
from stages.learners.classical.pipelines import members
from stages.learners.classical.saving import load_pipelines, save_pipelines
from stages.learners.model import Fitting, Floats, Image, Model
from stages.preprocess import Preprocess
from stages.settings import PreprocessSettings
from stages.task import Task

__all__ = ["ClassicalLearner", "ClassicalModel"]


class ClassicalModel(Model):
    """One pipeline of scikit-learn on features, or several whose probabilities are averaged.

    Args:
        pipelines: Fitted; their classes are numbers of ours.
        extractor: What they see of an image.
        classes: All names, in the order of the probabilities.
        preprocess: What every image goes through.
    """

    kind = "classical"

    def __init__(
        self, pipelines: Sequence[Any], extractor: Extractor, classes: tuple[str, ...], preprocess: Preprocess
    ) -> None:
        super().__init__(classes, preprocess)
        self.pipelines = tuple(pipelines)
        self.extractor = extractor

    def prepared_probabilities(self, images: Image) -> Floats:
        """Return probabilities (N, K) of prepared images (N, S, S, 3) uint8, each row summing to 1."""
        votes = np.zeros((len(images), len(self.classes)))
        if not len(images):
            return votes
        features = self.extractor(images)
        for pipeline in self.pipelines:
            votes[:, pipeline.classes_.astype(int)] += pipeline.predict_proba(features)
        found: Floats = votes / votes.sum(axis=1, keepdims=True)
        return found

    def prepared_embeddings(self, images: Image) -> Floats:
        """Return features (N, F) of prepared images (N, S, S, 3) uint8 as the (first) classifier gets them: scaled and reduced."""
        steps = _fitted(self.pipelines[0])[:-1]
        if not len(images):
            return np.empty((0, len(steps.get_feature_names_out())))
        rows: Floats = steps.transform(self.extractor(images))
        return rows

    def _state(self) -> dict[str, Any]:
        deep = self.extractor.deep
        return {
            "classical": self.extractor.settings.model_dump(mode="json"),
            "deep": deep.state() if deep else None,
        }

    def _save_weights(self, folder: Path) -> None:
        save_pipelines(folder, self.pipelines)
        if self.extractor.deep:
            self.extractor.deep.save(folder)

    @classmethod
    def _load(
        cls, folder: Path, classes: tuple[str, ...], preprocess: Preprocess, state: Mapping[str, Any]
    ) -> Self:
        settings, deep = ClassicalSettings.model_validate(state["classical"]), None
        if state["deep"] is not None:
            from stages.learners.classical.features.deep import DeepFeatures

            deep = DeepFeatures.load(folder, state["deep"])
        extractor = Extractor(settings, _segmented(preprocess.settings), deep)
        return cls(load_pipelines(folder), extractor, classes, preprocess)


class ClassicalLearner(LearnerAtRest):
    """Fits a classifier on features of the images, and of the backbone of the stage before where `deep` is among them."""

    def fit(self, task: Task, folder: Path) -> tuple[ClassicalModel, Fitting]:
        """Fit on the training part, tuned by grouped folds inside it; see `stages.learners.model.Learner`.

        The validation part is left to who looks at it. Features are taken of all images at once and kept on the disk: no label
        decides them. There are no epochs, and no history.

        Raises:
            ModelError: If the training part holds one class, or too few groups to tune and calibrate by folds.
        """
        started = time.perf_counter()
        classical, deep = self.settings.classical, None
        if DEEP in classical.features:
            from stages.learners.classical.features.deep import DeepFeatures

            size = self.settings.preprocess.image_size
            deep = DeepFeatures(self.weights, self.start, classical.pool, size, self.hardware)
        extractor = Extractor(classical, _segmented(self.settings.preprocess), deep)
        names = members(self.settings.learner)
        total = len(task.images) * len(classical.features) + len(names)
        features = extractor.cached(task.images, lambda done, _: self._tell(done, total, "features"))
        rows = task.rows["train"]
        fitted = []
        for place, name in enumerate(names):
            self._tell(total - len(names) + place, total, name)
            fitted.append(
                fit_pipeline(
                    name,
                    classical,
                    features[rows],
                    task.labels[rows],
                    task.groups[rows],
                    task.classes,
                    self.seed,
                )
            )
        model = ClassicalModel(fitted, extractor, task.classes, task.preprocess)
        model.save(folder)
        self._tell(total, total, "")
        return model, Fitting((), 0, time.perf_counter() - started, 0)


def _segmented(settings: PreprocessSettings) -> bool:
    """Whether all but white cells is black in prepared images."""
    return settings.segment.method != "none" and settings.segment.use != "crop"


def _fitted(pipeline: Any) -> Any:
    calibrated = getattr(pipeline, "calibrated_classifiers_", None)
    return calibrated[0].estimator if calibrated else pipeline
