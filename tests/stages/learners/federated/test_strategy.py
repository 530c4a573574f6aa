from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

pytest.importorskip("flwr")

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

import stages.learners.federated
from stages.errors import ModelError, StagesError
from stages.learners.federated.grid import InProcessGrid
from stages.learners.federated.settings import FederateSettings
from stages.learners.federated.strategy import ARRAYS, COUNT, make_strategy, unusable, unusable_scores

assert stages.learners.federated

SHAPES = {"w": (2, 2), "b": (2,)}


def answering(arrays: dict[str, np.ndarray] | Exception, count: float, loss: float = 0.5) -> ClientApp:
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        if isinstance(arrays, Exception):
            raise arrays
        record = ArrayRecord({name: Array(value) for name, value in arrays.items()})
        metrics = MetricRecord({COUNT: count, "train_loss": loss})
        return Message(RecordDict({ARRAYS: record, "metrics": metrics}), reply_to=message)

    return app


def ask(*apps: ClientApp) -> tuple[dict[str, np.ndarray], list[tuple[int, str]]]:
    strategy = make_strategy(FederateSettings(), SHAPES, 2, len(apps))
    grid = InProcessGrid(dict(enumerate(apps, 1)))
    asked = strategy.configure_train(4, ArrayRecord(), ConfigRecord(), grid)
    averaged, _ = strategy.aggregate_train(4, grid.send_and_receive(asked))
    assert averaged is not None
    return {name: array.numpy() for name, array in averaged.items()}, [
        (one.client, one.reason) for one in strategy.refused
    ]


def weights(seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}


def test_the_average_is_the_mean_weighted_by_images() -> None:
    one, two, three = weights(1), weights(2), weights(3)
    found, refused = ask(answering(one, 10), answering(two, 30), answering(three, 60))
    for name in SHAPES:
        np.testing.assert_allclose(
            found[name], 0.1 * one[name] + 0.3 * two[name] + 0.6 * three[name], rtol=1e-5
        )
    assert not refused


@pytest.mark.parametrize(
    ("bad", "count", "reason"),
    [
        ({**weights(2), "b": np.array([1, np.nan], np.float32)}, 5, "not finite"),
        ({**weights(2), "b": np.ones(3, np.float32)}, 5, r"shape \(3,\)"),
        ({"w": weights(2)["w"]}, 5, "another backbone"),
        (weights(2), 0, "number of images"),
        (weights(2), float("nan"), "number of images"),
        (StagesError("Its disk is full."), 5, "disk is full"),
    ],
)
def test_who_sends_what_cannot_be_averaged_is_left_out(
    bad: dict[str, np.ndarray] | Exception, count: float, reason: str
) -> None:
    one, three = weights(1), weights(3)
    found, refused = ask(answering(one, 1), answering(bad, count), answering(three, 1))
    for name in SHAPES:
        np.testing.assert_allclose(found[name], (one[name] + three[name]) / 2, rtol=1e-5)
    ((client, told),) = refused
    assert client == 2
    assert re.search(reason, told)


def lying(shape: tuple[int, ...], data: bytes) -> Array:
    """An array whose bytes are not what is said of them."""
    array = Array(np.zeros(shape, np.float32))
    return Array("float32", shape, array.stype, data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"no array", "bytes that are no array"), (Array(np.ones(7, np.float32)).data, r"shape \(7,\)")],
)
def test_the_bytes_count_and_not_what_is_said_of_them(data: bytes, reason: str) -> None:
    record = ArrayRecord({"w": Array(np.zeros((2, 2), np.float32)), "b": lying((2,), data)})
    content = RecordDict({ARRAYS: record, "metrics": MetricRecord({COUNT: 1, "train_loss": 1.0})})
    told = unusable(Message(content, 1, "train"), SHAPES, ["train_loss"])
    assert told is not None
    assert re.search(reason, told)


@pytest.mark.parametrize(
    "metrics",
    [
        {COUNT: 5},
        {COUNT: 5, "train_loss": float("nan")},
        {COUNT: 5, "train_loss": 1.0, "more": 1.0},
        {COUNT: 5, "train_loss": [1.0]},
    ],
)
def test_metrics_that_would_stop_the_average_are_refused(metrics: dict[str, Any]) -> None:
    record = ArrayRecord({name: Array(value) for name, value in weights(1).items()})
    content = RecordDict({ARRAYS: record, "metrics": MetricRecord(metrics)})
    assert unusable(Message(content, 1, "train"), SHAPES, ["train_loss"])


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({COUNT: 3, "loss": 1.0, "confusion": [1.0, 0.0, 1.0, 1.0]}, None),
        ({COUNT: 0, "loss": 0.0, "confusion": [0.0] * 4}, None),
        ({COUNT: 3, "loss": 1.0, "confusion": [1.0, 0.0, 1.0]}, "classes"),
        ({COUNT: 9, "loss": 1.0, "confusion": [1.0, 0.0, 1.0, 1.0]}, "cannot be"),
        ({COUNT: 3, "loss": float("nan"), "confusion": [1.0, 0.0, 1.0, 1.0]}, "cannot be"),
        ({COUNT: 1, "loss": 1.0, "confusion": [2.0, -1.0, 0.0, 0.0]}, "cannot be"),
        ({COUNT: 3}, "confusion"),
    ],
)
def test_scores_that_cannot_be_are_not_added_up(told: dict[str, Any], reason: str | None) -> None:
    said = unusable_scores(Message(RecordDict({"metrics": MetricRecord(told)}), 1, "evaluate"), 2)
    assert said is None if reason is None else reason in str(said)


def test_a_round_that_nobody_answers_is_an_error() -> None:
    with pytest.raises(ModelError, match="round 4"):
        ask(answering(StagesError("Gone."), 1))


def test_an_error_reply_is_known_as_such() -> None:
    grid = InProcessGrid({7: answering(StagesError("Gone."), 1)})
    message = Message(RecordDict({ARRAYS: ArrayRecord()}), 7, "train")
    (reply,) = grid.send_and_receive([message])
    assert reply.has_error()
    assert isinstance(reply.error, Error)
    assert reply.metadata.src_node_id == 7
