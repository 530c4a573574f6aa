"""A client's end of a network: a SuperNode that answers with an app of this process, and never with code that a server sends.

`flower-supernode` installs and runs the app that comes from the SuperLink. A hospital's node does not: it speaks Flower's Fleet API and
hands each message to the `ClientApp` that is installed here.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
from flwr.app import Context, Error, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.clientapp import ClientApp
from flwr.common.serde import message_to_proto
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PushMessagesRequest,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import ObjectTree
from flwr.proto.node_pb2 import Node
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_protobuf_utils import (
    make_confirm_message_received_fn_protobuf,
    make_pull_object_fn_protobuf,
    make_push_object_fn_protobuf,
)
from flwr.supercore.inflatable.inflatable_utils import pull_and_inflate_object_from_tree, push_objects
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import bytes_to_private_key, public_key_to_bytes
from flwr.supercore.protobuf.client import ProtobufClientInterceptor
from flwr.supercore.retry.retry_invoker import RetryInvoker, constant
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from segmentation.errors import MtlError, TrainingError
from segmentation.files import read_json, write_json
from stages.errors import ModelError
from stages.learners.federated.grid import FAILED

__all__ = ["SuperNode"]

_BEAT = 10
"""Seconds; a SuperLink takes a client that was silent for two of them for gone, and accepts no fewer."""
_PAUSE = 0.5
"""Seconds between two looks for messages."""
_NODE = "node.json"


class SuperNode:
    """Answers the messages of one server.

    Args:
        address: HOST:PORT of the server.
        authority: Certificate in PEM of who signed the server's.
        key: Private key in PEM that the server knows the other half of.
        folder: Remembers which node this was, so that it can be started again at once.
        wait: Seconds that the server may be away.
    """

    def __init__(self, address: str, authority: Path, key: Path, folder: Path, wait: float) -> None:
        self.address, self.folder = address, folder
        try:
            private = bytes_to_private_key(key.read_bytes())
            public = private.public_key()
            self._public = public_key_to_bytes(public)
            trusted = ssl.create_default_context(cafile=authority)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ModelError(
                f"Expected {key} to be a private key and {authority} a certificate in PEM, but they cannot be read: {error}; do make them with `mtl federate keys`"
            ) from error
        signed: list[ProtobufClientInterceptor] = [
            RuntimeVersionHttpInterceptor(component_name="SuperNode"),
            NodeAuthHttpInterceptor(private, public),
        ]
        patient = RetryInvoker(
            lambda: constant(_PAUSE), httpx.TransportError, None, wait, jitter=None,
            should_giveup=lambda error: "certificate" in str(error).lower(),
        )  # fmt: skip
        self._client, self._once = (
            FleetHttpClient(f"https://{address}", interceptors=signed, verify=trusted, retry_invoker=retry)
            for retry in (patient, None)
        )

    def serve(self, app: ClientApp, ended: Callable[[], bool]) -> None:
        """Answer messages until the run has ended.

        What an app raises on purpose is its answer; where a query cannot be answered, it ends the node, too.

        Args:
            app: Answers.
            ended: Looked at after every answer.

        Raises:
            ModelError: If the server is not there, is another one, or does not know the key.
            MtlError: What the app raises for a query.
            TrainingError: If the server is gone before the run has ended.
        """
        context: Context | None = None
        with self._client, self._once, self._active() as node:
            while not ended():
                try:
                    context = self._answer(app, node, context)
                except httpx.HTTPStatusError as error:
                    if error.response.status_code != httpx.codes.UNAUTHORIZED:
                        raise TrainingError(
                            f"Expected {self.address} to go on with the run, but it has ended it; do look at the server"
                        ) from error
                    node.CopyFrom(self._activate())  # the server was started again
                except httpx.TransportError as error:
                    raise TrainingError(
                        f"Expected the server at {self.address} to come back, but it is gone; do start the same command again when it is there"
                    ) from error

    def _answer(self, app: ClientApp, node: Node, context: Context | None) -> Context | None:
        pulled = self._client.PullMessages(PullMessagesRequest(node=node))
        if not pulled.messages_list:
            time.sleep(_PAUSE)
            return context
        run = pulled.messages_list[0].metadata.run_id
        message = self._inflated(pulled.message_object_trees[0], node, run)
        context = context or Context(
            run_id=run, node_id=node.node_id, node_config={}, state=RecordDict(), run_config={}
        )
        started, failure = time.monotonic(), None
        try:
            reply = app(message, context)
        except MtlError as error:
            failure, reply = error, Message(Error(FAILED, str(error)), reply_to=message)
        self._send(reply, node, run, time.monotonic() - started)
        if failure is not None and message.metadata.message_type.startswith("query"):
            raise failure  # what the server asks for cannot be done here: nothing is left to wait for
        return context

    def _inflated(self, tree: ObjectTree, node: Node, run: int) -> Message:
        message: Message = pull_and_inflate_object_from_tree(
            tree,
            make_pull_object_fn_protobuf(self._client.PullObject, node, run),
            make_confirm_message_received_fn_protobuf(self._client.ConfirmMessageReceived, node, run),
            return_type=Message,
        )
        message.metadata.__dict__["_message_id"] = tree.object_id
        return message

    def _send(self, reply: Message, node: Node, run: int, seconds: float) -> None:
        reply.metadata.__dict__["_message_id"] = reply.object_id
        with no_object_id_recompute():
            pushed = self._client.PushMessages(
                PushMessagesRequest(
                    node=node,
                    messages_list=[message_to_proto(remove_content_from_message(reply))],
                    message_object_trees=[get_object_tree(reply)],
                    clientapp_runtime_list=[seconds],
                )
            )
            push_objects(
                get_all_nested_objects(reply),
                make_push_object_fn_protobuf(self._client.PushObject, node, run, pushed.session_id),
                object_ids_to_push=set(pushed.objects_to_push),
            )

    @contextlib.contextmanager
    def _active(self) -> Iterator[Node]:
        """Be a node of the server, and let it know that this one lives."""
        if (self.folder / _NODE).is_file():  # a process that was killed has not said that it leaves
            self._leave(Node(node_id=int(read_json(self.folder / _NODE))))
        node, stop = self._activate(), threading.Event()

        def beat() -> None:
            while not stop.wait(_BEAT / 3):
                with contextlib.suppress(httpx.HTTPError):
                    self._once.SendNodeHeartbeat(
                        SendNodeHeartbeatRequest(node=node, heartbeat_interval=_BEAT)
                    )

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield node
        except BaseException:
            self._leave(node)
            raise
        finally:
            # A node that has answered all does not leave: the server would take its last answer for lost.
            stop.set()
            thread.join()

    def _activate(self) -> Node:
        try:
            active = self._client.ActivateNode(
                ActivateNodeRequest(public_key=self._public, heartbeat_interval=_BEAT)
            )
        except httpx.HTTPStatusError as error:
            raise ModelError(
                f"Expected the server at {self.address} to know this key, but it refuses it; do give the server its .pub file, run one client a key, and set both clocks"
            ) from error
        except httpx.TransportError as error:
            if "certificate" in str(error).lower():
                raise ModelError(
                    f"Expected the server at {self.address} to show a certificate for this address that --ca has signed, but it does not: {error}; do check both"
                ) from error
            raise ModelError(
                f"Expected a server at {self.address}, but nothing answers there: {error}; do start it first, or check --server"
            ) from error
        write_json(self.folder / _NODE, active.node_id)
        return Node(node_id=active.node_id)

    def _leave(self, node: Node) -> None:
        with contextlib.suppress(httpx.HTTPError):
            self._once.DeactivateNode(DeactivateNodeRequest(node_id=node.node_id))
