"""Images of which an ensemble says something else than a single network: corrected, spoilt, or no longer answered.

Paper D (Patel et al. 2025) lists images that a single network got wrong and the ensemble right, by class against the rest:
a false negative becomes a true positive, a false positive a true negative. What is spoilt stands beside it here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mtl.runs import Predictions
from segmentation.files import make_folder, write_bytes

__all__ = ["GAINS", "Change", "changes_of", "copy_changed", "count_changes"]

Turn = Literal["FN -> TP", "FP -> TN", "TP -> FN", "TN -> FP"]
GAINS: tuple[Turn, Turn] = ("FN -> TP", "FP -> TN")


@dataclass(frozen=True)
class Change:
    """One image, one class.

    Attributes:
        member: Of which network.
        name: Of the image.
        label: What is true.
        before: What the network said.
        after: What the ensemble says.
        answered: Whether the ensemble is sure enough to answer.
        of: The class.
        turn: What became of it against all others.
    """

    member: str
    name: str
    label: str
    before: str
    after: str
    answered: bool
    of: str
    turn: Turn

    @property
    def gained(self) -> bool:
        """Whether it is corrected, not spoilt."""
        return self.turn in GAINS


def changes_of(
    member: str, single: Predictions, ensemble: Predictions, threshold: float
) -> tuple[Change, ...]:
    """Return what the ensemble changes of what a network said, class by class.

    Args:
        member: Name of the network.
        single: What it said.
        ensemble: What the ensemble says of the same images in the same order.
        threshold: Below which it gives no answer; the change is listed and marked.
    """
    sure = ensemble.probabilities.max(axis=1) >= threshold
    found = []
    rows = zip(single.names, single.labels, single.predicted, ensemble.predicted, sure.tolist(), strict=True)
    for name, label, before, after, answered in rows:
        if before == after:
            continue
        turns: list[tuple[str, Turn]] = []
        turns.append((before, "TP -> FN" if before == label else "FP -> TN"))
        turns.append((after, "FN -> TP" if after == label else "TN -> FP"))
        found += [Change(member, name, label, before, after, answered, of, turn) for of, turn in turns]
    return tuple(found)


def count_changes(changes: Sequence[Change], classes: Sequence[str]) -> list[tuple[str, dict[str, int]]]:
    """Return how often each turn came, by class, and `all` at the end; what is not answered is left out of them and counted apart."""
    rows = []
    for of in (*classes, "all"):
        own = [one for one in changes if of in (one.of, "all")]
        counts: Counter[str] = Counter(one.turn for one in own if one.answered)
        counts["no answer"] = sum(not one.answered for one in own)
        rows.append((of, dict(counts)))
    return rows


def copy_changed(changes: Sequence[Change], files: dict[str, Path], folder: Path) -> int:
    """Copy images into `MEMBER/TURN/CLASS/`, as paper D does, and return how many were copied.

    Args:
        changes: Which.
        files: Where the image of each name lies; one that is not there is not copied.
        folder: Where to.

    Raises:
        WriteError: If they cannot be written.
    """
    count = 0
    for one in changes:
        source = files.get(one.name)
        if not one.answered or source is None or not source.is_file():
            continue
        place = folder / one.member / one.turn.replace(" -> ", "-") / one.of.replace("/", "_")
        make_folder(place)
        write_bytes(place / one.name.replace("/", "_"), source.read_bytes(), durable=False)
        count += 1
    return count
