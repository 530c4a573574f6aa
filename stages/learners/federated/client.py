"""A client: trains a leg on its own images when it is asked, and says how a network does on its own validation part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from segmentation.engine import mixed_seed
from segmentation.files import make_folder
from stages.errors import ModelError
from stages.learners.federated.least_squares import noisy_sums
from stages.learners.federated.privacy import Budget
from stages.learners.federated.private import Private
from stages.learners.federated.settings import FederateSettings
from stages.learners.federated.strategy import ARRAYS, COUNT
from stages.learners.network.batches import make_loader, task_part
from stages.learners.network.leg import Leg
from stages.learners.network.loading import State, load_state
from stages.learners.network.model import NetworkLearner
from stages.learners.network.module import stage_loss
from stages.learners.network.network import Network
from stages.learners.network.training import train_stage
from stages.task import Task

__all__ = ["Client", "shared_names"]


def shared_names(network: Network, learner: NetworkLearner, settings: FederateSettings) -> list[str]:
    """Return the names of the weights that clients tell each other.

    A frozen backbone is the same for all and stays where it is; under FedBN so does batch normalisation (Li et al. 2021).
    """
    frozen = learner.settings.train.policy == "frozen"
    names = [name for name in network.state_dict() if not frozen or name.startswith("head.")]
    if settings.strategy != "fedbn":
        return names
    norms = tuple(f"{name}." for name, layer in network.named_modules() if isinstance(layer, _BatchNorm))
    return [name for name in names if not name.startswith(norms)]


@dataclass
class Client:
    """One hospital.

    Attributes:
        name: For people.
        node: Its number, from 1.
        task: Its own images.
        learner: What trains; its epochs are those of all rounds together.
        settings: Of the federation.
        initial: Weights of the whole network before the first round.
        shared: Names of the weights that are exchanged.
        folder: Where its training is kept.
        budget: What it has spent of its privacy by DP-SGD; None without.
        sigma: Standard deviation of the noise that it has put on sums; None if it has told none.
    """

    name: str
    node: int
    task: Task
    learner: NetworkLearner
    settings: FederateSettings
    initial: State
    shared: list[str]
    folder: Path
    budget: Budget | None = None
    sigma: float | None = None
    _frozen: dict[str, torch.Tensor] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """In its training part."""
        return len(self.task.rows["train"])

    @property
    def seed(self) -> int:
        """From which all its randomness follows; of the first client the learner's own, as in training without others."""
        return self.learner.seed if self.node == 1 else mixed_seed(self.learner.seed, self.node) % 2**32

    def app(self) -> ClientApp:
        """Return what answers messages."""
        app = ClientApp()

        @app.train()
        def train(message: Message, context: Context) -> Message:
            arrays, number = _read(message)
            state: State
            scores: dict[str, float] = {}
            if self.settings.dp == "least-squares":
                state = self.sums()
            else:
                mu = float(message.content.config_records["config"].get("proximal-mu", 0.0))  # type: ignore[arg-type]
                state, scores = self.train(arrays, number, mu)
            content = RecordDict(
                {ARRAYS: ArrayRecord(state), "metrics": MetricRecord({COUNT: self.images, **scores})}
            )
            return Message(content, reply_to=message)

        @app.evaluate()
        def evaluate(message: Message, context: Context) -> Message:
            arrays, _ = _read(message)
            scores = self.validate(arrays)
            return Message(RecordDict({"metrics": MetricRecord(scores)}), reply_to=message)

        return app

    def network(self) -> Network:
        """Return a network with its own weights as they were before the first round."""
        network = self.learner.network(self.task)
        network.load_state_dict(self.initial)
        return network

    def train(self, arrays: State, number: int, proximal: float = 0.0) -> tuple[State, dict[str, float]]:
        """Train a round from shared weights.

        Args:
            arrays: Shared weights by name.
            number: Of the round, from 1.
            proximal: mu of FedProx.

        Returns:
            The shared weights afterwards, and the training loss of the last epoch.

        Raises:
            ModelError: If its privacy is spent, or the weights do not fit.
            TrainingError: If the loss is no longer finite.
        """
        each = self.settings.local_epochs
        private = None
        if self.budget is not None:
            if not self.budget.allows(number):
                raise ModelError(
                    f"Expected {self.name} to take part, but round {number} would spend more than epsilon {self.settings.epsilon:g}; "
                    "do ask for fewer rounds or a larger --epsilon"
                )
            private = Private(self.budget.noise, self.settings.clip)
        make_folder(self.folder)
        leg = Leg((number - 1) * each, number * each, arrays, proximal, private)
        trained = train_stage(
            self.network(), self.task, self.learner.settings, self.folder, self.seed,
            self.learner.hardware, None, self.learner.bank, None, leg,
        )  # fmt: skip
        if self.budget is not None:
            self.budget.spend(number)
        state = trained.network.state_dict()
        return {name: state[name].cpu() for name in self.shared}, {
            "train_loss": trained.history[-1]["train_loss"]
        }

    def sums(self) -> State:
        """Return its sums for least squares, with their noise."""
        rows = self.task.rows["train"]
        told = noisy_sums(
            self.features("train").numpy().astype(np.float64), self.task.labels[rows], len(self.task.classes),
            self.settings, self.learner.seed, self.seed,
        )  # fmt: skip
        self.sigma = told.sigma
        return {"squares": torch.from_numpy(told.squares), "products": torch.from_numpy(told.products)}

    def validate(self, arrays: State) -> dict[str, Any]:
        """Return loss, number and flat confusion matrix of its validation part under shared weights."""
        rows = self.task.rows["validation"]
        classes = len(self.task.classes)
        if not len(rows):
            return {COUNT: 0, "loss": 0.0, "confusion": [0.0] * classes**2}
        network = self.current(arrays)
        logits = self._logits(network)
        labels = torch.from_numpy(self.task.labels[rows])
        loss = stage_loss(logits, functional.one_hot(labels, classes).float(), network.activation)
        said = network.probabilities(logits).argmax(dim=1)
        confusion = np.zeros((classes, classes))
        np.add.at(confusion, (labels.numpy(), said.numpy()), 1)
        return {COUNT: len(rows), "loss": float(loss), "confusion": confusion.ravel().tolist()}

    def current(self, arrays: State) -> Network:
        """Return its network with shared weights: what it does not share is its own."""
        network = self.network()
        own: State = {}
        if (self.folder / "weights.safetensors").is_file() and len(self.shared) < len(self.initial):
            own = load_state(self.folder / "weights.safetensors")
        network.load_state_dict({**self.initial, **own, **arrays})
        return network.eval()

    @torch.inference_mode()
    def features(self, part: str) -> torch.Tensor:
        """Return the features (N, F) of a part under the starting weights, computed once."""
        if part not in self._frozen:
            bank, rows = self.learner.bank, self.task.rows[part]
            whole = np.load(bank, mmap_mode="r") if bank and bank.is_file() else None
            if whole is not None and len(whole) == len(self.task.images):
                self._frozen[part] = torch.from_numpy(whole[rows])
            else:
                network = self.network().eval()
                loader = make_loader(task_part(self.task, part), 64)
                self._frozen[part] = torch.cat(
                    [network.features(images.float() / 255) for images, *_ in loader]
                )
        return self._frozen[part]

    @torch.inference_mode()
    def _logits(self, network: Network) -> torch.Tensor:
        if self.learner.settings.train.policy == "frozen":  # the features are the same in every round
            logits: torch.Tensor = network.head(self.features("validation"))
            return logits.float()
        loader = make_loader(task_part(self.task, "validation"), 64)
        return torch.cat([network(images.float() / 255) for images, *_ in loader]).float()


def client_task(task: Task, rows: Mapping[str, Any]) -> Task:
    """Return the task of a client: the same store, its own rows."""
    return replace(task, rows=dict(rows))


def _read(message: Message) -> tuple[State, int]:
    arrays = message.content.array_records[ARRAYS]
    return {name: torch.from_numpy(array.numpy().copy()) for name, array in arrays.items()}, int(
        message.content.config_records["config"]["server-round"]  # type: ignore[arg-type]
    )
