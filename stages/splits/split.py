"""The record of a split: which sample is in which part; its check, its file."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from segmentation.files import write_json
from stages.data.sample import Sample
from stages.errors import DataError

__all__ = ["PARTS", "Part", "Split", "check_names", "check_split", "group_of", "load_split", "save_split"]

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True)
class Split:
    """Which sample is in which part.

    Attributes:
        train: Names of samples, sorted.
        validation: The same; may be empty.
        test: The same.
        left_out: In no part; `notes` say why.
        method: How it was made.
        unit: What the groups are, such as `"patient"`.
        seed: Of the assignment.
        notes: Plain sentences for the report.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    left_out: tuple[str, ...]
    method: str
    unit: str
    seed: int
    notes: tuple[str, ...] = ()

    def part_of(self) -> dict[str, Part]:
        """Return the part of every sample that is in one."""
        return {name: part for part in PARTS for name in getattr(self, part)}

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json` can write."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Split:
        """Return the split that `to_json` wrote.

        Raises:
            KeyError: If a part is missing.
            TypeError: If one is not a list of names.
        """
        return cls(
            **{key: _texts(value[key]) for key in (*PARTS, "left_out")},
            method=str(value["method"]),
            unit=str(value["unit"]),
            seed=int(value["seed"]),
            notes=_texts(value.get("notes", [])),
        )


def _texts(value: object) -> tuple[str, ...]:
    # A lone text would pass for a list of letters.
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        raise TypeError(f"{str(value)[:40]!r} is no list of names")
    return tuple(value)


def group_of(sample: Sample) -> str:
    """Return what a split keeps together: the group, or the sample itself where nothing is known.

    Examples:
        >>> from pathlib import Path
        >>> group_of(Sample(Path("a.png"), "a.png", "normal", "folder", group="slide 1"))
        'slide 1'
    """
    return sample.group if sample.group is not None else f"{sample.dataset}:{sample.name}"


def check_names(samples: Sequence[Sample]) -> None:
    """Refuse an empty list of samples, and a name that stands for two images.

    Raises:
        DataError: In both cases.
    """
    names = Counter(sample.name for sample in samples)
    twice = next((name for name, count in names.items() if count > 1), None)
    if twice or not samples:
        raise DataError(
            f"Expected samples with names of their own, but got {twice or 'no sample'!r}; do list every image once"
        )


def check_split(split: Split, samples: Sequence[Sample], whole_test: bool = True) -> None:
    """Refuse a split that leaks or does not fit its samples.

    Args:
        split: To be checked.
        samples: All that it should list.
        whole_test: Whether the test part must hold every class.

    Raises:
        DataError: On a name that is unknown, missing or in two parts, a group in two parts, or a class that is absent
            from the training or test part (so neither is empty). The validation part may be empty.
    """
    check_names(samples)
    known = {sample.name: sample for sample in samples}
    listed = Counter(name for key in (*PARTS, "left_out") for name in getattr(split, key))
    twice = next((name for name, count in listed.items() if count > 1), None)
    unknown = next((name for name in listed if name not in known), None)
    missing = next((name for name in known if name not in listed), None)
    if twice or unknown or missing:
        what = (
            f"{twice!r} twice"
            if twice
            else f"{unknown!r}, which the data lack"
            if unknown
            else f"no {missing!r}"
        )
        raise DataError(
            f"Expected the split to list every image once, but it lists {what}; do make it again from the same data"
        )
    places: dict[str, set[Part]] = defaultdict(set)
    for name, part in split.part_of().items():
        places[group_of(known[name])].add(part)
    torn = next((group for group, parts in places.items() if len(parts) > 1), None)
    if torn:
        parts = " and ".join(sorted(places[torn]))
        raise DataError(
            f"Expected every group in one part, but {torn!r} is in {parts}: the split leaks; do make it again"
        )
    labels = {sample.label for sample in samples}
    for part in ("train", "test") if whole_test else ("train",):
        absent = labels - {known[name].label for name in getattr(split, part)}
        if absent:
            count = sum(sample.label in absent for sample in samples)
            raise DataError(
                f"Expected every class in the {part} part, but {', '.join(sorted(absent))} ({count} images in all) is absent; "
                f"do add images or change `split.{part if part == 'test' else 'validation'}`"
            )


def save_split(split: Split, path: Path) -> None:
    """Write a split as JSON.

    Raises:
        WriteError: If the folder is missing, full or not writable.
    """
    write_json(path, split.to_json())


def load_split(path: Path) -> Split:
    """Read a split.

    Raises:
        DataError: If the file is missing or is no split.
    """
    try:
        return Split.from_json(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise DataError(
            f"Expected {path} to be a saved split, but it cannot be read ({reason}); do give the `splits` folder of a run"
        ) from error
