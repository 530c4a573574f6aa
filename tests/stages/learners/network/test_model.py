"""A network as a model: any images in, the same said again after it was saved, one sentence where a file is damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY_BACKBONE

from stages.errors import ModelError
from stages.learners.model import MODEL_FILE, Model, load_model
from stages.learners.network.backbones import create_backbone
from stages.learners.network.model import WEIGHTS_FILE, NetworkModel
from stages.learners.network.network import Network
from stages.preprocess import Preprocess
from stages.settings import HeadSettings, PreprocessSettings
from stages.task import Task

SIZE = 32


def make(flips: bool = False, name: str = TINY_BACKBONE, size: int = SIZE, **head: Any) -> NetworkModel:
    torch.manual_seed(0)
    backbone, record = create_backbone(name, "none", size=size)
    settings = HeadSettings.model_validate(head)
    network = Network(backbone, record, settings, ("a", "b", "c"))
    preprocess = Preprocess(PreprocessSettings(image_size=size, fit="pad"))
    return NetworkModel(network, record, settings, preprocess, flips)


def pictures(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(count)
    shapes = random.integers(20, 60, (count, 2))
    return [random.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]


@pytest.fixture(scope="module")
def model() -> NetworkModel:
    return make()


@pytest.mark.parametrize("count", [0, 1, 65])
def test_any_number_of_images_from_an_iterator(model: NetworkModel, count: int) -> None:
    images = pictures(count)
    said, features = model.probabilities(iter(images)), model.embeddings(iter(images))
    assert said.shape == (count, 3)
    assert features.shape == (count, model.network.width)
    assert said.dtype == features.dtype == np.float64
    np.testing.assert_allclose(said.sum(axis=1), 1)
    for number in {0, 63, 64, count - 1} & set(range(count)):
        np.testing.assert_allclose(model.probabilities([images[number]])[0], said[number], atol=1e-5)


def test_an_iterator_is_taken_some_at_a_time(model: NetworkModel, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(
        model,
        "prepared_probabilities",
        lambda batch: sizes.append(len(batch)) or np.ones((len(batch), 3)) / 3,
    )
    assert model.probabilities(iter(pictures(150))).shape == (150, 3)
    assert sizes == [64, 64, 22]


def test_said_by_hand_with_torch_alone(model: NetworkModel) -> None:
    (image,) = pictures(1)
    prepared = torch.tensor(model.preprocess(image)).permute(2, 0, 1)[None].float() / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (model.weights.mean, model.weights.std))
    with torch.inference_mode():
        features = model.network.backbone((prepared - mean) / std)
        expected = model.network.head(features).softmax(dim=1)
    tolerance = 1e-5
    np.testing.assert_allclose(model.probabilities([image]), expected, atol=tolerance)
    scale = float(features.abs().max())
    np.testing.assert_allclose(model.embeddings([image]), features, atol=tolerance * scale)


def test_flips_are_averaged() -> None:
    plain, flipped = make(), make(flips=True)
    prepared = plain.preprocess(pictures(1)[0])[None]
    views = [prepared, prepared[:, :, ::-1], prepared[:, ::-1], prepared[:, ::-1, ::-1]]
    single = np.stack([plain.prepared_probabilities(view) for view in views])
    np.testing.assert_allclose(flipped.prepared_probabilities(prepared), single.mean(axis=0), atol=1e-6)
    assert np.abs(single - single[0]).max() > 1e-5
    for view in views:  # a mirror image is the same image
        np.testing.assert_allclose(
            flipped.prepared_probabilities(view), flipped.prepared_probabilities(prepared), atol=1e-6
        )


@pytest.mark.parametrize(
    "head", [{}, {"activation": "sigmoid"}, {"hidden": [8], "batch_norm": True, "pool": "max"}]
)
@pytest.mark.parametrize("flips", [True, False])
def test_saved_and_loaded_it_says_the_same(tmp_path: Path, head: dict[str, Any], flips: bool) -> None:
    model, images = make(flips, **head), pictures(3)
    if "pool" in head:
        backbone, _ = create_backbone(TINY_BACKBONE, "none", "max")
        model.network.backbone = backbone.eval()
    model.save(tmp_path)
    again = load_model(tmp_path)
    assert isinstance(again, NetworkModel)
    assert again.classes == model.classes
    assert again.preprocess.settings == model.preprocess.settings
    assert (again.flips, again.head, again.weights) == (flips, model.head, model.weights)
    np.testing.assert_array_equal(again.probabilities(images), model.probabilities(images))
    np.testing.assert_array_equal(again.embeddings(images), model.embeddings(images))


@pytest.mark.parametrize(
    ("name", "size"), [("test_vit", 48), ("squeezenet1_0", 40), ("mobilenetv3_small_050", 32)]
)
def test_a_backbone_of_a_fixed_size_or_another_width_comes_back(tmp_path: Path, name: str, size: int) -> None:
    model, images = make(name=name, size=size), pictures(2)
    model.save(tmp_path)
    again = load_model(tmp_path)
    np.testing.assert_array_equal(again.probabilities(images), model.probabilities(images))
    assert again.embeddings(images).shape == (2, model.network.width)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((2, 8, 8, 3), np.uint8),
        [[0, 0, 0]],
    ],
    ids=["grey", "alpha", "float", "empty", "batch", "list"],
)
def test_an_array_that_is_no_image_is_refused_everywhere(model: NetworkModel, image: Any) -> None:
    asked: tuple[Callable[[], object], ...] = (
        lambda: model.predict(image),
        lambda: model.probabilities([image]),
        lambda: model.embeddings([image]),
    )
    for ask in asked:
        with pytest.raises(ModelError, match=r"\(H, W, 3\) uint8 RGB, but got"):
            ask()


def damage(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    told = json.loads((folder / MODEL_FILE).read_text())
    left = change(told)
    (folder / MODEL_FILE).write_text(json.dumps(told if left is None else left))


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told.update(kind="oracle"),
        lambda told: told.pop("classes") and None,
        lambda told: told.pop("weights") and None,
        lambda told: told.pop("head") and None,
        lambda told: told["head"].update(activation="tanh"),
        lambda told: told["weights"].update(colour="red"),
        lambda told: told["preprocess"].pop("identity") and None,
        lambda told: told["preprocess"].update(image_size=1),
        lambda told: told["preprocess"].update(later=True),
        lambda told: [told],
        lambda told: 7,
    ],
)
def test_a_damaged_model_file_is_one_sentence(
    tmp_path: Path, model: NetworkModel, change: Callable[[dict[str, Any]], Any]
) -> None:
    model.save(tmp_path)
    damage(tmp_path, change)
    with pytest.raises(ModelError, match=r"model\.json to be a model, but it cannot be read") as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_half_written_model_file_is_one_sentence(tmp_path: Path, model: NetworkModel) -> None:
    model.save(tmp_path)
    text = (tmp_path / MODEL_FILE).read_text()
    (tmp_path / MODEL_FILE).write_text(text[: len(text) // 2])
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(tmp_path)


def test_weights_that_are_missing_damaged_or_foreign_are_named(tmp_path: Path, model: NetworkModel) -> None:
    with pytest.raises(ModelError, match=f"no {MODEL_FILE}"):
        load_model(tmp_path)
    model.save(tmp_path)
    damage(tmp_path, lambda told: told["head"].update(hidden=[5]))
    with pytest.raises(ModelError, match=f"{WEIGHTS_FILE} to fit {TINY_BACKBONE}"):
        load_model(tmp_path)
    model.save(tmp_path)
    (tmp_path / WEIGHTS_FILE).write_bytes(b"garbage")
    with pytest.raises(ModelError, match=WEIGHTS_FILE):
        load_model(tmp_path)
    (tmp_path / WEIGHTS_FILE).unlink()
    with pytest.raises(ModelError, match=f"{WEIGHTS_FILE} is not there"):
        load_model(tmp_path)


def test_a_model_trained_behind_another_segmentation_network_is_refused(
    tmp_path: Path, model: NetworkModel
) -> None:
    model.save(tmp_path)
    damage(
        tmp_path,
        lambda told: told["preprocess"].update(segment={"method": "residual_unet"}, identity="0" * 64),
    )
    with pytest.raises(ModelError, match="segmented by the network of this version"):
        load_model(tmp_path)


def test_a_model_file_comes_last(
    tmp_path: Path, model: NetworkModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(model, "_save_weights", full)
    with pytest.raises(OSError, match="disk full"):
        model.save(tmp_path)
    assert not (tmp_path / MODEL_FILE).exists()
    assert isinstance(model, Model)


def calibrated(folder: Path) -> tuple[NetworkModel, Task]:
    """A model that was calibrated on drawn images: red and blue ones."""
    random = np.random.default_rng(0)
    labels = np.arange(60) % 2
    images = random.integers(0, 120, (60, 32, 32, 3)).astype(np.uint8)
    images[labels == 0, :, :, 0] += 120
    images[labels == 1, :, :, 2] += 120
    rows = {"train": np.arange(30), "validation": np.arange(30, 60), "test": np.arange(0)}
    model = make(size=32)
    task = Task(images, labels, rows, model.classes, model.preprocess, np.arange(60))
    said = model.calibrate(task)
    assert said is not None
    np.testing.assert_allclose(said, model.prepared_probabilities(images[30:]), atol=1e-6)
    model.frame = 2.5
    folder.mkdir(exist_ok=True)
    model.save(folder)
    return model, task


def test_calibration_travels_with_the_model(tmp_path: Path) -> None:
    model, task = calibrated(tmp_path)
    again, images = load_model(tmp_path), pictures(4)
    assert again.frame == 2.5
    assert model.answers(iter(images)) == again.answers(iter(images))
    assert model.calibration is not None
    raw = np.concatenate([model.prepared_probabilities(model.preprocess(image)[None]) for image in images])
    np.testing.assert_allclose(again.probabilities(images), model.calibration.calibrated(raw), atol=1e-6)
    for one, row in zip(again.answers(images), again.probabilities(images), strict=True):
        assert tuple(one.probabilities.values()) == pytest.approx(tuple(row), abs=1e-6)
        assert one.label in one.within
    known = [one.distance for one in model.answers(task.images[30:])]
    assert sum(one is not None and one > 1 for one in known) <= 1
    assert model.answers([np.full((32, 32, 3), 255, np.uint8)])[0].unlike


def test_without_a_validation_part_nothing_is_said_of_certainty(tmp_path: Path) -> None:
    model, task = make(size=32), calibrated(tmp_path / "other")[1]
    rows = task.rows | {"validation": np.arange(0)}
    assert model.calibrate(replace(task, rows=rows)) is None
    assert model.calibration is None
    said = model.predict(pictures(1)[0])
    assert (said.within, said.unsure, said.distance, said.unlike) == ((), False, None, False)


def test_one_pass_says_what_two_say() -> None:
    for flips in (False, True):
        model = make(flips=flips)
        prepared = np.stack([model.preprocess(image) for image in pictures(5)])
        said, features = model.prepared_answers(prepared)
        np.testing.assert_allclose(said, model.prepared_probabilities(prepared), atol=1e-6)
        np.testing.assert_allclose(features, model.prepared_embeddings(prepared), atol=1e-5)
