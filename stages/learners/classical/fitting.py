"""Fit one pipeline: its settings chosen, and its scores made probabilities, by grouped folds inside the training part."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.classical_settings import ClassicalSettings
from stages.errors import ModelError
from stages.learners.classical.pipelines import candidates, make_pipeline

__all__ = ["Fold", "fit_pipeline", "grouped_folds", "inner_folds"]

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
Fold = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


def fit_pipeline(
    learner: str,
    settings: ClassicalSettings,
    features: Floats,
    labels: Labels,
    groups: Labels,
    names: tuple[str, ...],
    seed: int,
) -> Any:
    """Return a fitted classifier that gives probabilities.

    Args:
        learner: Name of a classifier, not `vote`.
        settings: Reduction, folds, how many settings are tried.
        features: Of the training part, (M, F).
        labels: Its class indices, (M,).
        groups: Whose images they are, (M,): no group is on two sides of a fold.
        names: Of the classes.
        seed: Of folds and of everything random in the classifier.

    Returns:
        A pipeline, or a calibrated one (Platt's sigmoid on the votes that the folds gave) where its classifier knows no probabilities.

    Raises:
        ModelError: If there is one class, or a class has too few groups for folds where they are needed.
    """
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import GridSearchCV

    present = np.unique(labels)
    if len(present) < 2:
        got = f"{names[present[0]]} alone" if len(present) else "no image"
        raise ModelError(
            f"Expected the training part to hold two classes or more, but got {got}; do split it otherwise or add data"
        )
    tried = candidates(learner, settings.candidates, features.shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is as good as its score
        folds: list[Fold] = []
        if len(tried) > 1 or learner == "svm":
            folds = inner_folds(labels, groups, settings.folds, names, seed)
        least = min((len(train) for train, _ in folds), default=len(labels))
        shape = (least, features.shape[1])
        made = make_pipeline(learner, settings, tried[0], shape, len(present), seed)
        if len(tried) > 1:
            grid = [{f"classify__{key}": [value] for key, value in one.items()} for one in tried]
            search = GridSearchCV(made, grid, scoring="f1_macro", cv=folds, refit=False, error_score="raise")
            made.set_params(**search.fit(features, labels).best_params_)
        if not hasattr(made, "predict_proba"):
            made = CalibratedClassifierCV(made, cv=folds, ensemble=False)
        return _plain(made.fit(features, labels))


def inner_folds(labels: Labels, groups: Labels, count: int, names: tuple[str, ...], seed: int) -> list[Fold]:
    """Return folds as (rows that train, rows that are tested), no group on two sides, every class in each training side.

    Args:
        labels: Class indices, (M,).
        groups: (M,).
        count: Of the folds; where so few groups hold a class that it would be missing somewhere there are fewer or more.
        names: Of the classes.
        seed: Of the assignment.

    Raises:
        ModelError: If a class stands in a single group.
    """
    owners = {int(one): np.unique(groups[labels == one]) for one in np.unique(labels)}
    scarce = min(owners, key=lambda one: len(owners[one]))
    if len(owners[scarce]) < 2:
        raise ModelError(
            f"Expected every class of the training part to stand in two groups or more, so that folds can tune and calibrate, but "
            f"{names[scarce]} has 1; do leave rare classes out by `data.least_groups`, or tune nothing with "
            "`classical.candidates=1` and a learner other than svm"
        )
    return grouped_folds(labels, groups, count, seed)


def grouped_folds(labels: Labels, groups: Labels, count: int, seed: int) -> list[Fold]:
    """Return folds as (rows that train, rows that are tested), classes dealt evenly; see `inner_folds`.

    Args:
        labels: Class indices, (M,); each class in two groups or more.
        groups: (M,).
        count: Of the folds; where so few groups hold a class that it would be missing somewhere there are fewer or more.
        seed: Of the assignment.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    owners = {int(one): np.unique(groups[labels == one]) for one in np.unique(labels)}
    if count <= min(len(np.unique(groups)), np.bincount(labels).max()):
        dealer = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of classes smaller than folds
            folds: list[Fold] = list(dealer.split(labels, labels, groups))
        if all(len(np.unique(labels[train])) == len(owners) and len(test) for train, test in folds):
            return folds
    return _dealt(groups, list(owners.values()), count)


def _dealt(groups: Labels, owners: list[Labels], count: int) -> list[Fold]:
    """Return folds of whole groups, each dealt to the emptiest that does not hold all of a class then, or to a new one."""
    wanted = [set(own.tolist()) for own in owners]
    parts: list[set[int]] = [set() for _ in range(count)]
    for group in np.unique(groups).tolist():
        free = [part for part in parts if not any(own <= part | {group} for own in wanted)]
        if free:
            min(free, key=len).add(group)
        else:
            parts.append({group})
    inside = [np.isin(groups, list(part)) for part in parts if part]
    return [(np.flatnonzero(~chosen), np.flatnonzero(chosen)) for chosen in inside]


def _plain(fitted: Any) -> Any:
    """Return it without the function that chose features and without folds: a file shall hold what was learned."""
    from sklearn.feature_selection import SelectKBest

    inner = [one.estimator for one in getattr(fitted, "calibrated_classifiers_", ())]
    outer = [fitted.estimator] if inner else [fitted]
    if inner:
        fitted.set_params(cv=None)  # and no rows of the training part
    for pipeline in [*inner, *outer]:
        if isinstance(step := pipeline.named_steps.get("reduce"), SelectKBest):
            step.set_params(score_func=None)
    return fitted
