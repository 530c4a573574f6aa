"""What of a paper runs in so many minutes: pure arithmetic, so that the same budget gives the same numbers on every machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mtl.config import STAGE_FIELDS, Experiment, load_config
from mtl.reproduce.published import Paper

__all__ = ["KINDS", "Kind", "Sizes", "estimate", "experiment_for", "scale"]

Kind = Literal["groups", "images"]
KINDS: tuple[Kind, Kind] = ("groups", "images")
"""How images are parted: whole groups as everywhere here, or single images as the papers do, which leaks."""

_LADDER: tuple[tuple[int, int, int], ...] = (
    (224, 1000, 10), (224, 600, 8), (160, 600, 6), (128, 400, 5), (96, 300, 4), (96, 160, 3), (64, 100, 3), (64, 60, 2), (64, 30, 2),
)  # fmt: skip
"""Side in px, images a class at most, epochs; the last is run even where it takes longer."""

_RATE = 10e9  # multiplications with addition a second: tf_efficientnet_lite0 on two cores, forward and back
_BACK = 3.0  # forward and back, in forward passes
_FIXED = 25.0  # seconds of a run: reading, writing, imports
_SEGMENT = 0.6  # seconds of an image that a network segments
_CLASSES = 4
_SPLITS = 5
_LITTLE = 1e9  # of a backbone that the catalogue does not know


@dataclass(frozen=True)
class Sizes:
    """What is run.

    Attributes:
        image_size: Side in px; None for the paper's own.
        limit: Images a class at most; None for all.
        epochs: Of every stage; None for the paper's own.
        splits: That everything is repeated on.
        minutes: Estimated on two quiet cores; NaN for the paper's own sizes, which take hours or days.
    """

    image_size: int | None
    limit: int | None
    epochs: int | None
    splits: int
    minutes: float

    @property
    def sentence(self) -> str:
        """What was scaled, for the report."""
        many = "once" if self.splits == 1 else f"on {self.splits} splits"
        if self.image_size is None:
            return f"The paper's own sizes, {many}."
        return (
            f"Scaled to a budget: {self.image_size} px, at most {self.limit} images a class, {self.epochs} epochs, no enlarged copies, no "
            f"averaging over flips, {many} (about {self.minutes:.0f} minutes on two quiet cores). These are not the paper's sizes: scores "
            "are lower, and say what this size reaches."
        )


def scale(backbones: Sequence[str], experiment: Experiment, minutes: float) -> Sizes:
    """Return the largest sizes whose estimate is within a budget; the smallest where none is.

    Args:
        backbones: That are run.
        experiment: The paper's.
        minutes: 0 for the paper's own sizes.
    """
    if not minutes:
        return Sizes(None, None, None, 1, float("nan"))
    for size, limit, epochs in _LADDER:
        cost = estimate(backbones, experiment, size, limit, epochs)
        if cost <= minutes or (size, limit, epochs) == _LADDER[-1]:
            splits = max(1, min(_SPLITS, int(minutes // cost)))
            return Sizes(size, limit, epochs, splits, splits * cost)
    raise AssertionError("the ladder has a last rung")


def estimate(backbones: Sequence[str], experiment: Experiment, size: int, limit: int, epochs: int) -> float:
    """Return the minutes that one split in both kinds takes."""
    from stages.learners.network.catalogue import CATALOGUE

    numbers = [number for number in experiment.stages if experiment.learns(number)]
    images = limit * _CLASSES * len(numbers)
    seconds = 2 * _FIXED  # colour alone
    for name in backbones:
        known = CATALOGUE.get(name)
        work = known.macs * (size / known.input_size) ** 2 if known else _LITTLE
        seconds += 2 * (_FIXED + images * (epochs * _BACK + 1) * work / _RATE)
    if any(experiment.stage(number).preprocess.segment.method == "residual_unet" for number in numbers):
        seconds += images * _SEGMENT
    return seconds / 60


def experiment_for(
    paper: Paper, roots: Mapping[str, Any], sizes: Sizes, kind: Kind, split: int, seed: int, **more: Any
) -> Experiment:
    """Return the experiment of one network on one split.

    Args:
        paper: Gives the configuration.
        roots: Folder of every data set of it; None for one that is rendered.
        sizes: What is scaled.
        kind: How images are parted.
        split: Its number, from 0.
        seed: Of the first split.
        more: Dotted keys are not possible here: backbone, weights, name.
    """
    base = load_config(paper.config, _given(paper, roots))
    # A precision that a probe of speed chooses would be another on another machine, and the numbers, too.
    keys: dict[str, Any] = {
        "hardware.precision": "32-true",
        "against": "none",
        "seed": seed + split,
        "evaluation.baselines": False,
        **more,
    }
    for number in base.stages:
        if not base.learns(number):
            continue
        stage, settings = STAGE_FIELDS[number], base.stage(number)
        if sizes.image_size is not None:
            keys |= {
                f"{stage}.data.limit": sizes.limit, f"{stage}.preprocess.image_size": sizes.image_size, f"{stage}.train.epochs": sizes.epochs,
                f"{stage}.augment.copies": 1, f"{stage}.train.oversample_to": None, "evaluation.flips": False,
                "rendering.fields": max(32, min(160, _CLASSES * (sizes.limit or 0))),
                "rendering.crops": max(32, min(260, 2 * (sizes.limit or 0))),
            }  # fmt: skip
        if kind == "images":
            keys |= {
                f"{stage}.data.groups": "ignore", f"{stage}.split.method": "grouped", f"{stage}.split.near_duplicates": False,
            }  # fmt: skip
        elif settings.split.method == "block":
            keys[f"{stage}.split.offset"] = round(split * settings.split.test % 1, 6)
    return load_config(paper.config, _given(paper, roots) | keys)


def _given(paper: Paper, roots: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{stage}.data.root": None if root is None else str(root) for stage, root in roots.items()}
