"""The server's end of a network: Flower's SuperLink in this process, with its Fleet API over TLS and nothing else.

`flower-superlink` serves three interfaces at one port. Whoever reaches its Control API may register a node or start a run, without a
key; its Runtime API hands out tasks. Neither is needed where the server's app runs in the SuperLink's own process, so neither is
served: what can be reached are the calls of SuperNodes, each signed by a key that was registered here.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import uvicorn
from fastapi import FastAPI
from flwr.app import Error, Message, RecordDict
from flwr.common.constant import NOOP_ACCOUNT_NAME, NOOP_FLWR_AID, SubStatus
from flwr.server.superlink.linkstate import LinkState
from flwr.supercore.constant import FLWR_IN_MEMORY_DB_NAME, NOOP_FEDERATION_ID, TaskType
from flwr.supercore.error import http_error_translator
from flwr.supercore.protobuf.translation import ProtobufTranslationMiddleware
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.config_loader import get_federation_manager, get_objectstore_linkstate_factories
from flwr.superlink.grid import HttpGrid
from flwr.superlink.routers.fleet.node_auth import NodeAuthMiddleware
from flwr.superlink.routers.fleet.router import router as fleet_router
from flwr.superlink.servicer.runtime import runtime_handlers
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware

from stages.errors import ModelError
from stages.learners.federated.grid import FAILED

__all__ = ["PLAN", "SuperLinkGrid", "Tls", "superlink"]

PLAN = "query.plan"
"""Type of the message that greets a client and asks it who it is."""
_PAUSE = 0.2
"""Seconds between two looks for answers."""


@dataclass(frozen=True)
class Tls:
    """Files that a server proves itself by, in PEM.

    Attributes:
        certificate: Its own, signed by the authority that clients trust.
        key: Of the certificate.
    """

    certificate: Path
    key: Path


class SuperLinkGrid(HttpGrid):
    """Flower's grid of a server app, whose SuperLink is in this process.

    Args:
        state: Of the SuperLink.
        names: Of the clients that have a key, by node.
        timeout: Seconds that a client may take for an answer.

    Attributes:
        port: That it is served at.
        plan: What greets a client that comes; nobody is greeted, or takes part, before it is there.
        admits: Given a node and its answer to the greeting, says whether it takes part.
        admitted: Nodes of those who do.
    """

    def __init__(self, state: LinkState, names: Mapping[int, str], timeout: float) -> None:
        super().__init__(token="none")  # noqa: S106 - nothing is asked over HTTP
        self.state, self.names, self.timeout = state, names, timeout
        self.port = 0
        self.admitted: set[int] = set()
        self.plan: RecordDict | None = None
        self.admits: Callable[[int, Message], bool] = lambda node, reply: not reply.has_error()
        self._since: dict[int, str] = {}
        self._greeted: dict[str, Message] = {}
        run = state.create_run(
            None, None, None, {}, NOOP_FEDERATION_ID, None, NOOP_FLWR_AID, TaskType.SERVER_APP
        )
        (info,) = state.get_run_info(run_ids=[run])
        (self._task,) = state.get_tasks(run_ids=[run])
        state.claim_task(self._task.task_id)
        state.activate_task(self._task.task_id)
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = run, 1, self._task.task_id
        self.set_run(info)

    @property
    def _runtime_client(self) -> Any:
        self.state.acknowledge_task_heartbeat(self._task.task_id)
        calls = ("push_messages", "pull_messages", "push_object", "pull_object", "confirm_message_received")
        asked = {"state": self.state, "task": self._task}
        return SimpleNamespace(
            **{
                name.title().replace("_", ""): partial(getattr(runtime_handlers, name), **asked)
                for name in calls
            }
        )

    def get_node_ids(self) -> list[int]:
        """Return the nodes of clients that are there and were admitted; those that came since are greeted."""
        self.state.acknowledge_task_heartbeat(self._task.task_id)
        online = self._online()
        for node in [one for one, since in self._since.items() if online.get(one) != since]:
            del self._since[node]
            self.admitted.discard(node)
            self._forget({name for name, one in self._greeted.items() if one.metadata.dst_node_id == node})
        new = [node for node in online if node not in self._since]
        self._since |= {node: online[node] for node in new}
        if self.plan is not None and new:
            self._greeted |= self._sent([Message(self.plan, node, PLAN) for node in new])
        for reply in self._answers(self._greeted):
            node = reply.metadata.src_node_id
            if node in self._since and self.admits(node, reply):
                self.admitted.add(node)
        return sorted(self.admitted)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Return an answer to every message: an error where a client is gone, was started again, or takes too long.

        Who comes meanwhile is greeted, so that the next round finds it.
        """
        waiting, end = self._sent(list(messages)), time.monotonic() + (timeout or self.timeout)
        since = dict(self._since)
        found: list[Message] = []
        while waiting:
            found += self._answers(waiting)
            online, late = self._online(), time.monotonic() > end
            for name, message in list(waiting.items()):
                node, why = message.metadata.dst_node_id, ""
                if online.get(node) != since.get(node):
                    why = "It was gone before it had answered."
                elif late:
                    why = f"It did not answer within {timeout or self.timeout:g} seconds."
                if why:
                    found.append(_error(why, waiting.pop(name)))
                    self._forget({name})
            if waiting:
                self.get_node_ids()
                time.sleep(_PAUSE)
        return found

    def finish(self) -> None:
        """Say that the run is over: what clients still send is refused."""
        self.state.finish_task(self._task.task_id, SubStatus.COMPLETED, "")

    def _online(self) -> dict[int, str]:
        """Return since when every node is there, by node."""
        info = self.state.get_node_info(node_ids=list(self.state.get_nodes(self.run.run_id)))
        return {one.node_id: one.last_activated_at for one in info}

    def _forget(self, names: set[str]) -> None:
        """Take back messages that nobody waits for any longer."""
        self.state.delete_messages(names)
        for name in names:
            self._greeted.pop(name, None)

    def _sent(self, messages: list[Message]) -> dict[str, Message]:
        names = self.push_messages(messages) if messages else []
        return {name: message for name, message in zip(names, messages, strict=True) if name}

    def _answers(self, waiting: dict[str, Message]) -> list[Message]:
        """Return the answers that are there, each from the node that was asked, and take their questions from `waiting`."""
        replies = self.pull_messages(list(waiting)) if waiting else []
        asked = [(reply, waiting.pop(reply.metadata.reply_to_message_id)) for reply in replies]
        return [
            _error(str(reply.error.reason), message) if reply.has_error() else reply
            for reply, message in asked
        ]


@contextlib.contextmanager
def superlink(
    host: str, port: int, tls: Tls, keys: Mapping[str, bytes], timeout: float
) -> Iterator[SuperLinkGrid]:
    """Serve a SuperLink, and give the grid that reaches its clients.

    Args:
        host: Address to listen at.
        port: 0 for any that is free.
        tls: What the server proves itself by.
        keys: Public key of every client in PEM, by its name; no other can call.
        timeout: Seconds that a client may take for an answer.

    Raises:
        ModelError: If certificate or port cannot be used.
    """
    _, factory = get_objectstore_linkstate_factories(FLWR_IN_MEMORY_DB_NAME, get_federation_manager())
    state = factory.state()
    names = {
        state.create_node(NOOP_FLWR_AID, NOOP_ACCOUNT_NAME, key, 0): name
        for name, key in sorted(keys.items())
    }
    app = FastAPI(
        openapi_url=None,
        middleware=[
            Middleware(BaseHTTPMiddleware, dispatch=http_error_translator),
            Middleware(ProtobufTranslationMiddleware),
            Middleware(NodeAuthMiddleware),
        ],
    )
    app.state.linkstate_factory, app.state.enable_supernode_auth = factory, True
    app.include_router(fleet_router)
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    try:
        config = uvicorn.Config(
            app, host, port, log_config=None, access_log=False, lifespan="off", ws="none", loop="asyncio",
            ssl_certfile=tls.certificate, ssl_keyfile=str(tls.key), timeout_graceful_shutdown=2,
        )  # fmt: skip
        config.load()
        listening = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
    except OSError as error:
        raise ModelError(
            f"Expected {host}:{port} to be free and {tls.certificate} to be a certificate with its key, but cannot serve: {error}; do choose others"
        ) from error
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), name="superlink", daemon=True)
    thread.start()
    grid = SuperLinkGrid(state, names, timeout)
    grid.port = listening.getsockname()[1]
    try:
        yield grid
    finally:
        grid.finish()
        server.should_exit = True
        thread.join(timeout=5)
        listening.close()


def _error(reason: str, message: Message) -> Message:
    # What a client says is shown to people: one line, and no more than fits there.
    text = "".join(letter if letter.isprintable() else " " for letter in reason)[:300]
    return Message(Error(FAILED, text), reply_to=message)
