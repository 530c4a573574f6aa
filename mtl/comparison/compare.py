"""Everything a comparison says, computed from scores or predictions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from mtl.comparison.tables import Predictions, Scores
from mtl.errors import ConfigError
from mtl.statistics import (
    Comparison,
    FriedmanResult,
    NemenyiResult,
    SelfCheck,
    TestResult,
    bootstrap_difference,
    compare_pairs,
    delong_test,
    friedman,
    holm_defined,
    mcnemar,
    nemenyi,
    self_check,
    verdict_of,
)

__all__ = ["Compared", "ImageTests", "Splits", "compare_predictions", "compare_scores"]


@dataclass(frozen=True)
class Splits:
    """How the splits were made; one of the three.

    Attributes:
        test_fraction: Share of every split that is tested.
        counts: Images trained on and tested, on average.
        folds: Folds of a (repeated) k-fold.
    """

    test_fraction: float | None = None
    counts: tuple[int, int] | None = None
    folds: int | None = None


@dataclass(frozen=True)
class Compared:
    """What is said about K methods on the same splits.

    Attributes:
        title: What is compared.
        scores: The table.
        pairs: Every two methods; of each the one that came later in the table first.
        adjusted: p of each pair's deciding test after Holm, or None where there is one pair.
        verdicts: One plain sentence a pair.
        friedman: All methods at once, for three or more.
        nemenyi: Which of them differ.
        checks: That every printed p follows from its statistic and df.
    """

    title: str
    scores: Scores
    pairs: tuple[Comparison, ...]
    adjusted: tuple[float | None, ...]
    verdicts: tuple[str, ...]
    friedman: FriedmanResult | None
    nemenyi: NemenyiResult | None
    checks: tuple[SelfCheck, ...]


@dataclass(frozen=True)
class ImageTests:
    """Two models on the same images.

    Attributes:
        first: Name of one.
        second: Of the other.
        n: Images.
        groups: Groups that they belong to.
        first_accuracy: From 0 to 1.
        second_accuracy: From 0 to 1.
        tests: Bootstrap over groups first, which decides; then McNemar, and DeLong where there are probabilities.
        verdict: One plain sentence.
        checks: That every printed p follows from its statistic and df.
    """

    first: str
    second: str
    n: int
    groups: int
    first_accuracy: float
    second_accuracy: float
    tests: tuple[TestResult, ...]
    verdict: str
    checks: tuple[SelfCheck, ...]


def compare_scores(scores: Scores, splits: Splits, rope: float = 1.0, title: str = "Scores") -> Compared:
    """Compare every two methods of a table.

    Args:
        scores: Two methods or more.
        splits: How the splits were made.
        rope: Differences up to so many points are practically none.
        title: For people.

    Raises:
        StatisticsError: If the numbers permit no test at all.
    """
    trained, tested = splits.counts or (None, None)
    pairs = [
        compare_pairs(
            scores.values[:, b], scores.values[:, a], test_fraction=splits.test_fraction, n_train=trained, n_test=tested,
            folds=splits.folds, rope=rope / scores.points, first_name=scores.names[b], second_name=scores.names[a],
            points=scores.points,
        )
        for a, b in combinations(range(len(scores.names)), 2)
    ]  # fmt: skip
    adjusted = _adjust(pairs)
    verdicts = tuple(
        verdict_of(
            pair.main, pair.first_name, pair.second_name, points=scores.points, adjusted_p=p, power=pair.power
        )
        for pair, p in zip(pairs, adjusted, strict=True)
    )
    several = len(scores.names) > 2
    tests = [test for pair in pairs for test in pair.tests]
    return Compared(
        title, scores, tuple(pairs), adjusted, verdicts,
        friedman(scores.values, scores.names) if several else None,
        nemenyi(scores.values, scores.names) if several else None,
        tuple(map(self_check, tests)),
    )  # fmt: skip


def compare_predictions(first: Predictions, second: Predictions) -> ImageTests:
    """Compare two models on the same images.

    Args:
        first: What one said.
        second: What the other said, of the same images.

    Raises:
        ConfigError: If the images or their labels are not the same.
    """
    names = sorted(first.rows)
    if set(names) != set(second.rows):
        only = sorted(set(names) ^ set(second.rows))
        raise ConfigError(
            f"Expected {first.model} and {second.model} to hold the same images, but {len(only)} stand in one alone, such as {only[0]!r}; "
            "do compare models on the same test part"
        )
    different = [name for name in names if first.rows[name][0] != second.rows[name][0]]
    if different:
        raise ConfigError(
            f"Expected {first.model} and {second.model} to agree on the labels, but {different[0]!r} has two; do use the same data"
        )
    if len(names) < 2:
        raise ConfigError(
            f"Expected {first.model} to hold two images or more, but got {len(names)}; do test more"
        )
    ours, theirs = (
        np.array([float(one.rows[n][0] == one.rows[n][1]) for n in names]) for one in (first, second)
    )
    groups = [first.rows[name][2] for name in names]
    tests = [
        replace(bootstrap_difference(ours, theirs, groups), name="accuracy, bootstrap over groups"),
        mcnemar(ours, theirs),
        mcnemar(ours, theirs, mid_p=True),
        *_delong(first, second, names),
    ]
    return ImageTests(
        first.model, second.model, len(names), len(set(groups)), float(ours.mean()), float(theirs.mean()),
        tuple(tests), verdict_of(tests[0], first.model, second.model), tuple(map(self_check, tests)),
    )  # fmt: skip


def _adjust(pairs: list[Comparison]) -> tuple[float | None, ...]:
    if len(pairs) < 2:
        return (None,) * len(pairs)
    adjusted = holm_defined([pair.main.p for pair in pairs])
    return tuple(float(p) if np.isfinite(p) else None for p in adjusted)


def _delong(first: Predictions, second: Predictions, names: list[str]) -> list[TestResult]:
    classes = list(first.rows[names[0]][3])
    if not classes or classes != list(second.rows[names[0]][3]):
        return []
    results = []
    for label in classes[1:] if len(classes) == 2 else classes:
        truth = np.array([first.rows[name][0] == label for name in names])
        if 2 <= truth.sum() <= len(truth) - 2:
            votes = [np.array([one.rows[name][3][label] for name in names]) for one in (first, second)]
            test = delong_test(truth, *votes)
            results.append(replace(test, name=f"{test.name}, AUROC of {label}"))
    return results
