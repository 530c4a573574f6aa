"""Central privacy: clipping and noise by hand, epsilon by the closed form of the Gaussian mechanism."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from federations import make_learner, make_task

pytest.importorskip("flwr")

from flwr.app import ArrayRecord, ConfigRecord
from test_federated_learner import fit, same
from test_strategy import SHAPES, answering, weights

from stages.errors import ModelError, StagesError
from stages.learners.federated import client as clients
from stages.learners.federated.grid import InProcessGrid
from stages.learners.federated.learner import federated_settings
from stages.learners.federated.privacy import analytic_gaussian, central_budget
from stages.learners.federated.records import read_federated
from stages.learners.federated.settings import FederateSettings
from stages.learners.federated.strategy import Central, make_strategy
from stages.learners.network.loading import State, load_state

CENTRAL: dict[str, Any] = {"dp": "central", "rounds": 4, "noise": 2.0, "clip": 0.5, "epsilon": 100.0}


def released(
    sent: list[Any], number: int = 1, secret: tuple[int, ...] = (3,), **told: Any
) -> tuple[dict[str, np.ndarray], Central]:
    settings = FederateSettings.model_validate(CENTRAL | told)
    strategy = make_strategy(settings, SHAPES, 2, len(sent), secret=secret)
    assert isinstance(strategy, Central)
    grid = InProcessGrid({node: answering(one, 10 * node) for node, one in enumerate(sent, 1)})
    start = ArrayRecord({name: torch.from_numpy(value) for name, value in weights(0).items()})
    asked = strategy.configure_train(number, start, ConfigRecord(), grid)
    arrays, metrics = strategy.aggregate_train(number, grid.send_and_receive(asked))
    assert arrays is not None
    assert metrics is not None
    return {name: array.numpy() for name, array in arrays.items()}, strategy


def clipped(one: dict[str, np.ndarray]) -> np.ndarray:
    step = np.concatenate([(one[name] - weights(0)[name]).ravel() for name in SHAPES]).astype(np.float64)
    return step * min(1.0, 0.5 / np.linalg.norm(step))


def flat(arrays: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([arrays[name].ravel() for name in SHAPES]).astype(np.float64)


def test_steps_are_clipped_averaged_alike_and_get_their_noise() -> None:
    near = {name: value + np.float32(0.01) for name, value in weights(0).items()}
    sent = [weights(1), near, weights(0)]  # far, near, and not moved at all
    found, _ = released(sent)
    random = np.random.default_rng([3, 1])
    noise = np.concatenate([random.normal(0, 2.0 * 0.5, shape).ravel() for shape in SHAPES.values()])
    assert np.linalg.norm(clipped(weights(1))) == pytest.approx(0.5)
    wanted = flat(weights(0)) + (clipped(weights(1)) + clipped(near) + noise) / 3
    np.testing.assert_allclose(flat(found), wanted, rtol=1e-5, atol=1e-6)


def test_a_client_more_or_less_moves_the_sum_by_no_more_than_clip() -> None:
    whole, _ = released([weights(1), weights(2), weights(3)])
    less, strategy = released([weights(1), StagesError("Its disk is full."), weights(3)])
    # The same noise is in both, and goes away; who is left out counts as one that stood still.
    assert np.linalg.norm(3 * (flat(whole) - flat(less))) == pytest.approx(0.5, rel=1e-4)
    assert [one.reason for one in strategy.refused] == ["Its disk is full."]
    assert set(strategy.spent) == {1, 3}


def test_noise_is_as_wide_as_it_is_said_and_follows_from_secret_and_round() -> None:
    still = [weights(0)] * 4
    drawn = [flat(released(still, secret=(seed,))[0]) - flat(weights(0)) for seed in range(300)]
    assert np.std(drawn) == pytest.approx(2.0 * 0.5 / 4, rel=0.05)
    again = flat(released(still, secret=(0,))[0]) - flat(weights(0))
    np.testing.assert_array_equal(again, drawn[0])
    other = flat(released(still, number=2, secret=(0,))[0]) - flat(weights(0))
    assert not np.allclose(other, drawn[0])
    assert released(still)[1].drowning == pytest.approx(2.0 * np.sqrt(6) / 4)


@pytest.mark.parametrize(("epsilon", "rounds"), [(1.0, 1), (2.0, 10), (8.0, 3)])
def test_epsilon_is_that_of_one_gaussian(epsilon: float, rounds: int) -> None:
    told = FederateSettings(dp="central", epsilon=epsilon, delta=1e-3, rounds=rounds)
    budget = central_budget(told)
    for number in range(1, rounds + 1):
        assert budget.allows(number)
        budget.spend(number)
    rdp, prv = budget.spent[rounds]
    assert prv <= rdp <= epsilon
    # T releases with noise s are one with s / sqrt(T), whose epsilon has a closed form.
    assert analytic_gaussian(prv, 1e-3, 1.0) == pytest.approx(budget.noise / np.sqrt(rounds), rel=0.02)
    assert not budget.allows(rounds + 1) or rdp < 0.99 * epsilon


def test_a_round_that_would_go_beyond_is_not_asked_for() -> None:
    still = [weights(0)] * 2
    with pytest.raises(ModelError, match="--epsilon"):
        released(still, epsilon=1.0, noise=0.5)
    once = central_budget(FederateSettings.model_validate(CENTRAL | {"rounds": 1}))
    once.spend(1)
    enough = once.spent[1][0] * 1.01
    released(still, number=1, epsilon=enough)
    with pytest.raises(ModelError, match="round 2"):
        released(still, number=2, epsilon=enough)


@pytest.mark.parametrize("trained", ["head", "film", "full"])
def test_a_federation_is_written_down_and_goes_on_with_the_same_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: str
) -> None:
    _, samples = make_task()
    learner = make_learner(tmp_path, samples, dp="central", dp_train=trained, epsilon=3.0, delta=1e-2)
    whole = fit(learner, tmp_path / "whole")
    told = read_federated(tmp_path / "whole")
    for client in told.clients:
        assert set(client.spent) == {1, 2}
        assert 2.5 < client.spent[2][0] <= 3.0
        assert client.noise == central_budget(learner.settings).noise
    assert "for one client more or less" in told.guarantee
    assert "drowns" in told.guarantee
    assert told.drowning is not None
    start = load_state(tmp_path / "start.safetensors")
    norms = {name.rpartition(".")[0] for name in whole if name.endswith("running_mean")}
    for name, value in whole.items():
        kept = start.get(name.removeprefix("backbone."), start.get(name))
        if kept is not None:
            learns = trained == "full" or (trained == "film" and name.rpartition(".")[0] in norms)
            still = "running_" in name or "num_batches" in name or not learns
            assert torch.equal(value, kept) == still, name

    train = clients.Client.train

    def stop(self: clients.Client, arrays: State, number: int, proximal: float = 0.0) -> Any:
        if (self.node, number) == (2, 2):
            raise KeyboardInterrupt
        return train(self, arrays, number, proximal)

    with monkeypatch.context() as patch:
        patch.setattr(clients.Client, "train", stop)
        with pytest.raises(KeyboardInterrupt):
            fit(learner, tmp_path / "parts")
    assert same(fit(learner, tmp_path / "parts"), whole)


@pytest.mark.parametrize("dp", ["sgd", "central"])
def test_what_looks_at_several_images_is_refused(tmp_path: Path, dp: str) -> None:
    _, samples = make_task()
    learner = make_learner(tmp_path, samples, dp=dp)
    base = learner.base.settings
    for part, key, said in (("augment", "mixup", "mixup"), ("head", "batch_norm", "batch_norm=false")):
        own = getattr(base, part).model_copy(update={key: 1})
        with pytest.raises(ModelError, match=said):
            federated_settings(base.model_copy(update={part: own}), learner.settings)
