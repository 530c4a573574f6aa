"""A federation: one client is plain training, a stopped one goes on, what is exchanged is what is said."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from federations import make_learner, make_task

pytest.importorskip("flwr")

from segmentation.errors import TrainingError
from stages.errors import DataError, ModelError
from stages.learners.federated import client as clients
from stages.learners.federated.learner import FederatedLearner, federated_settings
from stages.learners.federated.records import read_federated
from stages.learners.model import load_model
from stages.learners.network.loading import State, load_state


def fit(learner: FederatedLearner, folder: Path) -> State:
    task, _ = make_task()
    folder.mkdir(exist_ok=True)
    learner.fit(task, folder)
    return load_state(folder / "weights.safetensors")


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def named(name: str, start: State) -> str:
    """The name in the file of a backbone of a network's weight."""
    bare = name.removeprefix("backbone.")
    return bare if bare in start else name


@pytest.mark.parametrize("policy", ["full", "film", "frozen"])
def test_one_client_is_centralised_training_weight_for_weight(tmp_path: Path, policy: str) -> None:
    task, samples = make_task()
    learner = make_learner(tmp_path, samples, {"policy": policy}, clients=1, rounds=3, local_epochs=2)
    together = fit(learner, tmp_path / "federated")
    (tmp_path / "central").mkdir()
    rules = federated_settings(learner.base.settings, learner.settings)
    replace(learner.base, settings=rules).fit(task, tmp_path / "central")
    assert same(together, load_state(tmp_path / "central" / "weights.safetensors"))


@pytest.mark.parametrize(("client", "number"), [(2, 2)])
def test_a_stopped_federation_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: int, number: int
) -> None:
    _, samples = make_task()
    learner = make_learner(tmp_path, samples, local_epochs=2)
    whole = fit(learner, tmp_path / "whole")
    train = clients.train_stage

    def stop(network: Any, task: Any, settings: Any, folder: Path, *more: Any) -> Any:
        leg = more[-1]
        if folder.name == f"{client:02d}" and leg.until == 2 * number:  # behind the first of the two epochs
            train(network, task, settings, folder, *more[:-1], replace(leg, until=leg.begin + 1))
            raise KeyboardInterrupt
        return train(network, task, settings, folder, *more)

    with monkeypatch.context() as patch:
        patch.setattr(clients, "train_stage", stop)
        with pytest.raises(KeyboardInterrupt):
            fit(learner, tmp_path / "parts")
    assert not (tmp_path / "parts" / "model.json").exists()
    assert same(fit(learner, tmp_path / "parts"), whole)


def test_a_client_that_was_gone_takes_back_the_round_that_the_others_finished_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, samples = make_task()
    learner = make_learner(tmp_path, samples, {"policy": "frozen"}, rounds=3, local_epochs=2)
    train = clients.train_stage

    def stop(network: Any, task: Any, settings: Any, folder: Path, *more: Any) -> Any:
        train(network, task, settings, folder, *more[:-1], replace(more[-1], until=more[-1].begin + 1))
        raise KeyboardInterrupt

    found = []
    for name, killed in (("gone", True), ("asleep", False)):
        (client, _) = learner.clients(task, tmp_path / name)
        shared = {one: client.initial[one] for one in client.shared}
        shared, _ = client.train(shared, 1)
        if killed:
            with monkeypatch.context() as patch:
                patch.setattr(clients, "train_stage", stop)
                with pytest.raises(KeyboardInterrupt):
                    client.train({one: value + 1 for one, value in shared.items()}, 2)
        (client, _) = learner.clients(task, tmp_path / name)  # a new process
        found.append(client.train(shared, 3)[0])
    assert same(*found)


def test_a_round_that_is_asked_again_is_not_trained_or_spent_again(tmp_path: Path) -> None:
    task, samples = make_task()
    learner = make_learner(tmp_path, samples, dp="sgd", delta=1e-3)
    (client, _) = learner.clients(task, tmp_path)
    shared = {one: client.initial[one] for one in client.shared}
    once = client.train(shared, 1)[0]
    (client, _) = learner.clients(task, tmp_path)
    assert same(once, client.train(shared, 1)[0])
    assert set(client.budget.spent if client.budget else ()) == {1}


def test_a_secret_changes_the_noise_and_nothing_else(tmp_path: Path) -> None:
    task, samples = make_task()
    for dp in ("sgd", "least-squares"):
        learner = make_learner(tmp_path, samples, dp=dp, delta=1e-3)
        told = []
        for place, secret in enumerate((0, 5, 5)):
            (client, _) = learner.clients(task, tmp_path / f"{dp}{place}")
            client = replace(client, secret=secret)
            shared = {one: client.initial[one] for one in client.shared}
            told.append(client.sums() if dp == "least-squares" else client.train(shared, 1)[0])
        assert same(told[1], told[2])
        assert not same(told[0], told[1])


def test_a_client_that_fails_is_left_out_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, samples = make_task()
    learner = make_learner(tmp_path, samples)
    train = clients.Client.train

    def fail(self: clients.Client, arrays: State, number: int, proximal: float = 0.0) -> Any:
        state, scores = train(self, arrays, number, proximal)
        if self.node == 2 and number == 1:
            raise TrainingError("Expected the training loss to stay finite, but it became nan")
        if self.node == 1 and number == 2:
            state = {name: value * torch.nan for name, value in state.items()}
        return state, scores

    monkeypatch.setattr(clients.Client, "train", fail)
    weights = fit(learner, tmp_path / "run")
    told = read_federated(tmp_path / "run")
    assert [(one.round, one.client) for one in told.refused] == [(1, "client 2"), (2, "client 1")]
    assert "loss" in told.refused[0].reason
    assert "not finite" in told.refused[1].reason
    assert all(torch.isfinite(value).all() for value in weights.values())
    assert len(told.history) == 2


def test_batch_norms_stay_home_under_fedbn(tmp_path: Path) -> None:
    _, samples = make_task()
    weights = fit(make_learner(tmp_path, samples, strategy="fedbn", rounds=1), tmp_path / "run")
    start = load_state(tmp_path / "start.safetensors")
    own = [load_state(tmp_path / "run" / "clients" / name / "weights.safetensors") for name in ("01", "02")]
    norms = [name for name in weights if "running_mean" in name]
    assert norms
    for name in norms:
        assert torch.equal(weights[name], start[named(name, start)])
        assert not torch.equal(own[0][name], own[1][name])
    head = next(name for name in weights if name.startswith("head."))
    assert torch.equal(own[0][head], own[1][head])
    assert load_model(tmp_path / "run" / "clients" / "01").classes == ("dark", "bright")


def test_fedprox_keeps_clients_nearer_to_where_they_began(tmp_path: Path) -> None:
    _, samples = make_task()
    moved = {}
    for mu in (1e-9, 1000.0):
        learner = make_learner(tmp_path, samples, strategy="fedprox", proximal=mu, rounds=1, local_epochs=2)
        start = load_state(tmp_path / "start.safetensors")
        weights = fit(learner, tmp_path / f"mu{mu}")
        names = [name for name in weights if name.endswith("weight") and name.startswith("backbone.")]
        moved[mu] = sum(float((weights[name] - start[named(name, start)]).square().sum()) for name in names)
    assert moved[1000.0] < 0.5 * moved[1e-9]


def test_no_socket_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def refuse(*arguments: object, **more: object) -> None:
        asked.append(arguments)
        raise AssertionError("a socket was asked for")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    _, samples = make_task()
    fit(make_learner(tmp_path, samples, rounds=1), tmp_path / "run")
    assert asked == []  # nor was the refusal swallowed


def test_flower_tells_nobody_that_it_is_used() -> None:
    # In a process of its own: Flower looks once, when it is imported, and other tests import it by themselves.
    code = "import stages.learners.federated; from flwr.supercore import telemetry as t; print(t.FLWR_TELEMETRY_ENABLED)"
    environment = {key: value for key, value in os.environ.items() if key != "FLWR_TELEMETRY_ENABLED"}
    told = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "0"


@pytest.mark.parametrize("dp", ["sgd", "least-squares"])
def test_privacy_is_counted_and_written_down(tmp_path: Path, dp: str) -> None:
    _, samples = make_task()
    weights = fit(make_learner(tmp_path, samples, dp=dp, epsilon=3.0, delta=1e-3), tmp_path / "run")
    told = read_federated(tmp_path / "run")
    for client in told.clients:
        rdp, prv = list(client.spent.values())[-1]
        assert prv <= rdp <= 3.0 + 1e-9
        assert rdp > 2.8
    assert "differentially private" in told.guarantee
    start = load_state(tmp_path / "start.safetensors")
    frozen = {name: value for name, value in weights.items() if name.startswith("backbone.")}
    assert frozen
    assert all(torch.equal(value, start[named(name, start)]) for name, value in frozen.items())
    if dp == "sgd":
        known = json.loads((tmp_path / "run" / "rounds" / "rounds.json").read_text())
        assert set(known["spent"]) == {"1", "2"}


def test_training_stops_at_epsilon(tmp_path: Path) -> None:
    _, samples = make_task()
    learner = make_learner(tmp_path, samples, dp="sgd", epsilon=1e-3, noise=1.0)
    with pytest.raises(ModelError, match="epsilon"):
        fit(learner, tmp_path / "run")


def test_without_privacy_nothing_is_promised(tmp_path: Path) -> None:
    _, samples = make_task()
    fit(make_learner(tmp_path, samples, rounds=1), tmp_path / "run")
    assert read_federated(tmp_path / "run").guarantee.startswith("No privacy is guaranteed")


@pytest.mark.parametrize("trained", ["head", "film", "full"])
def test_a_private_training_that_was_stopped_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: str
) -> None:
    _, samples = make_task()
    learner = make_learner(tmp_path, samples, dp="sgd", dp_train=trained, delta=1e-3, local_epochs=2)
    whole = fit(learner, tmp_path / "whole")
    train = clients.train_stage

    def stop(network: Any, task: Any, settings: Any, folder: Path, *more: Any) -> Any:
        leg = more[-1]
        if folder.name == "02" and leg.until == 4:  # behind the first of the second round's epochs
            train(network, task, settings, folder, *more[:-1], replace(leg, until=leg.begin + 1))
            raise KeyboardInterrupt
        return train(network, task, settings, folder, *more)

    with monkeypatch.context() as patch:
        patch.setattr(clients, "train_stage", stop)
        with pytest.raises(KeyboardInterrupt):
            fit(learner, tmp_path / "parts")
    assert same(fit(learner, tmp_path / "parts"), whole)


@pytest.mark.parametrize(
    ("trained", "said"), [("film", "statistics"), ("full", "statistics"), ("head", "frozen")]
)
def test_what_dp_sgd_trains_is_what_is_exchanged(tmp_path: Path, trained: str, said: str) -> None:
    task, samples = make_task()
    learner = make_learner(tmp_path, samples, dp="sgd", dp_train=trained, epsilon=8.0, delta=1e-3, rounds=1)
    weights = fit(learner, tmp_path / "run")
    told = read_federated(tmp_path / "run")
    assert said in told.batch_norms
    _, shared = learner.start(task)
    assert told.shared == len(shared)
    start = load_state(tmp_path / "start.safetensors")
    kept = {
        name
        for name in weights
        if torch.equal(weights[name], start.get(named(name, start), torch.tensor(torch.nan)))
    }
    assert kept == {name for name in weights if name.startswith("backbone.")} - set(shared)
    norms = {name.rpartition(".")[0] for name in weights if name.endswith("running_mean")}
    assert not any("running_" in name for name in shared)
    backbone = {name for name in shared if name.startswith("backbone.")}
    if trained == "film":
        assert backbone == {f"{norm}.{part}" for norm in norms for part in ("weight", "bias")}
    assert bool(backbone) == (trained != "head")
    # It is a network like any other: batch normalisation stands where it stood.
    model = load_model(tmp_path / "run")
    assert any(isinstance(layer, torch.nn.BatchNorm2d) for layer in model.network.modules())
    assert model.prepared_probabilities(task.images[:3]).shape == (3, 2)


def test_more_clients_than_groups_are_refused(tmp_path: Path) -> None:
    _, samples = make_task()
    with pytest.raises(DataError, match="--clients"):
        fit(make_learner(tmp_path, samples, clients=30), tmp_path / "run")


def test_the_data_of_clients_make_up_the_whole(tmp_path: Path) -> None:
    task, samples = make_task()
    own = make_learner(tmp_path, samples, clients=3).clients(task, tmp_path)
    for part, rows in task.rows.items():
        np.testing.assert_array_equal(np.sort(np.concatenate([one.task.rows[part] for one in own])), rows)
