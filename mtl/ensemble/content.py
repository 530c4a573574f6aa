"""Everything that is said of an ensemble: chosen on the validation part, scored once on the test part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mtl.comparison.compare import ImageTests, compare_predictions
from mtl.comparison.tables import Predictions as Table
from mtl.ensemble.changes import Change, changes_of
from mtl.ensemble.members import Member
from mtl.ensemble.selection import Selection, select
from mtl.ensemble.settings import EnsembleSettings, Rule
from mtl.runs import Predictions
from mtl.statistics import holm_defined
from stages.learners.ensemble.choose import (
    Chosen,
    Fit,
    cross_fitted,
    likeliest_weights,
    log_loss,
    on_grid,
    right_of_all,
    stacked,
    steadiest_weights,
)
from stages.learners.ensemble.combine import Stack, Vote
from stages.metrics import Evaluation, Interval, evaluate, paired_difference

__all__ = ["RULES", "Against", "EnsembleContent", "Method", "Watched", "combine_members"]

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

RULES: Mapping[Rule, str] = {
    "equal": "equal weights",
    "weighted": "given weights",
    "grid": "grid of paper D",
    "optimised": "optimised weights",
    "stacking": "stacking",
}


@dataclass(frozen=True)
class Watched:
    """Scores on the validation part; those of a rule are cross-fitted.

    Attributes:
        right: Share of right answers; an image without an answer counts as not right.
        macro_f1: Of the most probable classes.
        log_loss: Less is better.
    """

    right: float
    macro_f1: float
    log_loss: float


@dataclass(frozen=True)
class Method:
    """A member or a rule, and how it does.

    Attributes:
        name: For people.
        how: How the members are combined; empty for a member.
        single: Whether it is a member.
        chosen: The combination; None for a member.
        validation: Scores.
        test: What it says of the test images.
        evaluation: Scores of it.
        coverage: Share of the test images with an answer.
        answered: Share of right ones among these; NaN without any.
    """

    name: str
    how: str
    single: bool
    chosen: Chosen | None
    validation: Watched
    test: Predictions
    evaluation: Evaluation
    coverage: float
    answered: float


@dataclass(frozen=True)
class Against:
    """The ensemble minus another method on the same test images.

    Attributes:
        other: Its name.
        accuracy: With a 95 % interval of a bootstrap over groups.
        macro_f1: The same.
        tests: Bootstrap, McNemar, DeLong.
        adjusted: p of the bootstrap of accuracies after Holm, over all methods here.
    """

    other: str
    accuracy: Interval
    macro_f1: Interval
    tests: ImageTests
    adjusted: float


@dataclass(frozen=True)
class EnsembleContent:
    """Everything in a report.

    Attributes:
        settings: As given.
        members: In order.
        methods: Members first, then rules.
        main: The ensemble: the method of the rule that was asked for.
        best: The single model that does best on the validation part (its macro F1, then its log-loss).
        against: The ensemble minus every member and equal weights.
        changes: What it changes of what each member said.
        selection: The grid on validation and test part, and what choosing on the test part would have claimed.
        curves: Thresholds, coverage and accuracy of the answers, by method.
        notes: What the reader must know, in plain sentences.
        command: As typed.
        environment: Versions, processor, date.
    """

    settings: EnsembleSettings
    members: tuple[Member, ...]
    methods: tuple[Method, ...]
    main: Method
    best: Method
    against: tuple[Against, ...]
    changes: tuple[Change, ...]
    selection: Selection
    curves: Mapping[str, tuple[tuple[float, float, float], ...]]
    notes: tuple[str, ...]
    command: str
    environment: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return plain values; what is not defined is NaN."""
        methods = [
            {
                "name": one.name, "how": one.how, "single": one.single, "validation": one.validation,
                "threshold": one.chosen.threshold if one.chosen else 0.0,
                "combination": one.chosen.combination.model_dump(mode="json") if one.chosen else None,
                "evaluation": one.evaluation.to_json(), "coverage": one.coverage, "answered": one.answered,
            }
            for one in self.methods
        ]  # fmt: skip
        return {
            "name": self.settings.name,
            "rule": self.settings.rule,
            "main": self.main.name,
            "best_single": self.best.name,
            "members": [
                {"name": one.name, "folder": str(one.folder), "key": one.key} for one in self.members
            ],
            "methods": methods,
            "against": self.against,
            "changes": self.changes,
            "selection": self.selection,
            "curves": self.curves,
            "notes": self.notes,
            "command": self.command,
            "environment": self.environment,
        }


def combine_members(
    members: Sequence[Member], settings: EnsembleSettings, command: str, environment: Mapping[str, str]
) -> EnsembleContent:
    """Choose on the validation part, score on the test part.

    Args:
        members: Aligned, two or more.
        settings: Rule, threshold, folds.
        command: As typed.
        environment: Versions, processor, date.

    Raises:
        ConfigError: If weights do not fit the members.
        DataError: If the validation part is one group alone.
    """
    settings.check(len(members))
    judge = _Judge(members, settings)
    singles = [judge.single(place) for place in range(len(members))]
    rules = {rule: judge.rule(rule, fit) for rule, fit in _fits(settings).items()}
    main = rules[settings.rule]
    best = min(singles, key=lambda one: (-round(one.validation.macro_f1, 9), one.validation.log_loss))
    beside = [*singles, *([rules["equal"]] if settings.rule != "equal" else [])]
    threshold = main.chosen.threshold if main.chosen else 0.0
    changes = [change for one in singles for change in changes_of(one.name, one.test, main.test, threshold)]
    selection = select(
        judge.watched, judge.watch_labels, judge.tested, judge.test_labels, members[0].test.groups,
        settings.thresholds, resamples=settings.resamples, seed=settings.seed,
    )  # fmt: skip
    shown = {one.name: one for one in (main, rules["equal"], best)}.values()
    return EnsembleContent(
        settings=settings,
        members=tuple(members),
        methods=(*singles, *rules.values()),
        main=main,
        best=best,
        against=_against(main, beside, settings),
        changes=tuple(changes),
        selection=selection,
        curves={one.name: _curve(one.test.probabilities, judge.test_labels) for one in shown},
        notes=tuple(_notes(members, judge)),
        command=command,
        environment=environment,
    )


class _Judge:
    """Scores members and rules on both parts."""

    def __init__(self, members: Sequence[Member], settings: EnsembleSettings) -> None:
        self.members, self.settings = members, settings
        first = members[0]
        self.watched = np.stack([one.validation.probabilities for one in members])
        self.tested = np.stack([one.test.probabilities for one in members])
        self.watch_labels, self.test_labels = first.validation.truth(), first.test.truth()
        self.groups = (
            np.unique(np.array(first.validation.groups), return_inverse=True)[1].ravel().astype(np.int64)
        )

    def single(self, place: int) -> Method:
        """Return a member, scored."""
        said = self.watched[place]
        return self._method(
            self.members[place].name, "", None, _watch(said, self.watch_labels, 0.0), self.tested[place]
        )

    def rule(self, rule: Rule, fit: Fit) -> Method:
        """Return a rule, fitted on the validation part and scored."""
        chosen = fit(self.watched, self.watch_labels, self.groups)
        said, bounds = cross_fitted(
            fit, self.watched, self.watch_labels, self.groups, self.settings.folds, self.settings.seed
        )
        watched = _watch(said, self.watch_labels, bounds)
        how = _how(chosen, [one.name for one in self.members])
        return self._method(RULES[rule], how, chosen, watched, chosen.combination(self.tested))

    def _method(self, name: str, how: str, chosen: Chosen | None, watched: Watched, votes: Floats) -> Method:
        first, settings = self.members[0].test, self.settings
        told = replace(
            first, predicted=tuple(first.classes[k] for k in votes.argmax(axis=1)), probabilities=votes
        )
        evaluation = evaluate(
            self.test_labels,
            votes,
            first.groups,
            first.classes,
            resamples=settings.resamples,
            seed=settings.seed,
        )
        sure = votes.max(axis=1) >= (chosen.threshold if chosen else 0.0)
        right = (votes.argmax(axis=1) == self.test_labels)[sure]
        answered = float(right.mean()) if len(right) else float("nan")
        return Method(
            name, how, chosen is None, chosen, watched, told, evaluation, float(sure.mean()), answered
        )


def _fits(settings: EnsembleSettings) -> dict[Rule, Fit]:
    bound = settings.threshold or 0.0
    grid = settings.thresholds if settings.threshold is None else (settings.threshold,)

    def equal(votes: Floats, labels: Labels, groups: Labels) -> Chosen:
        return Chosen(Vote(weights=(1 / len(votes),) * len(votes)), bound)

    def weighted(votes: Floats, labels: Labels, groups: Labels) -> Chosen:
        return Chosen(Vote(weights=settings.weights), bound)

    def gridded(votes: Floats, labels: Labels, groups: Labels) -> Chosen:
        return on_grid(votes, labels, grid)

    def optimised(votes: Floats, labels: Labels, groups: Labels) -> Chosen:
        best = likeliest_weights if settings.criterion == "log_loss" else steadiest_weights
        return Chosen(best(votes, labels), bound)

    def stack(votes: Floats, labels: Labels, groups: Labels) -> Chosen:
        return Chosen(stacked(votes, labels, groups, settings.seed, settings.folds), bound)

    fits: dict[Rule, Fit] = {
        "equal": equal, "weighted": weighted, "grid": gridded, "optimised": optimised, "stacking": stack,
    }  # fmt: skip
    return {rule: fit for rule, fit in fits.items() if rule != "weighted" or settings.weights}


def _watch(said: Floats, labels: Labels, bound: float | Floats) -> Watched:
    named = [str(k) for k in range(said.shape[1])]
    scores = evaluate(labels, said, None, named, resamples=1).headline
    return Watched(right_of_all(said, labels, bound), scores["macro_f1"].value, log_loss(said, labels))


def _how(chosen: Chosen, names: Sequence[str]) -> str:
    if isinstance(chosen.combination, Stack):
        text = "logistic regression on log-probabilities"
    else:
        parts = zip(chosen.combination.weights, names, strict=True)
        text = " + ".join(f"{weight:.3g} {name}" for weight, name in parts)
    return f"{text}, no answer below {chosen.threshold:g}" if chosen.threshold else text


def _against(main: Method, others: Sequence[Method], settings: EnsembleSettings) -> tuple[Against, ...]:
    labels, groups = main.test.truth(), main.test.groups

    def difference(other: Method, metric: str) -> Interval:
        return paired_difference(
            labels, main.test.probabilities, other.test.probabilities, groups, metric,
            resamples=settings.resamples, seed=settings.seed,
        )  # fmt: skip

    tests = [compare_predictions(_rows(main), _rows(other)) for other in others]
    adjusted = holm_defined([one.tests[0].p for one in tests])
    return tuple(
        Against(other.name, difference(other, "accuracy"), difference(other, "macro_f1"), test, float(p))
        for other, test, p in zip(others, tests, adjusted, strict=True)
    )


def _rows(method: Method) -> Table:
    told = method.test
    names = zip(
        told.names, told.labels, told.predicted, told.groups, told.probabilities.tolist(), strict=True
    )
    return Table(
        method.name,
        {
            name: (label, said, group, dict(zip(told.classes, votes, strict=True)))
            for name, label, said, group, votes in names
        },
    )


def _curve(votes: Floats, labels: Labels) -> tuple[tuple[float, float, float], ...]:
    sure, right = votes.max(axis=1), votes.argmax(axis=1) == labels
    points = []
    for bound in np.linspace(0, 0.99, 100).round(2):
        kept = sure >= bound
        if kept.any():
            points.append((float(bound), float(kept.mean()), float(right[kept].mean())))
    return tuple(points)


def _notes(members: Sequence[Member], judge: _Judge) -> list[str]:
    data = members[0].data
    kind = " (rendered smears, not patient data)" if data.rendered else ""
    watched, tested = len(judge.watch_labels), len(judge.test_labels)
    groups = len(set(members[0].validation.groups)), len(set(members[0].test.groups))
    notes = [
        f"Data: {data.dataset}{kind}; groups: {data.unit}; split: {data.split}. Chosen on the {watched} images of {groups[0]} groups of the "
        f"validation part, scored on {tested} images of {groups[1]} groups of the test part, which had no say.",
        "Validation scores of rules are cross-fitted: every image is scored by what was fitted on the other folds of groups. Those of single "
        "models are a little too good: their best epoch may have been kept on the same images.",
        "The test part's intervals are of a bootstrap over groups, the same draws for all methods. They hold what other test groups would "
        "change, and not what another training would.",
    ]
    absent = [name for k, name in enumerate(members[0].test.classes) if not (judge.watch_labels == k).any()]
    if absent:
        notes.append(
            f"The validation part holds no {', '.join(absent)}: stacking never says so, and no rule was chosen for it."
        )
    if len({one.data.fingerprint for one in members}) > 1:
        notes.append(
            "The members did not learn from the same images, labels or groups, but were tested on the same ones."
        )
    return notes
