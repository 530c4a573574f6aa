"""A model of bags: it says the same after it was saved, knows what decided, and takes what its preprocessing makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_BACKBONE

from stages.errors import ModelError
from stages.learners.bags import AGGREGATE_FILE
from stages.learners.bags.model import BagLearner, BagModel
from stages.learners.model import Fitting, load_model
from stages.learners.network.backbones import imagenet_backbone
from stages.preprocess import Preprocess
from stages.preprocess.bags import strip_of
from stages.settings import StageSettings
from stages.task import Task

SIZE, MOST, COUNT = 32, 4, 40


def picture(striped: bool, random: np.random.Generator) -> np.ndarray:
    wave = (np.arange(SIZE) // 4 % 2)[:, None] * np.ones(SIZE) if striped else np.zeros((SIZE, SIZE))
    noise = random.integers(0, 60, (SIZE, SIZE, 3))
    return np.asarray(90 + 100 * wave[..., None] + noise, np.uint8)


def patients() -> list[list[np.ndarray]]:
    """Of every second one a picture is striped."""
    random = np.random.default_rng(0)
    return [
        [picture(bool(bag % 2) and place == bag % 3, random) for place in range(3)] for bag in range(COUNT)
    ]


def learn(folder: Path) -> tuple[BagModel, Fitting, Task]:
    settings = StageSettings.model_validate(
        {"data": {"dataset": "deepapl-diagnosis"}, "preprocess": {"image_size": SIZE}, "unit": "patient",
         "bags": {"most": MOST, "epochs": 30, "width": 16, "learning_rate": 0.01}}
    )  # fmt: skip
    preprocess = Preprocess.of_stage(settings)
    images = np.stack([strip_of(own, MOST) for own in patients()])
    rows = {"train": np.arange(20), "validation": np.arange(20, 30), "test": np.arange(30, COUNT)}
    task = Task(images, np.arange(COUNT) % 2, rows, ("plain", "striped"), preprocess, np.arange(COUNT))
    weights = folder / "weights.safetensors"
    record = imagenet_backbone(TINY_BACKBONE, "none", weights, 0)
    model, fitting = BagLearner(settings, record, weights, 0).fit(task, folder)
    return model, fitting, task


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[BagModel, Fitting, Task, Path]:
    folder = tmp_path_factory.mktemp("bags")
    model, fitting, task = learn(folder)
    model.calibrate(task)
    model.save(folder)
    return model, fitting, task, folder


def test_it_learns_and_says_the_same_after_it_was_saved(
    learned: tuple[BagModel, Fitting, Task, Path],
) -> None:
    model, fitting, task, folder = learned
    test = task.rows["test"]
    said = model.prepared_probabilities(task.images[test])
    assert (said.argmax(axis=1) == task.labels[test]).mean() >= 0.8
    assert fitting.parameters > 0
    assert len(fitting.history) == 30
    again = load_model(folder)
    assert isinstance(again, BagModel)
    np.testing.assert_allclose(again.prepared_probabilities(task.images[test]), said, atol=1e-6)
    np.testing.assert_allclose(
        again.probabilities([patients()[row] for row in test]), model.calibrated(said), atol=1e-6
    )
    assert again.preprocess.bagging == model.preprocess.bagging
    assert again.embeddings([]).shape == (0, again.embeddings([patients()[0]]).shape[1])


def test_what_decided_is_told_and_adds_up(learned: tuple[BagModel, Fitting, Task, Path]) -> None:
    model, _, task, _ = learned
    for row in task.rows["test"]:
        said, parts = model.decided(task.images[row])
        assert len(parts) == 3
        assert sum(parts) == pytest.approx(1, abs=1e-5)
        assert said == model.answers([patients()[row]])[0]
        assert said.distance is not None


def test_a_patient_may_have_one_image_but_not_none(learned: tuple[BagModel, Fitting, Task, Path]) -> None:
    model, *_ = learned
    (image, *_) = patients()[1]
    np.testing.assert_array_equal(model.probabilities([image]), model.probabilities([[image]]))
    with pytest.raises(ModelError, match="got list"):
        model.probabilities([[]])  # type: ignore[list-item]
    with pytest.raises(ModelError, match="got str"):
        model.probabilities([[image, "x.png"]])  # type: ignore[list-item]


def test_a_folder_without_its_weights_is_told(
    learned: tuple[BagModel, Fitting, Task, Path], tmp_path: Path
) -> None:
    learned[0].save(tmp_path)
    (tmp_path / AGGREGATE_FILE).unlink()
    with pytest.raises(ModelError, match=AGGREGATE_FILE):
        load_model(tmp_path)
