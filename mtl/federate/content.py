"""What a federation's report, JSON and terminal show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mtl.config import Experiment
from mtl.records import LearnedRecord
from mtl.run.scoring import group_name
from stages.data.sample import Sample
from stages.learners.federated.records import FederatedRecord
from stages.metrics import Evaluation, Interval, evaluate

if TYPE_CHECKING:
    from mtl.federate.compare import Compared
    from stages.learners.federated.client import Client
    from stages.task import Task

__all__ = ["TRAINED", "ClientScore", "FederateContent", "client_scores"]

TRAINED = {
    "head": "the head on the frozen backbone's features, brought to length 1",
    "film": "the head, and scale and shift of the backbone's normalisation layers, whose statistics are fixed",
    "full": "all weights; the statistics of the backbone's batch normalisation are fixed",
}
"""What `dp_train` stands for."""


@dataclass(frozen=True)
class ClientScore:
    """What the model reaches on one client's own test part.

    Attributes:
        name: Of the client.
        n: Its test images.
        groups: That they are in.
        accuracy: With its interval over groups; None without test images.
        macro_f1: The same.
    """

    name: str
    n: int
    groups: int
    accuracy: Interval | None
    macro_f1: Interval | None


@dataclass(frozen=True)
class FederateContent:
    """Everything in a report.

    Attributes:
        name: Of the run.
        record: `federated.json`.
        learned: `stage.json`, with the scores on the global test part.
        clients: Scores by client.
        comparison: With other ways to learn; None where not asked.
        command: As typed.
        environment: Versions, processor, date.
        config: As YAML.
    """

    name: str
    record: FederatedRecord
    learned: LearnedRecord
    clients: tuple[ClientScore, ...]
    comparison: Compared | None
    command: str
    environment: Mapping[str, str]
    config: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        evaluation = self.learned.evaluation
        return {
            "guarantee": self.record.guarantee,
            "federation": self.record.model_dump(mode="json"),
            "test": evaluation.to_json() if evaluation else None,
            "clients": self.clients,
            "comparison": self.comparison.to_json() if self.comparison else None,
        }

    def sentences(self) -> list[str]:
        """Return what a person reads first."""
        told, lines = self.record.settings, []
        evaluation = self.learned.evaluation
        if evaluation:
            kind = " (rendered smears, not patient data)" if self.learned.data.rendered else ""
            lines.append(
                f"{len(self.record.clients)} clients, {told.partition}, {told.strategy}, {self.learned.data.dataset}{kind}: "
                f"{score_text(evaluation)} on {evaluation.n} images of {evaluation.groups} groups that no client has seen"
            )
        elif self.record.test:
            kind = " (rendered smears, not patient data)" if self.learned.data.rendered else ""
            lines.append(
                f"{len(self.record.clients)} clients over a network, {told.strategy}{kind}: accuracy {self.record.test['accuracy']:.3f}, "
                f"macro-F1 {self.record.test['macro_f1']:.3f} on {sum(one.n for one in self.clients)} test images that stayed with their clients"
            )
        lines += [
            f"  {client.name}: {text(client.accuracy)} accuracy, {text(client.macro_f1)} macro-F1 on {client.n} own test images"
            for client in self.clients
            if client.accuracy and client.macro_f1
        ]
        lines += [
            f"{f'Round {one.round}: ' if one.round else ''}{one.client} was left out. {one.reason}"
            for one in self.record.refused
        ]
        lines.append(self.record.guarantee)
        if self.comparison:
            lines += self.comparison.sentences()
        return lines


def score_text(evaluation: Evaluation) -> str:
    """Return accuracy and macro F1 with their intervals."""
    return (
        f"accuracy {text(evaluation.headline['accuracy'])}, macro-F1 {text(evaluation.headline['macro_f1'])}"
    )


def text(interval: Interval | None) -> str:
    """Return a value with its interval."""
    return "–" if interval is None else f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def client_scores(
    clients: Sequence[Client],
    votes: npt.NDArray[np.float64],
    place: npt.NDArray[np.int64],
    task: Task,
    samples: Sequence[Sample],
    experiment: Experiment,
) -> tuple[ClientScore, ...]:
    """Return scores by client.

    Args:
        clients: With their own rows.
        votes: On the global test part, (N, K).
        place: Position of every row of the store in it.
        task: Of all clients together.
        samples: Of the global test part.
        experiment: Gives resamples and seed.
    """
    found = []
    for client in clients:
        rows = client.task.rows["test"]
        groups = [group_name(samples[at]) for at in place[rows]]
        if not len(rows):
            found.append(ClientScore(client.name, 0, 0, None, None))
            continue
        scores = evaluate(
            task.labels[rows], votes[place[rows]], groups, task.classes,
            resamples=experiment.evaluation.resamples, seed=experiment.seed,
        ).headline  # fmt: skip
        found.append(
            ClientScore(client.name, len(rows), len(set(groups)), scores["accuracy"], scores["macro_f1"])
        )
    return tuple(found)
