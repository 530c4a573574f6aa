"""Flower's Grid without a network: every message is answered at once, in this process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from uuid import uuid4

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from segmentation.errors import MtlError

__all__ = ["FAILED", "InProcessGrid", "answer", "identify"]

FAILED = 1
"""Code of an error reply; what happened stands in its reason."""


def identify() -> None:
    """Let this process send messages: every one says who sends it, which Flower's launcher sets where there is one."""
    TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 0


def answer(app: ClientApp, message: Message, context: Context) -> Message:
    """Return what an app answers; what it raises on purpose is an answer, too."""
    try:
        return app(message, context)
    except MtlError as error:
        return Message(Error(FAILED, str(error)), reply_to=message)


class InProcessGrid(Grid):
    """Carry messages between a strategy and the apps of some clients, one after the other.

    Args:
        apps: Of the clients, by node id.
    """

    def __init__(self, apps: Mapping[int, ClientApp]) -> None:
        self.apps = dict(apps)
        self.contexts = {
            node: Context(run_id=0, node_id=node, node_config={}, state=RecordDict(), run_config={})
            for node in self.apps
        }
        self._replies: dict[str, Message] = {}
        self._run = Run.create_empty(0)
        identify()

    def set_run(self, run: Run) -> None:
        """Take the run that messages are of."""
        self._run = run

    @property
    def run(self) -> Run:
        """The run that messages are of."""
        return replace(self._run)

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Return a new message."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> list[int]:
        """Return the ids of all clients, rising."""
        return sorted(self.apps)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Have messages answered, in the order of their clients; an error of a client is its answer."""
        asked = sorted(messages, key=lambda one: one.metadata.dst_node_id)
        for message in asked:
            message.metadata.__dict__["_message_id"] = str(uuid4())  # as Flower's own in-memory grid does
        pushed = [message.metadata.message_id for message in asked]
        self._replies.update(zip(pushed, self.answers(asked), strict=True))
        return pushed

    def answers(self, messages: Sequence[Message]) -> list[Message]:
        """Return the answers to messages, in their order."""
        nodes = [message.metadata.dst_node_id for message in messages]
        return [
            answer(self.apps[node], message, self.contexts[node])
            for node, message in zip(nodes, messages, strict=True)
        ]

    def close(self) -> None:
        """Let go of what carries the messages."""

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the answers to messages, once."""
        return [self._replies.pop(name) for name in message_ids if name in self._replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Return the answers to messages."""
        return self.pull_messages(self.push_messages(messages))
