"""What a server and its clients tell each other beside weights: a plan, who one is, and what was reached."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any, TypeVar

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from mtl.errors import ConfigError
from mtl.federate.content import ClientScore
from mtl.federate.settings import FederatedExperiment
from stages.learners.federated.records import ClientRecord
from stages.learners.federated.strategy import ARRAYS
from stages.learners.network.loading import State
from stages.learners.network.weights import WeightRecord

__all__ = ["END", "Plan", "read_end", "read_plan", "read_record", "score_json", "told"]

END = "query.end"
"""Type of the message that brings the last weights and asks what they reach."""
_TOLD = "told"
_SCORE: TypeAdapter[ClientScore] = TypeAdapter(ClientScore)
T = TypeVar("T")


class Plan(BaseModel):
    """What a client needs to take part.

    Attributes:
        version: Of mtl at the server.
        experiment: Whose data and hardware each client replaces by its own.
        classes: In the order of the probabilities.
        weights: Where the backbone came from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str = metadata.version("mtl")
    experiment: FederatedExperiment
    classes: tuple[str, ...]
    weights: WeightRecord


def told(text: str, arrays: State | None = None, metrics: Mapping[str, Any] | None = None) -> RecordDict:
    """Return what a message carries: a text as JSON, and arrays or metrics where there are some."""
    found = RecordDict({_TOLD: ConfigRecord({"json": text})})
    if arrays is not None:
        found[ARRAYS] = ArrayRecord(arrays)
    if metrics is not None:
        found["metrics"] = MetricRecord(dict(metrics))
    return found


def read_plan(message: Message) -> Plan:
    """Return a server's plan.

    Raises:
        ConfigError: If the server runs another version.
    """
    own = metadata.version("mtl")
    text = str(message.content.config_records[_TOLD]["json"])
    try:
        plan = Plan.model_validate_json(text)
    except ValidationError as error:
        raise ConfigError(
            f"Expected the server to run mtl {own} as this client does, but it sends another version's plan; do install the same version on both"
        ) from error
    if plan.version != own:
        raise ConfigError(
            f"Expected the server to run mtl {own} as this client does, but it runs {plan.version}; do install the same version on both"
        )
    return plan


def read_record(reply: Message, classes: tuple[str, ...]) -> ClientRecord:
    """Return who a client is.

    Raises:
        ValueError: If it is not a record, or one of other classes.
    """
    record = ClientRecord.model_validate_json(str(reply.content.config_records[_TOLD]["json"]))
    if any(tuple(counts) != classes for counts in record.counts.values()):
        raise ValueError("It counts other classes.")
    return record


def read_end(reply: Message) -> ClientScore:
    """Return what a client's own test images are scored with.

    Raises:
        ValueError: If it is not a score.
    """
    return _SCORE.validate_json(str(reply.content.config_records[_TOLD]["json"]))


def score_json(score: ClientScore) -> str:
    """Return a client's score as JSON."""
    return _SCORE.dump_json(score).decode()
