"""An ensemble is a model: its members prepare images each in their own way, and it comes back from its folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY_BACKBONE

from segmentation.files import write_image
from stages.errors import ModelError
from stages.learners.ensemble.choose import Chosen
from stages.learners.ensemble.combine import Stack, Vote
from stages.learners.ensemble.model import EnsembleModel
from stages.learners.model import AT_ONCE, load_model
from stages.learners.network.backbones import rebuild_backbone
from stages.learners.network.model import NetworkModel
from stages.learners.network.network import Network
from stages.learners.network.weights import WeightRecord
from stages.preprocess import Preprocess
from stages.settings import HeadSettings, PreprocessSettings

CLASSES = ("normal", "L1", "L2")


def member(seed: int, size: int, classes: tuple[str, ...] = CLASSES) -> NetworkModel:
    torch.manual_seed(seed)
    record = WeightRecord(backbone=TINY_BACKBONE, source="none", licence="", sha256="")
    head = HeadSettings()
    network = Network(rebuild_backbone(record, head.pool, size), record, head, classes)
    return NetworkModel(network, record, head, Preprocess(PreprocessSettings(image_size=size)))


def pictures(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (40 + n % 3, 50, 3), np.uint8) for n in range(count)]


@pytest.fixture
def ensemble() -> EnsembleModel:
    return EnsembleModel({"a": member(0, 32), "b.2": member(1, 48)}, Chosen(Vote(weights=(0.7, 0.3)), 0.6))


@pytest.mark.parametrize("count", [0, 1, AT_ONCE + 1])
def test_it_says_the_weighted_mean_of_what_its_members_say(ensemble: EnsembleModel, count: int) -> None:
    images = pictures(count)
    one, other = (model.probabilities(images) for model in ensemble.members.values())
    assert np.allclose(ensemble.probabilities(iter(images)), 0.7 * one + 0.3 * other)
    wide = ensemble.embeddings(iter(images))
    parts = [model.embeddings(images) for model in ensemble.members.values()]
    assert np.allclose(wide, np.concatenate(parts, axis=1))


def test_it_answers_where_it_is_sure_enough(ensemble: EnsembleModel) -> None:
    said = np.array([[0.5, 0.3, 0.2], [0.6, 0.2, 0.2], [0.1, 0.1, 0.8]])
    assert ensemble.confident(said).tolist() == [False, True, True]


def test_its_answers_are_its_probabilities_and_say_where_it_is_unsure(ensemble: EnsembleModel) -> None:
    images = pictures(5)
    rows = ensemble.probabilities(images)
    said = ensemble.answers(iter(images))
    assert [one.label for one in said] == [CLASSES[place] for place in rows.argmax(axis=1)]
    assert np.allclose([[one.probabilities[name] for name in CLASSES] for one in said], rows)
    assert [one.unsure for one in said] == (rows.max(axis=1) < 0.6).tolist()
    alone = ensemble.predict(images[0])  # another batch may round otherwise
    assert alone.label == said[0].label
    assert alone.probabilities == pytest.approx(said[0].probabilities, abs=1e-5)
    assert not any(one.unlike for one in said)


def test_prepared_images_are_taken_where_all_prepare_alike_and_refused_elsewhere(
    ensemble: EnsembleModel,
) -> None:
    alike = EnsembleModel({"a": member(0, 32), "b": member(1, 32)}, Chosen(Vote(weights=(1, 1))))
    images = pictures(3)
    prepared = np.stack([alike.preprocess(image) for image in images])
    assert np.allclose(alike.prepared_probabilities(prepared), alike.probabilities(images))
    assert np.allclose(alike.prepared_embeddings(prepared), alike.embeddings(images))
    with pytest.raises(ModelError, match="different ways"):
        ensemble.prepared_probabilities(prepared)


def test_saved_it_stands_alone_and_says_the_same_in_a_fresh_process(
    ensemble: EnsembleModel, tmp_path: Path
) -> None:
    (tmp_path / "made").mkdir()
    ensemble.save(tmp_path / "made")
    moved = Path(shutil.move(tmp_path / "made", tmp_path / "moved"))
    write_image(tmp_path / "one.png", pictures(1)[0])
    code = (
        "import json, sys, pathlib; from stages.learners.model import load_model; "
        "print(json.dumps(load_model(pathlib.Path(sys.argv[1])).predict(sys.argv[2]).probabilities))"
    )
    typed = [sys.executable, "-c", code, str(moved), str(tmp_path / "one.png")]
    done = subprocess.run(typed, capture_output=True, text=True, check=True)
    said = dict(ensemble.predict(tmp_path / "one.png").probabilities)
    assert json.loads(done.stdout) == pytest.approx(said, abs=1e-6)


def test_an_ensemble_may_be_a_member(ensemble: EnsembleModel, tmp_path: Path) -> None:
    stack = Stack(
        coefficients=((1, 0, 0, 1, 0, 0), (0, 1, 0, 0, 1, 0), (0, 0, 1, 0, 0, 1)), intercept=(0, 0, 0)
    )
    nested = EnsembleModel({"inner": ensemble, "c": member(2, 32)}, Chosen(stack))
    nested.save(tmp_path)
    images = pictures(2)
    logs = np.log(ensemble.probabilities(images)) + np.log(nested.members["c"].probabilities(images))
    by_hand = np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)
    assert np.allclose(load_model(tmp_path).probabilities(images), by_hand, atol=1e-6)


def test_members_of_other_classes_are_refused() -> None:
    with pytest.raises(ModelError, match="b knows normal, blast"):
        EnsembleModel(
            {"a": member(0, 32), "b": member(1, 32, ("normal", "blast"))}, Chosen(Vote(weights=(1, 1)))
        )


@pytest.mark.parametrize("name", ["../elsewhere", "..", "", "/etc"])
def test_a_name_that_leads_out_of_the_folder_is_refused(
    ensemble: EnsembleModel, tmp_path: Path, name: str
) -> None:
    ensemble.save(tmp_path)
    told = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(told | {"members": [name, "a"]}))
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(tmp_path)


def test_a_member_that_is_gone_is_named(ensemble: EnsembleModel, tmp_path: Path) -> None:
    ensemble.save(tmp_path)
    shutil.rmtree(tmp_path / "members" / "b.2")
    with pytest.raises(ModelError, match=r"b\.2"):
        load_model(tmp_path)
