"""Classes that are too rare to be split: left out or made one, and told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from stages.data.sample import Sample
from stages.data_settings import DataSettings
from stages.errors import DataError

__all__ = ["RARE", "settle_rare"]

RARE = "rare"
"""What merged classes are called."""


def settle_rare(samples: Sequence[Sample], settings: DataSettings) -> tuple[list[Sample], tuple[str, ...]]:
    """Return the samples with rare classes dropped or merged, and a sentence for the report.

    A class is rare that is found in fewer than `least_groups` groups (an image without a group is one of its own): no split could
    train, validate and test on it.

    Args:
        samples: Labelled.
        settings: `rare` and `least_groups`.

    Examples:
        >>> from pathlib import Path
        >>> cells = [Sample(Path("-"), f"{n}", "ab"[n > 3], "x", f"patient {n}") for n in range(5)]
        >>> kept, (note,) = settle_rare(cells, DataSettings(dataset="x", rare="drop"))
        >>> len(kept), note
        (4, 'Left out as too rare, in fewer than 3 groups: b (1 images in 1 groups).')

    Raises:
        DataError: If classes that are merged are too rare together.
    """
    if settings.rare == "stop":
        return list(samples), ()
    groups: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        groups[sample.label].add(sample.group or sample.name)
    few = sorted(label for label, found in groups.items() if len(found) < settings.least_groups)
    if not few:
        return list(samples), ()
    counts = {label: sum(sample.label == label for sample in samples) for label in few}
    told = ", ".join(f"{label} ({counts[label]} images in {len(groups[label])} groups)" for label in few)
    if settings.rare == "drop":
        kept = [sample for sample in samples if sample.label not in counts]
        return kept, (f"Left out as too rare, in fewer than {settings.least_groups} groups: {told}.",)
    together = set.union(*(groups[label] for label in few))
    if len(together) < settings.least_groups:
        raise DataError(
            f"Expected rare classes to be in `data.least_groups` = {settings.least_groups} groups together, but {', '.join(few)} are in "
            f"{len(together)}; do set `data.rare=drop`"
        )
    merged = [replace(sample, label=RARE) if sample.label in counts else sample for sample in samples]
    return merged, (f"Made one class `{RARE}`, each in fewer than {settings.least_groups} groups: {told}.",)
