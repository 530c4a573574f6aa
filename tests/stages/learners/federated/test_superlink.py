"""A SuperLink and SuperNodes on loopback, in one process: what they learn is what a simulation learns, and strangers stay outside."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from federations import make_learner, make_task

pytest.importorskip("flwr")

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from mtl.federate.keys import CERTIFICATE, KEY, client_keys, make_client_key, make_server_keys
from stages.errors import ModelError
from stages.learners.federated.superlink import SuperLinkGrid, Tls, superlink
from stages.learners.federated.supernode import SuperNode
from stages.learners.network.loading import load_state


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys of a server called localhost, of clients one and two, and of a stranger."""
    folder = tmp_path_factory.mktemp("keys")
    make_server_keys(folder, "localhost")
    for name in ("one", "two"):
        make_client_key(folder / "clients", name)
    make_client_key(folder, "stranger")
    return folder


@contextmanager
def served(keys: Path) -> Iterator[SuperLinkGrid]:
    with superlink("localhost", 0, Tls(keys / CERTIFICATE, keys / KEY), client_keys(keys), 60) as grid:
        grid.plan = RecordDict({"told": ConfigRecord({"json": "plan"})})
        yield grid


def node(keys: Path, folder: Path, port: int, name: str, wait: float = 2.0) -> SuperNode:
    folder.mkdir(exist_ok=True)
    return SuperNode(f"localhost:{port}", keys / "ca.pem", keys / f"{name}.key", folder, wait)


def in_turn(inner: ClientApp, turn: threading.Lock) -> ClientApp:
    """The same app with a greeting; threads of one process share one source of randomness, so one trains at a time."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        with turn:
            return inner(message, context)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return inner(message, context)

    @app.query("plan")
    def plan(message: Message, context: Context) -> Message:
        return Message(message.content, reply_to=message)

    return app


@pytest.mark.timeout(600)
def test_a_network_learns_what_a_simulation_learns(tmp_path: Path, keys: Path) -> None:
    task, samples = make_task()
    learner = make_learner(tmp_path, samples, {"policy": "frozen"})
    (tmp_path / "alone").mkdir()
    learner.fit(task, tmp_path / "alone")
    over = tmp_path / "network"
    over.mkdir()
    clients, ended, turn, failed = learner.clients(task, over), threading.Event(), threading.Lock(), []

    def answer(number: int, name: str, grid: SuperLinkGrid) -> None:
        try:
            one = node(keys, over / name, grid.port, f"clients/{name}")
            one.serve(in_turn(clients[number].app(), turn), ended.is_set)
        except Exception as error:
            failed.append(error)

    with served(keys) as grid:
        threads = [
            threading.Thread(target=answer, args=(number, name, grid), daemon=True)
            for number, name in enumerate(("one", "two"))
        ]
        for thread in threads:
            thread.start()
        while len(grid.get_node_ids()) < 2 and not failed:
            ended.wait(0.1)
        assert not failed
        learner.federate(grid, clients[0], over, 2)
        ended.set()
        for thread in threads:
            thread.join(10)
    assert not failed
    one, other = (load_state(folder / "weights.safetensors") for folder in (tmp_path / "alone", over))
    for name, value in one.items():
        # Nodes have numbers by chance, and a sum of floats depends on its order.
        torch.testing.assert_close(other[name], value, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("key", "said"),
    [("stranger", "know this key"), ("clients/one.pub", "private key"), ("absent", "private key")],
)
def test_who_has_no_key_stays_outside(tmp_path: Path, keys: Path, key: str, said: str) -> None:
    file = keys / key if key.endswith(".pub") else keys / f"{key}.key"
    with served(keys) as grid, pytest.raises(ModelError, match=said):
        SuperNode(f"localhost:{grid.port}", keys / "ca.pem", file, tmp_path, 2.0).serve(ClientApp(), bool)


def test_a_server_of_another_authority_is_refused(tmp_path: Path, keys: Path) -> None:
    make_server_keys(tmp_path / "other", "localhost")
    with served(keys) as grid, pytest.raises(ModelError, match="certificate"):
        SuperNode(
            f"localhost:{grid.port}",
            tmp_path / "other" / "ca.pem",
            keys / "clients" / "one.key",
            tmp_path,
            2.0,
        ).serve(ClientApp(), bool)


def test_a_certificate_of_another_host_is_refused(tmp_path: Path, keys: Path) -> None:
    with served(keys) as grid, pytest.raises(ModelError, match="certificate"):
        SuperNode(
            f"127.0.0.1:{grid.port}", keys / "ca.pem", keys / "clients" / "one.key", tmp_path, 2.0
        ).serve(ClientApp(), bool)


def test_a_server_that_is_not_there_is_named(tmp_path: Path, keys: Path) -> None:
    with served(keys) as grid:
        port = grid.port
    with pytest.raises(ModelError, match=f"localhost:{port}"):
        node(keys, tmp_path, port, "clients/one", 0.5).serve(ClientApp(), bool)


def test_a_port_that_is_taken_is_named(keys: Path) -> None:
    tls: Any = Tls(keys / CERTIFICATE, keys / KEY)
    with (
        served(keys) as grid,
        pytest.raises(ModelError, match=str(grid.port)),
        superlink("localhost", grid.port, tls, client_keys(keys), 1),
    ):
        pass
