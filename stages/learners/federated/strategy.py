"""Flower's strategies, which refuse what cannot be averaged: one client's fault is not everybody's."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord
from flwr.serverapp.strategy import FedAvg, FedProx

from stages.errors import ModelError
from stages.learners.federated.settings import FederateSettings

__all__ = ["ARRAYS", "COUNT", "Checked", "Refused", "make_strategy", "unusable"]

ARRAYS, COUNT = "arrays", "num-examples"

logging.getLogger("flwr").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Refused:
    """An answer that was left out of a round.

    Attributes:
        round: From 1.
        client: Its node, from 1.
        reason: A plain sentence.
    """

    round: int
    client: int
    reason: str


class Checked(FedAvg):
    """Average the answers that can be averaged, in the order of the clients; note the others.

    Args:
        shapes: By name, of the arrays that are wanted.
        more: See `flwr.serverapp.strategy.FedAvg`.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], **more: Any) -> None:
        super().__init__(**more)
        self.shapes = dict(shapes)
        self.refused: list[Refused] = []

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the mean of the arrays, weighted by images.

        Raises:
            ModelError: If no answer can be used.
        """
        used = []
        # A sum of floats depends on its order, and a network answers in any.
        for reply in sorted(replies, key=lambda one: one.metadata.src_node_id):
            reason = unusable(reply, self.shapes)
            if reason:
                self.refused.append(Refused(server_round, reply.metadata.src_node_id, reason))
            else:
                used.append(reply)
        if not used:
            told = f": {self.refused[-1].reason}" if self.refused else ""
            raise ModelError(
                f"Expected a client or more to answer in round {server_round}, but none could be used{told}; do look at the clients"
            )
        return super().aggregate_train(server_round, used)


class _CheckedProx(Checked, FedProx):
    """The same with mu in what the clients are told."""


def unusable(reply: Message, shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Say why an answer cannot be averaged, or return None.

    Args:
        reply: Of a client.
        shapes: By name, of the arrays that are wanted.
    """
    if reply.has_error():
        return reply.error.reason
    arrays = reply.content.array_records.get(ARRAYS)
    metrics = next(iter(reply.content.metric_records.values()), None)
    if arrays is None or metrics is None or COUNT not in metrics:
        return "It sent no arrays, or no number of images."
    count: Any = metrics[COUNT]
    if isinstance(count, list) or not np.isfinite(count) or count <= 0:
        return f"It sent {count} as its number of images."
    if set(arrays) != set(shapes):
        name = min(set(arrays) ^ set(shapes))
        return f"It sent other arrays than were asked for, such as {name}: another backbone or version."
    for name, shape in shapes.items():
        if tuple(arrays[name].shape) != shape:
            return f"It sent {name} in shape {tuple(arrays[name].shape)} where {shape} was asked for."
        if not np.isfinite(arrays[name].numpy()).all():
            return f"It sent numbers in {name} that are not finite."
    return None


def make_strategy(settings: FederateSettings, shapes: Mapping[str, tuple[int, ...]], clients: int) -> Checked:
    """Return the strategy of a federation.

    Args:
        settings: Which one.
        shapes: By name, of the arrays that are exchanged.
        clients: How many there are.
    """
    common: dict[str, Any] = {
        "min_train_nodes": 1,
        "min_evaluate_nodes": 1,
        "min_available_nodes": clients,
        "weighted_by_key": COUNT,
        "arrayrecord_key": ARRAYS,
    }
    if settings.strategy == "fedprox":
        return _CheckedProx(shapes, proximal_mu=settings.proximal, **common)
    return Checked(shapes, **common)  # FedBN is FedAvg over other arrays
