"""Flower's simulation on Ray: clients answer side by side, each in a process of a pool.

Flower's pool of Ray actors carries the messages. The grid stays ours, so that clients keep their numbers, sums their order and errors their sentences; and the
clients with their images go to Ray's object store once, where all processes map them, and not along with every message.
"""

from __future__ import annotations

import functools
import logging
import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import ray
from flwr.app import Context, Error, Message
from flwr.clientapp import ClientApp
from flwr.simulation.ray_transport.ray_actor import BasicActorPool, ClientAppActor

from stages.errors import ModelError
from stages.learners.federated.client import Client
from stages.learners.federated.grid import FAILED, InProcessGrid, answer, identify
from stages.learners.federated.settings import FederateSettings

__all__ = ["RayGrid"]

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Without a share of a GPU of its own a client uses what all see; Ray warns of what it does otherwise.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

_INIT: dict[str, Any] = {
    "include_dashboard": False,
    "log_to_driver": False,
    "logging_level": logging.ERROR,
    # By default Ray's workers give way to everything else on the machine: beside another training they would stand still.
    "_system_config": {"worker_niceness": 0},
}


class RayGrid(InProcessGrid):
    """Carry messages between a strategy and clients that answer in processes of Ray; `close` ends these.

    Args:
        clients: None of them trained in this process.
        settings: Say what each process may use.

    Raises:
        ModelError: If this machine has fewer cores or GPUs than one client asks for, or Ray does not start.
    """

    def __init__(self, clients: Sequence[Client], settings: FederateSettings) -> None:
        super().__init__({client.node: client.app() for client in clients})
        wanted: dict[str, Any] = {"num_cpus": settings.client_cpus, "num_gpus": settings.client_gpus}
        try:
            ray.init(**_INIT)
            self.pool = BasicActorPool(ClientAppActor, wanted, {})
            self.pool.add_actors_to_pool(min(self.pool.actors_capacity, len(clients)))
            held = ray.put({client.node: _plain(client) for client in clients})
        except (ValueError, RuntimeError, OSError) as error:
            ray.shutdown()
            raise ModelError(
                f"Expected Ray to start processes of {settings.client_cpus} cores and {settings.client_gpus:g} GPUs, but it does not: {error}; "
                "do lower federate.client_cpus and federate.client_gpus, or take --engine process"
            ) from error
        self._app = functools.partial(_Clients, [held])

    def answers(self, messages: Sequence[Message]) -> list[Message]:
        """Return the answers to messages, in their order; as many are worked on at once as there are processes."""
        waiting = deque(messages)
        running: dict[Any, Message] = {}
        replies: dict[str, Message] = {}
        while waiting or running:
            while waiting and self.pool.is_actor_available():
                message = waiting.popleft()
                running[self._submit(message)] = message
            (done, *_), _ = ray.wait(list(running))
            message = running.pop(done)
            replies[message.metadata.message_id] = self._fetch(done, message)
        return [replies[message.metadata.message_id] for message in messages]

    def close(self) -> None:
        """End the processes, whatever they do."""
        ray.shutdown()

    def _submit(self, message: Message) -> Any:
        node = message.metadata.dst_node_id
        return self.pool.submit(
            lambda actor, *told: actor.run.remote(*told), (self._app, message, str(node), self.contexts[node])
        )

    def _fetch(self, done: Any, message: Message) -> Message:
        try:
            reply, context = self.pool.fetch_result_and_return_actor_to_pool(done)
        except ray.exceptions.RayActorError as error:
            self.pool.add_actors_to_pool(1)
            return Message(Error(FAILED, f"Its process ended: {error}"), reply_to=message)
        self.contexts[message.metadata.dst_node_id] = context
        return reply


class _Clients(ClientApp):
    """Answers in a process of Ray for whichever client a message is for.

    Args:
        held: Reference to all clients; in a list, for Ray puts the value in the place of a bare one.
    """

    def __init__(self, held: Sequence[Any]) -> None:
        super().__init__()
        self.held = held

    def __call__(self, message: Message, context: Context) -> Message:
        identify()
        return answer(_clients(self.held[0])[context.node_id].app(), message, context)


@functools.lru_cache(maxsize=1)
def _clients(held: Any) -> Mapping[int, Client]:
    """Return the clients, whose images lie in memory that all processes share."""
    found: Mapping[int, Client] = ray.get(held)
    return found


def _plain(client: Client) -> Client:
    """Return a client whose images go to the store as bytes that can be mapped: a view of a file would be copied in every process."""
    return replace(client, task=replace(client.task, images=np.asarray(client.task.images)))
