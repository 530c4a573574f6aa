from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("flwr")

from flwr.app import ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

import stages.learners.federated
from stages.errors import ModelError, StagesError
from stages.learners.federated.grid import InProcessGrid
from stages.learners.federated.settings import FederateSettings
from stages.learners.federated.strategy import ARRAYS, COUNT, make_strategy

assert stages.learners.federated

SHAPES = {"w": (2, 2), "b": (2,)}


def answering(arrays: dict[str, np.ndarray] | Exception, count: float) -> ClientApp:
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        if isinstance(arrays, Exception):
            raise arrays
        record = ArrayRecord({name: _array(value) for name, value in arrays.items()})
        return Message(
            RecordDict({ARRAYS: record, "metrics": MetricRecord({COUNT: count})}), reply_to=message
        )

    return app


def _array(value: np.ndarray) -> object:
    from flwr.app import Array

    return Array(value)


def ask(*apps: ClientApp) -> tuple[dict[str, np.ndarray], list[tuple[int, str]]]:
    strategy = make_strategy(FederateSettings(), SHAPES, len(apps))
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
    import re

    assert re.search(reason, told)


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
