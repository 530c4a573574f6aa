"""Flower's simulation on Ray ends where the one in this process ends."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import ray
import torch
from federations import make_learner, make_task
from flwr.app import ArrayRecord, Message, MessageType, RecordDict

from stages.errors import ModelError
from stages.learners.federated.learner import FederatedLearner
from stages.learners.federated.ray_grid import RayGrid
from stages.learners.federated.records import read_federated
from stages.learners.federated.strategy import ARRAYS
from stages.learners.network.loading import load_state
from stages.task import Task

# Ray leaves files and processes to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """A process of Ray has as many threads as a client has cores, and sums depend on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    assert not ray.is_initialized()
    gc.collect()


def _fitted(learner: FederatedLearner, task: Task, folder: Path) -> dict[str, torch.Tensor]:
    learner.fit(task, folder)
    return load_state(folder / "weights.safetensors")


@pytest.mark.parametrize("more", [{}, {"dp": "sgd", "epsilon": 8.0, "delta": 1e-3}])
def test_both_engines_end_with_the_same_weights(tmp_path: Path, more: dict[str, object]) -> None:
    task, samples = make_task()
    plain = _fitted(make_learner(tmp_path, samples, **more), task, tmp_path / "plain")
    side = _fitted(make_learner(tmp_path, samples, engine="ray", **more), task, tmp_path / "ray")
    assert plain.keys() == side.keys()
    for name, value in plain.items():
        assert torch.equal(value, side[name]), name
    one, other = (read_federated(tmp_path / name) for name in ("plain", "ray"))
    assert one.history == other.history
    assert one.clients == other.clients


def test_a_client_s_refusal_comes_back_as_its_sentence(tmp_path: Path) -> None:
    task, samples = make_task()
    learner = make_learner(tmp_path, samples, engine="ray", dp="sgd", epsilon=1e-3, delta=1e-3, noise=0.5)
    with pytest.raises(ModelError, match=r"none could be used: .*would spend more than epsilon 0.001"):
        learner.fit(task, tmp_path / "run")


def test_a_client_that_asks_for_more_than_the_machine_has_is_one_sentence(tmp_path: Path) -> None:
    task, samples = make_task()
    learner = make_learner(tmp_path, samples, engine="ray", client_cpus=1000)
    with pytest.raises(ModelError, match=r"1000 cores.*--engine process"):
        learner.fit(task, tmp_path / "run")


def test_a_process_that_dies_is_its_client_s_answer_and_another_takes_its_place(tmp_path: Path) -> None:
    task, samples = make_task()
    learner = make_learner(tmp_path, samples, engine="ray")
    clients = learner.clients(task, tmp_path)
    weights = ArrayRecord({name: clients[0].initial[name] for name in clients[0].shared})

    def asked(grid: RayGrid) -> list[bool]:
        content = RecordDict({ARRAYS: weights})
        replies = grid.send_and_receive([Message(content, node, MessageType.EVALUATE) for node in (1, 2)])
        return [reply.has_error() for reply in replies]

    with closing(RayGrid(clients, learner.settings)) as grid:
        assert asked(grid) == [False, False]
        ray.kill(grid.pool.pool[-1])
        assert sum(asked(grid)) == 1
        assert asked(grid) == [False, False]
