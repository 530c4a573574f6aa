"""How long a stage takes: arithmetic by hand, and paces that are really measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import TINY_BACKBONE

from segmentation.settings import Hardware
from stages.learners.network.backbones import imagenet_backbone
from stages.learners.pace import Pace, expect, measure_pace
from stages.settings import StageSettings

COUNTS = (100, 20, 30)


def settings(**more: Any) -> StageSettings:
    return StageSettings.model_validate(
        {"data": {"dataset": "pbc"}, "preprocess": {"image_size": 32}, **more}
    )


def test_an_epoch_is_a_step_for_every_image_that_trains_and_a_look_at_every_one_that_validates() -> None:
    told = expect(
        settings(train={"epochs": 4, "head_epochs": 1}), Pace(look=0.1, step=1.0), COUNTS, flips=True
    )
    assert told.epoch == pytest.approx(100 * 1.0 + 20 * 0.1)
    # Features of 120 images once, three epochs, 50 images under four flips.
    assert told.seconds == pytest.approx(12 + 3 * 102 + 50 * 0.1 * 4)


def test_a_frozen_backbone_takes_one_look_however_many_epochs_there_are() -> None:
    frozen = settings(train={"policy": "frozen", "epochs": 50})
    assert expect(frozen, Pace(0.1, 1.0), COUNTS, flips=False).seconds == pytest.approx(12 + 5)


def test_copies_are_steps_and_no_head_epoch_needs_no_features() -> None:
    told = expect(
        settings(train={"epochs": 2, "head_epochs": 0}, augment={"copies": 3}),
        Pace(0.0, 1.0),
        COUNTS,
        flips=False,
    )
    assert told.seconds == pytest.approx(2 * 300)


def test_at_rest_every_image_is_looked_at_once_and_the_head_grows_with_the_cube() -> None:
    stacked = settings(learner="stacked", stacked={"folds": 4})
    told = expect(stacked, Pace(look=0.1, features=1000, head=0.01), (512, 0, 88), flips=True)
    assert told.epoch is None
    assert told.seconds == pytest.approx(600 * 0.1 + 6 * 0.01 * 8)


@pytest.mark.parametrize("learner", ["network", "stacked"])
def test_a_pace_is_measured_without_weights(tmp_path: Path, learner: str) -> None:
    record = imagenet_backbone(TINY_BACKBONE, "none", tmp_path / "weights.safetensors", 0)
    pace = measure_pace(
        settings(learner=learner, stacked={"depths": (0, 1)}), record, Hardware(accelerator="cpu")
    )
    assert 0 < pace.look < 10
    assert (pace.step > 0) == (learner == "network")
    assert (pace.features > 0 and pace.head > 0) == (learner == "stacked")
