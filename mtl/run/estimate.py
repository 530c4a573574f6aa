"""How long a run will train, said before it does; and what to train within a number of minutes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from math import ceil

import torch

from mtl.config import STAGE_FIELDS, Experiment
from mtl.errors import ConfigError
from mtl.loading import with_changes
from mtl.presets import PRESETS
from segmentation.cache import cached
from segmentation.engine import pick_device
from stages.data.sources import read_sources
from stages.learners.network.finetune import first_kept_epoch
from stages.learners.network.weights import WeightRecord
from stages.learners.pace import Expected, Pace, expect, measure_pace
from stages.settings import StageSettings
from stages.stacked_settings import STACKED

__all__ = ["Estimate", "Estimator", "duration"]

_BY_WORTH = ("best", "fast")
"""Presets, the better first, by docs/recipe.md: fine-tuning the last stage takes longer than `fast` and was no better there."""


@dataclass(frozen=True)
class Estimate:
    """What the stages of a run take.

    Attributes:
        stages: By what a person calls them; a stage that several chains share stands once.
    """

    stages: Mapping[str, Expected]

    @property
    def seconds(self) -> float:
        """In all."""
        return sum(one.seconds for one in self.stages.values())

    def to_text(self) -> str:
        """Return it for a person."""
        each = [
            f"{name} {duration(one.seconds)}" + (f" ({duration(one.epoch)} an epoch)" if one.epoch else "")
            for name, one in self.stages.items()
        ]
        return f"up to {duration(self.seconds)} of training: {', '.join(each)}"


def duration(seconds: float) -> str:
    """Return seconds as a person says them.

    Examples:
        >>> duration(7.2), duration(90), duration(5000)
        ('7 s', '1.5 min', '1.4 h')
    """
    if seconds < 60:
        return f"{max(round(seconds), 1)} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


class Estimator:
    """Estimates experiments that begin from one backbone; what was timed once on a machine is remembered.

    Args:
        record: Of the weights to start from.
    """

    def __init__(self, record: WeightRecord) -> None:
        self.record = record
        self._counts: dict[str, int] = {}

    def estimate(self, experiment: Experiment) -> Estimate:
        """Return what the networks of an experiment and `stacked` take; other classifiers and bags are not timed.

        Raises:
            StagesError: If data or backbone cannot be read.
        """
        found: dict[str, Expected] = {}
        for before, number in _stages(experiment):
            settings = experiment.stage(number)
            name = f"stage {number}" + (f" after {before}" if number == 3 else "")
            timed = settings.learner in ("network", STACKED) and settings.bagging is None
            if timed and name not in found:
                pace = self._pace(experiment, settings)
                found[name] = expect(settings, pace, self._parts(settings), experiment.evaluation.flips)
        return Estimate(found)

    def within(self, experiment: Experiment, minutes: float) -> tuple[Experiment, str]:
        """Return what of the presets fits into a time, and its name; epochs of earlier stages give way last.

        Args:
            experiment: To be changed; its last stages learn as a preset says.
            minutes: Of training.

        Raises:
            ConfigError: If nothing fits; the sentence says what would.
        """
        tried: list[tuple[str, Estimate]] = []
        for name, changed in _choices(experiment):
            estimate = self.estimate(changed)
            tried.append((name, estimate))
            if estimate.seconds <= 60 * minutes:
                return changed, name
        name, least = min(tried, key=lambda one: one[1].seconds)
        raise ConfigError(
            f"Expected `--time-budget` to be {ceil(least.seconds / 0.6) / 100:g} minutes or more, but got {minutes:g}: the least is {name}, "
            f"{least.to_text()}; do give as much, or fewer --stages or chains"
        )

    def _pace(self, experiment: Experiment, settings: StageSettings) -> Pace:
        told = (
            self.record.backbone, settings.preprocess.image_size, settings.learner, settings.stacked, settings.head,
            pick_device(experiment.hardware), torch.get_num_threads(), torch.__version__,
        )  # fmt: skip
        measure = partial(measure_pace, settings, self.record, experiment.hardware)
        return Pace(**cached("pace", "|".join(map(str, told)), lambda: asdict(measure())))

    def _parts(self, settings: StageSettings) -> tuple[int, int, int]:
        key, split = settings.data.model_dump_json(), settings.split
        if key not in self._counts:
            self._counts[key] = len(read_sources(settings.data)[0])
        images = self._counts[key]
        # Whole groups move, so a split is near its fractions and not at them.
        shares = {"kfold": 1 / split.folds, "leave-one-source-out": 1 / len(settings.data.each())}
        test = round(images * shares.get(split.method, split.test))
        validation = round(images * split.validation)
        return images - test - validation, validation, test


def _stages(experiment: Experiment) -> Iterator[tuple[str, int]]:
    for chain in experiment.chains():
        for place, number in enumerate(chain):
            if experiment.learns(number):
                yield ",".join(map(str, chain[:place])) or "--from", number


def _choices(experiment: Experiment) -> Iterator[tuple[str, Experiment]]:
    ends = {chain[-1] for chain in experiment.chains()} & set(STAGE_FIELDS)
    changed = experiment
    for preset in _BY_WORTH:
        keys = {f"{STAGE_FIELDS[end]}.{key}": value for end in ends for key, value in PRESETS[preset].items()}
        changed = with_changes(experiment, keys)
        yield f"preset {preset}", changed
    before = [number for _, number in _stages(changed) if number == 2 and number not in ends]
    if before and changed.stage(2).learner == "network":
        rules = changed.stage(2).train
        for epochs in range(rules.epochs - 1, first_kept_epoch(rules), -1):
            shorter = with_changes(changed, {f"{STAGE_FIELDS[2]}.train.epochs": epochs})
            yield f"preset {preset} with {epochs} epochs of stage 2", shorter
