"""A client: trains a leg on its own images when it is asked, and says how a network does on its own validation part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from segmentation.engine import mixed_seed
from segmentation.files import make_folder, read_json, write_bytes, write_json
from stages.errors import ModelError
from stages.learners.federated.least_squares import SENSITIVITY, noisy_sums
from stages.learners.federated.privacy import Budget, analytic_gaussian, central_budget
from stages.learners.federated.private import Private
from stages.learners.federated.records import ClientRecord
from stages.learners.federated.settings import FederateSettings
from stages.learners.federated.strategy import ARRAYS, COUNT, SPENT
from stages.learners.network.batches import make_loader, task_part
from stages.learners.network.leg import Leg
from stages.learners.network.loading import State, load_state
from stages.learners.network.model import NetworkLearner
from stages.learners.network.module import stage_loss
from stages.learners.network.network import Network, learning_names
from stages.learners.network.training import train_stage
from stages.task import Task

__all__ = ["Client", "client_task", "confusion_scores", "read_arrays", "shared_names"]

_ROUNDS = "rounds.json"


def shared_names(network: Network, learner: NetworkLearner, settings: FederateSettings) -> list[str]:
    """Return the names of the weights that clients tell each other.

    What does not learn is the same for all and stays where it is, as do, with privacy, the statistics of batch normalisation; under FedBN all
    of batch normalisation does (Li et al. 2021).
    """
    policy, names = learner.settings.train.policy, list(network.state_dict())
    if policy in ("frozen", "film") or settings.dp != "none":
        learning = set(learning_names(network, policy))
        names = [name for name in names if name in learning or name.startswith("head.")]
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
        groups: Patients, slides or fields by part.
        budget: What it has spent of its privacy by DP-SGD; None without.
        secret: From which the noise of its privacy follows, beside the seed that all know; 0 where nothing need be kept from others.
        unit: What its groups are; empty where all clients have the same.
        rendered: Whether its images are rendered smears.
    """

    name: str
    node: int
    task: Task
    learner: NetworkLearner
    settings: FederateSettings
    initial: State
    shared: list[str]
    folder: Path
    groups: dict[str, int]
    budget: Budget | None = None
    secret: int = 0
    unit: str = ""
    rendered: bool = False
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
            arrays, config = read_arrays(message), message.content.config_records["config"]
            number = int(config["server-round"])  # type: ignore[arg-type]
            state: State
            scores: dict[str, float] = {}
            if self.settings.dp == "least-squares":
                state = self.sums()
            else:
                state, scores = self.train(arrays, number, float(config.get("proximal-mu", 0.0)))  # type: ignore[arg-type]
            if self.settings.at_clients:
                scores |= dict(zip(SPENT, self.spent(number), strict=True))
            content = RecordDict(
                {ARRAYS: ArrayRecord(state), "metrics": MetricRecord({COUNT: self.images, **scores})}
            )
            return Message(content, reply_to=message)

        @app.evaluate()
        def evaluate(message: Message, context: Context) -> Message:
            scores = self.validate(read_arrays(message))
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
        make_folder(self.folder)
        rounds = self._begin(number)
        if self.budget is not None:
            if not self.budget.allows(number):
                raise ModelError(
                    f"Expected {self.name} to take part, but round {number} would spend more than epsilon {self.settings.epsilon:g}; "
                    "do ask for fewer rounds or a larger --epsilon"
                )
            private = Private(self.budget.noise, self.settings.clip, self.secret)
        place = rounds.index(number)
        leg = Leg(
            place * each, (place + 1) * each, arrays, proximal, private, fixed=self.settings.dp != "none"
        )
        trained = train_stage(
            self.network(), self.task, self.learner.settings, self.folder, self.seed,
            self.learner.hardware, None, self.learner.bank, None, leg,
        )  # fmt: skip
        if self.budget is not None:
            self.budget.spend(number)
        write_json(self.folder / _ROUNDS, {"done": rounds, "begun": None})
        state = trained.network.state_dict()
        return {name: state[name].cpu() for name in self.shared}, {
            "train_loss": trained.history[-1]["train_loss"]
        }

    def sums(self) -> State:
        """Return its sums for least squares, with their noise."""
        rows = self.task.rows["train"]
        with torch.inference_mode():
            unit = self.network().eval().head[0](self.features("train"))
        told = noisy_sums(
            unit.double().numpy(), self.task.labels[rows], len(self.task.classes),
            self.settings, self.learner.seed, (self.seed, self.secret),
        )  # fmt: skip
        return {"squares": torch.from_numpy(told.squares), "products": torch.from_numpy(told.products)}

    def tidy(self) -> None:
        """Delete what only a stopped call would have needed."""
        kept = self.settings.strategy == "fedbn"
        for name in ("last.ckpt", "before.ckpt", *(() if kept else ("weights.safetensors",))):
            (self.folder / name).unlink(missing_ok=True)

    def spent(self, number: int) -> tuple[float, float]:
        """Return (RDP, PRV) epsilon after a round; least squares are told once, by a mechanism that is exact."""
        return self.budget.spent[number] if self.budget else (self.settings.epsilon, self.settings.epsilon)

    def record(self, spent: Mapping[int, tuple[float, float]]) -> ClientRecord:
        """Return what others are told of it.

        Args:
            spent: (RDP, PRV) epsilon by round, as it has told them.
        """
        noise = self.budget.noise if self.budget else None
        if self.settings.dp == "least-squares":
            noise = analytic_gaussian(self.settings.epsilon, self.settings.delta, SENSITIVITY)
        elif self.settings.dp == "central":
            noise = central_budget(self.settings).noise
        counts = {
            part: np.bincount(self.task.labels[rows], minlength=len(self.task.classes)).tolist()
            for part, rows in self.task.rows.items()
        }
        return ClientRecord(
            name=self.name,
            images={part: len(rows) for part, rows in self.task.rows.items()},
            groups=self.groups,
            counts={part: dict(zip(self.task.classes, own, strict=True)) for part, own in counts.items()},
            noise=noise,
            spent=dict(spent),
            unit=self.unit,
            rendered=self.rendered,
        )

    def validate(self, arrays: State) -> dict[str, Any]:
        """Return loss, number and flat confusion matrix of its validation part under shared weights."""
        labels = self.task.labels[self.task.rows["validation"]]
        classes = len(self.task.classes)
        if not len(labels):
            return confusion_scores(labels, labels, classes, 0.0)
        network = self.current(arrays)
        logits = self._logits(network)
        hot = functional.one_hot(torch.from_numpy(labels), classes).float()
        loss = stage_loss(logits, hot, network.activation)
        return confusion_scores(
            labels, network.probabilities(logits).argmax(dim=1).numpy(), classes, float(loss)
        )

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

    def _begin(self, number: int) -> list[int]:
        """Return the rounds that it takes part in, this one among them, and have its training stand where this one begins.

        A round that is asked again goes on where it was stopped. A client that was gone, and finds that the others went on without it,
        takes back what it had begun: what it did not tell was for nothing.
        """
        known, last, before = (self.folder / name for name in (_ROUNDS, "last.ckpt", "before.ckpt"))
        told = read_json(known) if known.is_file() else {"done": [], "begun": None}
        done: list[int] = told["done"]
        if self.budget is not None:
            for one in done:
                self.budget.spend(one)
        if number in done:
            return done
        if told["begun"] not in (None, number):
            last.unlink(missing_ok=True)
            if done:
                write_bytes(last, before.read_bytes())
        if told["begun"] != number:
            if done:
                write_bytes(before, last.read_bytes(), durable=False)
            write_json(known, {"done": done, "begun": number})
        return [*done, number]


def confusion_scores(
    labels: npt.NDArray[np.int64], said: npt.NDArray[np.int64], classes: int, loss: float
) -> dict[str, Any]:
    """Return number, loss and flat confusion matrix, which a server adds to those of others.

    Args:
        labels: (N,).
        said: (N,).
        classes: K.
        loss: Their mean.
    """
    confusion = np.zeros((classes, classes))
    np.add.at(confusion, (labels, said), 1)
    return {COUNT: len(labels), "loss": loss, "confusion": confusion.ravel().tolist()}


def client_task(task: Task, rows: Mapping[str, Any]) -> Task:
    """Return the task of a client: the same store, its own rows."""
    return replace(task, rows=dict(rows))


def read_arrays(message: Message) -> State:
    """Return the tensors that a message brings, by name."""
    arrays = message.content.array_records[ARRAYS]
    return {name: torch.from_numpy(array.numpy().copy()) for name, array in arrays.items()}
