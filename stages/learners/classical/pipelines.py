"""Pipelines of scikit-learn by the name of a learner: scaler, reduction, classifier, and which of its settings are tried."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.classical_settings import ClassicalSettings

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator
    from sklearn.pipeline import Pipeline

__all__ = ["VOTERS", "candidates", "make_pipeline", "members"]

VOTERS = ("svm", "forest", "logistic")
"""Whose probabilities `vote` averages."""

_TRIED: Mapping[str, Mapping[str, Sequence[Any]]] = {
    "svm": {"C": (1.0, 10.0, 100.0), "gamma": ("scale", 0.3, 3.0)},
    "forest": {"max_features": ("sqrt", 0.2), "min_samples_leaf": (1, 3, 10)},
    "knn": {"n_neighbors": (5, 1, 11, 21), "weights": ("distance", "uniform")},
    "bayes": {"var_smoothing": (1e-9, 1e-6, 1e-3, 1e-1)},
    "tree": {"min_samples_leaf": (5, 1, 20), "max_depth": (None, 5, 10)},
    "boosting": {"learning_rate": (0.1, 0.03), "max_leaf_nodes": (15, 31, 7)},
    "mlp": {"alpha": (1e-4, 1e-2, 1.0), "hidden_layer_sizes": ((100,), (50,))},
    "logistic": {"C": (1.0, 0.1, 0.01, 10.0)},
}
"""Settings of each classifier that are tried, the usual one first; a number for the svm's gamma is times that of `scale`."""


def members(learner: str) -> tuple[str, ...]:
    """Return the classifiers of a learner: itself, or those that vote."""
    return VOTERS if learner == "vote" else (learner,)


def candidates(learner: str, most: int, features: int) -> list[dict[str, Any]]:
    """Return settings of a classifier to try, the usual ones first, then spread evenly over its grid.

    Args:
        learner: Name of a classifier.
        most: How many at most.
        features: Width of what it is given; the svm's gamma is in units of its inverse.
    """
    grid = _TRIED[learner]
    every = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    chosen = np.unique(np.linspace(0, len(every) - 1, min(most, len(every))).round().astype(int))
    found = [every[place] for place in chosen]
    for one in found:
        if isinstance(one.get("gamma"), float):
            one["gamma"] = one["gamma"] / features
    return found


def make_pipeline(
    learner: str,
    settings: ClassicalSettings,
    chosen: Mapping[str, Any],
    shape: tuple[int, int],
    classes: int,
    seed: int,
) -> Pipeline:
    """Return the unfitted steps of a classifier: `scale`, `reduce` where it is asked for, and `classify`.

    Args:
        learner: Name of a classifier, not `vote`.
        settings: Reduction and class weights.
        chosen: Of the classifier's settings, see `candidates`.
        shape: Images and features that the least of its fits is given.
        classes: That they are of.
        seed: Of everything random in it.
    """
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    steps: list[tuple[str, Any]] = [("scale", StandardScaler())]
    if settings.reduction != "none":
        steps.append(("reduce", _reduction(settings, shape, classes, seed)))
    steps.append(("classify", _classifier(learner, settings.balance, seed).set_params(**chosen)))
    return Pipeline(steps)


def _reduction(settings: ClassicalSettings, shape: tuple[int, int], classes: int, seed: int) -> BaseEstimator:
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.feature_selection import SelectKBest, mutual_info_classif

    images, features = shape
    if settings.reduction == "pca":
        return PCA(min(settings.components, images, features), random_state=seed)
    if settings.reduction == "lda":
        # With as many features as images the plain one fits noise; Ledoit and Wolf's shrinkage needs no setting.
        return LinearDiscriminantAnalysis(
            solver="eigen", shrinkage="auto", n_components=min(settings.components, classes - 1, features)
        )
    return SelectKBest(partial(mutual_info_classif, random_state=seed), k=min(settings.components, features))


def _classifier(learner: str, balance: str, seed: int) -> BaseEstimator:
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeClassifier

    weights = "balanced" if balance == "weights" else None
    made: dict[str, Any] = {
        "svm": lambda: SVC(class_weight=weights, random_state=seed),
        "forest": lambda: RandomForestClassifier(300, class_weight=weights, n_jobs=-1, random_state=seed),
        "knn": KNeighborsClassifier,
        "bayes": GaussianNB,
        "tree": lambda: DecisionTreeClassifier(class_weight=weights, random_state=seed),
        "boosting": lambda: HistGradientBoostingClassifier(
            early_stopping=False, class_weight=weights, random_state=seed
        ),
        "mlp": lambda: MLPClassifier(max_iter=500, random_state=seed),
        "logistic": lambda: LogisticRegression(class_weight=weights, max_iter=5000, random_state=seed),
    }
    estimator: BaseEstimator = made[learner]()
    return estimator
