"""The learner `stacked`: learns, says the same again after it was saved, and gives way to colour where colour decides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY_BACKBONE

from stages.errors import ModelError
from stages.learners.model import Fitting, load_model
from stages.learners.network.backbones import imagenet_backbone
from stages.learners.stacked.model import STACKED_FILE, StackedLearner, StackedModel
from stages.preprocess import Preprocess
from stages.settings import PreprocessSettings, StageSettings
from stages.task import Task

SIZE = 32


def make_task(count: int = 48, classes: int = 2) -> Task:
    """Stripes that lie or stand, of any colour: shape decides, colour says nothing."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % classes
    wave = (np.arange(SIZE) // 4 % 2)[:, None] * np.ones(SIZE)
    images = np.stack([np.stack([wave.T if label else wave] * 3, axis=2) for label in labels])
    tint = random.uniform(60, 200, (count, 1, 1, 3))
    images = (images * tint + random.integers(0, 40, images.shape)).astype(np.uint8)
    rows = {
        "train": np.arange(count // 2),
        "validation": np.arange(count // 2, count * 3 // 4),
        "test": np.arange(count * 3 // 4, count),
    }
    preprocess = Preprocess(PreprocessSettings(image_size=SIZE))
    return Task(images, labels, rows, ("lying", "standing")[:classes], preprocess, np.arange(count))


def learn(task: Task, folder: Path, **stacked: object) -> tuple[StackedModel, Fitting]:
    weights = folder / "weights.safetensors"
    record = imagenet_backbone(TINY_BACKBONE, "none", weights, 0)
    settings = StageSettings.model_validate(
        {"data": {"dataset": "pbc"}, "preprocess": {"image_size": SIZE}, "learner": "stacked",
         "stacked": {"depths": (0.0, 1.0), "folds": 2, **stacked}}
    )  # fmt: skip
    return StackedLearner(settings, record, weights, 0).fit(task, folder)


def learn_twice(task: Task, part: str, folder: Path) -> list[tuple[StackedModel, Fitting]]:
    """Learn a task, and the same with every label of a part turned round."""
    other = task.labels.copy()
    other[task.rows[part]] = 1 - other[task.rows[part]]
    found = []
    for name, labels in (("true", task.labels), ("turned", other)):
        (folder / name).mkdir()
        found.append(learn(replace(task, labels=labels), folder / name))
    return found


def test_it_sees_shape_where_colour_says_nothing_and_is_the_same_after_saving(tmp_path: Path) -> None:
    task = make_task()
    model, fitting = learn(task, tmp_path)
    test = task.images[task.rows["test"]]
    said = model.prepared_probabilities(test)
    assert (said.argmax(axis=1) == task.labels[task.rows["test"]]).mean() > 0.9
    np.testing.assert_allclose(said.sum(axis=1), 1)
    assert model.weights[0] > 0.8
    assert fitting.parameters > 0
    again = load_model(tmp_path)
    assert isinstance(again, StackedModel)
    np.testing.assert_allclose(again.prepared_probabilities(test), said, atol=1e-6)
    np.testing.assert_allclose(again.prepared_embeddings(test), model.prepared_embeddings(test), atol=1e-4)
    assert model.prepared_probabilities(test[:0]).shape == (0, 2)


def test_it_gives_way_to_colour_where_colour_decides(tmp_path: Path) -> None:
    task = make_task()
    random = np.random.default_rng(1)
    noise = random.integers(0, 60, task.images.shape)
    blue = np.where(task.labels[:, None, None, None] == 1, [0, 0, 150], [0, 150, 0])
    images = np.where(random.random((*task.images.shape[:3], 1)) < 0.02, blue + noise, noise + 100)
    told = Task(images.astype(np.uint8), task.labels, task.rows, task.classes, task.preprocess, task.groups)
    model, _ = learn(told, tmp_path, views=("grey-world",))
    test = told.rows["test"]
    assert (model.prepared_probabilities(told.images[test]).argmax(axis=1) == told.labels[test]).mean() > 0.8


def test_what_the_test_part_holds_decides_nothing(tmp_path: Path) -> None:
    task = make_task()
    (one, _), (two, _) = learn_twice(task, "test", tmp_path)
    np.testing.assert_array_equal(
        one.prepared_probabilities(task.images), two.prepared_probabilities(task.images)
    )


def test_what_certainty_is_measured_with_never_saw_the_validation_part(tmp_path: Path) -> None:
    task = make_task()
    one, two = learn_twice(task, "validation", tmp_path)
    assert one[1].held_out is not None
    assert two[1].held_out is not None
    np.testing.assert_array_equal(
        one[1].held_out.prepared_probabilities(task.images),
        two[1].held_out.prepared_probabilities(task.images),
    )
    assert not np.allclose(
        one[0].prepared_probabilities(task.images), two[0].prepared_probabilities(task.images)
    )


def test_one_class_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="two classes or more, but got lying alone"):
        learn(make_task(classes=1), tmp_path)


def test_a_model_without_its_file_is_one_sentence(tmp_path: Path) -> None:
    learn(make_task(24), tmp_path)
    (tmp_path / STACKED_FILE).unlink()
    with pytest.raises(ModelError, match="do train it again"):
        load_model(tmp_path)


def test_a_class_of_one_group_is_learned_without_folds(tmp_path: Path) -> None:
    task = make_task(24)
    tied = Task(task.images, task.labels, task.rows, task.classes, task.preprocess, task.labels.copy())
    model, _ = learn(tied, tmp_path)
    assert model.weights == (0.5, 0.5)
    assert torch.isfinite(torch.from_numpy(model.prepared_probabilities(task.images))).all()


def judged(task: Task, folder: Path, folds: int = 4) -> np.ndarray:
    weights = folder / "weights.safetensors"
    record = imagenet_backbone(TINY_BACKBONE, "none", weights, 0)
    settings = StageSettings.model_validate(
        {"data": {"dataset": "pbc"}, "preprocess": {"image_size": SIZE}, "learner": "stacked", "stacked": {"depths": (0.0, 1.0)}}
    )  # fmt: skip
    return StackedLearner(settings, record, weights, 0).out_of_fold(task, folds)


def test_every_image_is_judged_out_of_fold_and_wrong_labels_look_wrong(tmp_path: Path) -> None:
    task = make_task()
    labels = task.labels.copy()
    labels[:4] = 1 - labels[:4]
    votes = judged(replace(task, labels=labels, rows={}), tmp_path)
    np.testing.assert_allclose(votes.sum(axis=1), 1)
    assert (votes[:4].argmax(axis=1) == task.labels[:4]).all()
    assert (votes.argmax(axis=1) == task.labels).mean() > 0.9


def test_copies_of_an_image_never_judge_each_other(tmp_path: Path) -> None:
    # Labels mean nothing here: who has seen the copy knows it, and nobody else does.
    random = np.random.default_rng(3)
    images = np.repeat(random.integers(0, 256, (20, 8, 8, 3), np.uint8).repeat(4, 1).repeat(4, 2), 2, axis=0)
    labels, groups = np.repeat(random.permutation(np.arange(20) % 2), 2), np.repeat(np.arange(20), 2)
    task = replace(make_task(), images=images, labels=labels, groups=groups, rows={})
    assert (judged(task, tmp_path).argmax(axis=1) == labels).mean() < 0.85
    leaking = replace(task, groups=np.arange(40))
    assert (judged(leaking, tmp_path).argmax(axis=1) == labels).mean() > 0.85


def test_a_class_in_one_group_cannot_be_judged(tmp_path: Path) -> None:
    task = make_task()
    with pytest.raises(ModelError, match="two groups or more, but lying stands in 1"):
        judged(replace(task, groups=np.where(task.labels == 0, 0, task.groups + 1)), tmp_path)
