"""What a client refuses of a server's plan, and what a server refuses of a client: one sentence, and nobody else is held up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TINY_BACKBONE, Told

pytest.importorskip("flwr")

from flwr.app import Message

from mtl.errors import ConfigError
from mtl.federate.client import Hospital
from mtl.federate.plan import Plan, read_record, told
from mtl.federate.settings import ClientSettings, ServedExperiment
from mtl.loading import load_settings
from mtl.runs import RunFolder
from stages.learners.federated.grid import InProcessGrid
from stages.learners.federated.records import ClientRecord
from stages.learners.federated.superlink import PLAN
from stages.learners.network.weights import WeightRecord


def served(**values: Any) -> ServedExperiment:
    given = {
        "stages": "1,3", "against": "none", "backbone": TINY_BACKBONE, "multi_cell.preprocess.image_size": 32,
        "multi_cell.train.head_epochs": 0, "server.classes": "normal,L1,L2,L3", **values,
    }  # fmt: skip
    return load_settings(ServedExperiment, "default", given)


def asked(rendered: Path, folder: Path, plan: str, **wishes: Any) -> str:
    """Why a client does not take a plan."""
    key = folder / "one.key"
    key.write_text("not looked at")
    given = {"server": "localhost:1", "data": f"all-idb1:{rendered / 'ALL-IDB1'}", "key": key, **wishes}
    hospital = Hospital(ClientSettings.model_validate(given), RunFolder(folder / "client"), Told())
    grid = InProcessGrid({1: hospital.app()})
    (reply,) = grid.send_and_receive([Message(told(plan, {"backbone.x": torch.zeros(1)}), 1, PLAN)])
    assert reply.has_error()
    return str(reply.error.reason)


def plan_of(experiment: ServedExperiment, **more: Any) -> str:
    weights = WeightRecord(backbone=TINY_BACKBONE, source="none", licence="", sha256="")
    values = {
        "experiment": experiment.plan(),
        "classes": experiment.server.classes,
        "weights": weights,
        **more,
    }
    return Plan.model_validate(values).model_dump_json()


@pytest.mark.parametrize(
    ("values", "wishes", "said"),
    [
        ({}, {"backbone": "resnet18"}, "--backbone"),
        ({}, {"dp": "sgd"}, "--dp"),
        ({}, {"epsilon": 2.0}, "no privacy"),
        ({"federate.dp": "sgd", "federate.epsilon": 4}, {"epsilon": 2.0}, "--epsilon"),
        ({"server.classes": "normal,L1"}, {}, "L2, L3"),
        ({}, {"drop": ("normal", "L1", "L2")}, "class"),
    ],
)
def test_a_plan_that_is_not_agreed_to(
    rendered: Path, tmp_path: Path, values: dict[str, Any], wishes: dict[str, Any], said: str
) -> None:
    assert said in asked(rendered, tmp_path, plan_of(served(**values)), **wishes)


def test_a_server_of_another_version(rendered: Path, tmp_path: Path) -> None:
    assert "99.0" in asked(rendered, tmp_path, plan_of(served(), version="99.0"))
    assert "another version" in asked(rendered, tmp_path, '{"version": "99.0", "more": 1}')


def test_weights_of_another_network(rendered: Path, tmp_path: Path) -> None:
    assert "backbone" in asked(rendered, tmp_path, plan_of(served()))


def test_a_plan_tells_neither_data_nor_keys_nor_hardware() -> None:
    text = plan_of(served(**{"server.keys": "secret/place", "hardware.accelerator": "cpu"}))
    assert "secret/place" not in text
    assert Plan.model_validate_json(text).experiment.hardware.accelerator == "auto"


def test_a_record_of_other_classes_is_refused() -> None:
    record = ClientRecord(
        name="x",
        images={"train": 1},
        groups={"train": 1},
        counts={"train": {"a": 1, "b": 0}},
        noise=None,
        spent={},
    )
    grid = InProcessGrid({})
    assert grid.get_node_ids() == []
    reply = Message(told(record.model_dump_json()), 1, PLAN)
    assert read_record(reply, ("a", "b")) == record
    with pytest.raises(ValueError, match="classes"):
        read_record(reply, ("a", "c"))


def test_a_server_starts_no_clients() -> None:
    with pytest.raises(ConfigError, match="--engine ray"):
        served(**{"federate.engine": "ray"})


def test_a_server_without_classes_is_none() -> None:
    with pytest.raises(ConfigError, match="--classes"):
        served(**{"server.classes": "one,one"})
