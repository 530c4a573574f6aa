"""Two chains on the same images, the test part and every external test: the paired difference and the sentence about it."""

from __future__ import annotations

from collections.abc import Sequence

from mtl.records import Comparison, LearnedRecord
from mtl.run.empty import began_alike
from mtl.runs import Predictions, StageFolder
from stages.metrics import Interval, paired_difference

__all__ = ["compare_chains", "comparison_sentence", "points"]


def compare_chains(
    chains: Sequence[tuple[str, Sequence[StageFolder]]], resamples: int, seed: int
) -> tuple[Comparison | None, tuple[Comparison, ...]]:
    """Compare the last stages of the first two chains.

    Args:
        chains: Names and folders of finished stages.
        resamples: Of the bootstrap over groups.
        seed: Of the bootstrap.

    Returns:
        The difference on the test part, None where there is nothing to compare, and that on every external test that both
        were scored on.
    """
    if len(chains) < 2:
        return None, ()
    (first, one), (second, other) = ((chain, stages[-1]) for chain, stages in chains[:2])
    records = [told for folder in (one, other) if isinstance(told := folder.record(), LearnedRecord)]
    if len(records) < 2:
        return None, ()
    alike = began_alike(records[0].start, records[1].start)

    def compare(told: Predictions, against: Predictions, test: str | None = None) -> Comparison | None:
        if (told.names, told.labels, told.classes) != (against.names, against.labels, against.classes):
            return None
        labels = told.truth()

        def difference(metric: str) -> Interval:
            return paired_difference(
                labels, told.probabilities, against.probabilities, told.groups, metric,
                resamples=resamples, seed=seed,
            )  # fmt: skip

        return Comparison(
            first=first, second=second, same_start=alike, test=test,
            accuracy=difference("accuracy"), macro_f1=difference("macro_f1"),
        )  # fmt: skip

    within = None
    if records[0].evaluation and records[1].evaluation:
        within = compare(one.predictions(), other.predictions())
    tables = [{test.source.name: test.predictions for test in record.tests} for record in records]
    shared = [name for name in tables[0] if name in tables[1]]
    external = [compare(one.predictions(tables[0][n]), other.predictions(tables[1][n]), n) for n in shared]
    return within, tuple(found for found in external if found)


def comparison_sentence(told: Comparison | None) -> str | None:
    """Return what a comparison says, or None where a chain would be compared with itself."""
    if told is None or told.same_start:
        return None
    change = told.macro_f1
    where = f" of the external test {told.test}" if told.test else ""
    pair = f"{told.first} against {told.second} on the same images{where}: {points(change)} of macro F1."
    if not (change.low > 0 or change.high < 0):
        return f"{pair} This one split and seed show no difference; repeats decide."
    better = told.first if change.value > 0 else told.second
    return f"{pair} On these images {better} is ahead; one split and seed are no proof, repeats decide."


def points(difference: Interval) -> str:
    """Return a difference in points of a hundred with its interval."""
    value, low, high = (100 * number for number in (difference.value, difference.low, difference.high))
    return f"{value:+.1f} points [95 % interval {low:+.1f} to {high:+.1f}]"
