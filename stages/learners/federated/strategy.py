"""Flower's strategies, which refuse what cannot be averaged: one client's fault is not everybody's."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from stages.errors import ModelError
from stages.learners.federated.privacy import central_budget
from stages.learners.federated.settings import FederateSettings

__all__ = [
    "ARRAYS",
    "COUNT",
    "SPENT",
    "Central",
    "Checked",
    "Refused",
    "make_strategy",
    "unusable",
    "unusable_scores",
]

ARRAYS, COUNT = "arrays", "num-examples"
SPENT = ("epsilon-rdp", "epsilon-prv")
"""What a client has spent of its privacy, by two accountants, in the metrics of its answer."""

_PAUSE = 0.2
"""Seconds between two looks for clients."""

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
        scores: Names of the metrics that are wanted beside the number of images.
        classes: That confusion matrices are of.
        proximal: mu of FedProx, which clients are told; 0 is FedAvg.
        more: See `flwr.serverapp.strategy.FedAvg`.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        scores: Collection[str],
        classes: int,
        proximal: float = 0.0,
        **more: Any,
    ) -> None:
        super().__init__(**more)
        self.proximal = proximal
        self.shapes, self.scores, self.classes = dict(shapes), frozenset(scores), classes
        self.refused: list[Refused] = []
        self.images: dict[int, int] = {}
        self.spent: dict[int, dict[int, tuple[float, float]]] = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """Ask all clients that are there, once there are enough; Flower's own would wait for one that has just left."""
        config["proximal-mu"] = self.proximal
        return self._asked(server_round, arrays, config, grid, MessageType.TRAIN)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """Ask the same clients how the shared weights do."""
        return self._asked(server_round, arrays, config, grid, MessageType.EVALUATE)

    def _asked(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid, what: str
    ) -> list[Message]:
        config["server-round"] = server_round
        record = RecordDict({ARRAYS: arrays, "config": config})
        while len(nodes := list(grid.get_node_ids())) < self.min_available_nodes:
            time.sleep(_PAUSE)
        return [Message(record, node, what) for node in nodes]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the mean of the arrays, weighted by images.

        Raises:
            ModelError: If no answer can be used.
        """
        return super().aggregate_train(server_round, self.usable(server_round, replies))

    def usable(self, server_round: int, replies: Iterable[Message]) -> list[Message]:
        """Return the answers that can be averaged, in the order of the clients; the others are noted.

        Raises:
            ModelError: If there is none.
        """
        used, self.images = [], {}
        # A sum of floats depends on its order, and a network answers in any.
        for reply in sorted(replies, key=lambda one: one.metadata.src_node_id):
            node, reason = reply.metadata.src_node_id, unusable(reply, self.shapes, self.scores)
            if reason:
                self.refused.append(Refused(server_round, node, reason))
                continue
            used.append(reply)
            metrics: Any = next(iter(reply.content.metric_records.values()))
            self.images[node] = int(metrics[COUNT])
            if self.scores.issuperset(SPENT):
                self.spent.setdefault(node, {})[server_round] = (metrics[SPENT[0]], metrics[SPENT[1]])
        if not used:
            told = f": {self.refused[-1].reason}" if self.refused else ""
            raise ModelError(
                f"Expected a client or more to answer in round {server_round}, but none could be used{told}; do look at the clients"
            )
        return used

    def judged(self, server_round: int, replies: Iterable[Message]) -> list[Any]:
        """Return the usable scores of the clients' own images, in the order of the clients; the others are noted."""
        found = []
        for reply in sorted(replies, key=lambda one: one.metadata.src_node_id):
            reason = unusable_scores(reply, self.classes)
            if reason:
                self.refused.append(Refused(server_round, reply.metadata.src_node_id, f"Scores: {reason}"))
            else:
                found.append(next(iter(reply.content.metric_records.values())))
        return found


class Central(Checked):
    """Central privacy: every client's step is clipped, the mean gets noise, and what it releases hides each client (McMahan et al. 2018).

    A client that is left out counts as one whose step is 0, so that a client more or less moves the sum by no more than `clip`. Flower's own
    `DifferentialPrivacyServerSideFixedClipping` draws noise that a stopped federation could not draw again, counts no epsilon where answers
    are checked first, and fails at a client that did not move.

    Args:
        settings: Of the federation.
        hospitals: By which the sum of the steps is divided: a number that is known, whoever answers.
        secret: That the noise follows from, with the round.
        checked: See `Checked`.
        more: The same.
    """

    def __init__(
        self, settings: FederateSettings, hospitals: int, secret: Sequence[int], *checked: Any, **more: Any
    ) -> None:
        super().__init__(*checked, **more)
        self.budget, self.clip = central_budget(settings), settings.clip
        self.hospitals, self.secret = hospitals, secret
        self.before: dict[str, Any] = {}

    @property
    def drowning(self) -> float:
        """How long the noise of a round is, over the longest that the mean of the clipped steps can be."""
        numbers = sum(math.prod(shape) for shape in self.shapes.values())
        return self.budget.noise * math.sqrt(numbers) / self.hospitals

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """Ask all clients that are there.

        Raises:
            ModelError: If another round would spend more than `epsilon`.
        """
        for done in range(1, server_round):
            self.budget.spend(done)
        if not self.budget.allows(server_round):
            raise ModelError(
                f"Expected round {server_round} to keep to epsilon {self.budget.epsilon:g}, but it would spend more; do ask for fewer rounds or a larger --epsilon"
            )
        self.before = {name: array.numpy().astype(np.float64) for name, array in arrays.items()}
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the arrays with the mean of the clipped steps and its noise, every client counting alike.

        Raises:
            ModelError: If no answer can be used.
        """
        used = self.usable(server_round, replies)
        random = np.random.default_rng([*self.secret, server_round])
        width = self.budget.noise * self.clip
        moved = {name: random.normal(0, width, shape) for name, shape in self.shapes.items()}
        for reply in used:
            arrays = reply.content.array_records[ARRAYS]
            step = {name: arrays[name].numpy() - self.before[name] for name in moved}
            norm = math.sqrt(sum(float(np.square(part).sum()) for part in step.values()))
            for name, part in step.items():
                moved[name] += part * min(1.0, self.clip / max(norm, 1e-12))
        released = {
            name: Array((self.before[name] + part / self.hospitals).astype(np.float32))
            for name, part in moved.items()
        }
        self.budget.spend(server_round)
        for reply in used:
            own = self.spent.setdefault(reply.metadata.src_node_id, {})
            own[server_round] = self.budget.spent[server_round]
        _, metrics = FedAvg.aggregate_train(self, server_round, used)
        return ArrayRecord(released), metrics


def unusable(reply: Message, shapes: Mapping[str, tuple[int, ...]], scores: Collection[str]) -> str | None:
    """Say why an answer cannot be averaged, or return None.

    Args:
        reply: Of a client.
        shapes: By name, of the arrays that are wanted.
        scores: Names of the metrics that are wanted beside the number of images.
    """
    if reply.has_error():
        return str(reply.error.reason)
    arrays, metrics = _records(reply)
    if arrays is None or COUNT not in metrics:
        return "It sent no arrays, or no number of images."
    if metrics[COUNT] <= 0 or not np.isfinite(metrics[COUNT]):
        return f"It sent {metrics[COUNT]} as its number of images."
    if set(metrics) != {COUNT, *scores} or not np.isfinite(list(metrics.values())).all():
        return "It sent other metrics than were asked for, or some that are not finite."
    if set(arrays) != set(shapes):
        name = min(set(arrays) ^ set(shapes))
        return f"It sent other arrays than were asked for, such as {name}: another backbone or version."
    for name, shape in shapes.items():
        try:  # the bytes, and not what is said of them
            sent = arrays[name].numpy()
        except (ValueError, TypeError, OSError, EOFError):
            return f"It sent {name} in bytes that are no array."
        if sent.shape != shape:
            return f"It sent {name} in shape {sent.shape} where {shape} was asked for."
        if sent.dtype.kind not in "fiu" or not np.isfinite(sent).all():
            return f"It sent numbers in {name} that are not finite."
    return None


def unusable_scores(reply: Message, classes: int) -> str | None:
    """Say why the scores of an answer cannot be added up, or return None.

    Args:
        reply: Of a client.
        classes: That the confusion matrix is of.
    """
    if reply.has_error():
        return str(reply.error.reason)
    told = next(iter(reply.content.metric_records.values()), None)
    if told is None or not {COUNT, "loss", "confusion"} <= set(told):
        return "It sent no number of images, loss and confusion matrix."
    if np.size(told["confusion"]) != classes**2:
        return f"It sent a confusion matrix of other than {classes} classes."
    values = np.array([told[COUNT], told["loss"], *np.ravel(told["confusion"])], dtype=np.float64)
    if not np.isfinite(values).all() or values.min() < 0 or values[2:].sum() != values[0]:
        return "It sent scores that cannot be."
    return None


def _records(reply: Message) -> tuple[ArrayRecord | None, dict[str, Any]]:
    """Return the arrays and the metrics that are single numbers; none where there is not one record of each."""
    arrays, metrics = reply.content.array_records, list(reply.content.metric_records.values())
    if set(arrays) != {ARRAYS} or len(metrics) != 1:
        return None, {}
    return arrays[ARRAYS], {key: value for key, value in metrics[0].items() if not isinstance(value, list)}


def make_strategy(
    settings: FederateSettings,
    shapes: Mapping[str, tuple[int, ...]],
    classes: int,
    clients: int,
    hospitals: int | None = None,
    secret: Sequence[int] = (0,),
) -> Checked:
    """Return the strategy of a federation.

    Args:
        settings: Which one.
        shapes: By name, of the arrays that are exchanged.
        classes: That confusion matrices are of.
        clients: How many there must be for a round.
        hospitals: How many there are; `clients` if None.
        secret: That central noise follows from.
    """
    scores = () if settings.dp == "least-squares" else ("train_loss",)
    common: dict[str, Any] = {
        "scores": (*scores, *SPENT) if settings.at_clients else scores,
        "classes": classes,
        "min_available_nodes": clients,
        "weighted_by_key": COUNT,
        "arrayrecord_key": ARRAYS,
    }
    if settings.strategy == "fedprox":
        common["proximal"] = settings.proximal
    if settings.dp == "central":
        return Central(settings, hospitals or clients, secret, shapes, **common)
    return Checked(shapes, **common)  # FedBN is FedAvg over other arrays
