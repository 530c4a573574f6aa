"""`federated.json`: written, read back, and what it promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from segmentation.errors import ReadError
from stages.errors import ModelError
from stages.learners.federated.records import (
    FEDERATED_FILE,
    ClientRecord,
    FederatedRecord,
    RefusedRecord,
    read_federated,
    write_federated,
)
from stages.learners.federated.settings import FederateSettings


def make(spent: tuple[dict[int, tuple[float, float]], ...] = ({}, {}), **told: Any) -> FederatedRecord:
    clients = tuple(
        ClientRecord(
            name=f"client {number}", images={"train": 8}, groups={"train": 2}, counts={"train": {"a": 3, "b": 5}},
            noise=1.5 if one else None, spent=one,
        )
        for number, one in enumerate(spent, 1)
    )  # fmt: skip
    return FederatedRecord(
        settings=FederateSettings.model_validate(told), clients=clients, history=({"round": 1.0, "train_loss": 0.5},),
        best_round=1, refused=(RefusedRecord(round=1, client="client 2", reason="Its disk is full."),), shared=4,
        batch_norms="They are averaged.",
    )  # fmt: skip


def test_a_record_is_read_back(tmp_path: Path) -> None:
    record = make(({1: (0.5, 0.4), 2: (0.9, 0.8)}, {}), dp="sgd", partition="dirichlet:0.3", delta=1e-3)
    write_federated(tmp_path, record)
    assert read_federated(tmp_path) == record


def test_the_guarantee_is_what_the_worst_client_has_spent() -> None:
    record = make(({1: (0.5, 0.4), 2: (0.9, 0.8)}, {1: (1.25, 1.1)}), dp="sgd", epsilon=3.0, delta=1e-3)
    assert "(1.25, 0.001)-differentially private" in record.guarantee
    assert "(0, 1e-05)-differentially private" in make(dp="sgd").guarantee
    assert make().guarantee.startswith("No privacy is guaranteed")


def test_a_damaged_or_missing_record_is_said_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(ReadError):
        read_federated(tmp_path)
    (tmp_path / FEDERATED_FILE).write_text('{"settings": {}, "clients": 3}')
    with pytest.raises(ModelError, match="new folder"):
        read_federated(tmp_path)
