"""The learner of a federation: what `NetworkLearner` is for one place, for several."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from segmentation.engine import pick_device
from segmentation.files import make_folder
from stages.data.sample import Sample
from stages.errors import ModelError
from stages.learners.federated.client import Client, client_task, shared_names
from stages.learners.federated.grid import InProcessGrid
from stages.learners.federated.least_squares import SENSITIVITY, ask_for_sums, head_weights
from stages.learners.federated.partition import client_rows
from stages.learners.federated.privacy import analytic_gaussian, budget_of
from stages.learners.federated.records import ClientRecord, FederatedRecord, RefusedRecord, write_federated
from stages.learners.federated.rounds import Federated, run_rounds
from stages.learners.federated.settings import FederateSettings
from stages.learners.federated.strategy import make_strategy
from stages.learners.model import Fitting
from stages.learners.network.loading import State
from stages.learners.network.model import NetworkLearner, NetworkModel
from stages.learners.network.network import Network
from stages.preprocess.fitting import asks_for_fitting
from stages.settings import HeadSettings, StageSettings
from stages.splits.split import group_of
from stages.task import Task

if TYPE_CHECKING:
    from flwr.serverapp import Grid

__all__ = ["FederatedLearner", "federated_settings"]


def federated_settings(settings: StageSettings, federate: FederateSettings) -> StageSettings:
    """Return the settings that every client trains by: the epochs of all rounds together, and the last of them is kept.

    With privacy `dp_train` says what learns, features are brought to length 1, and nothing that is released hangs on class counts.

    Args:
        settings: Of the stage.
        federate: Of the federation.

    Raises:
        ModelError: If privacy is asked for with something that looks at several images, which it does not cover.
    """
    changes: dict[str, object] = {"epochs": federate.epochs, "keep": "last", "patience": None}
    head = settings.head
    if federate.dp != "none":
        if asks_for_fitting(settings.preprocess):
            raise ModelError(
                "Expected no preprocessing that is fitted on training images with --dp, since what it measures is not covered, but got one; "
                "do set normalise, sharpen and segment.settings.fit off"
            )
        if settings.augment.mixup or settings.augment.cutmix:
            raise ModelError(
                "Expected no augmentation that mixes images with --dp, but got mixup or cutmix; do set augment.mixup and augment.cutmix to 0"
            )
        if head.batch_norm and federate.dp != "least-squares":
            raise ModelError(
                f"Expected a head without batch normalisation, which mixes images, with --dp {federate.dp}, but got one; do set head.batch_norm=false"
            )
        policy = "frozen" if federate.dp_train == "head" else federate.dp_train
        changes |= {"policy": policy, "head_epochs": 0, "balance": "none"}
        head = head.model_copy(update={"unit_norm": True})
        if federate.dp == "least-squares":
            head = HeadSettings(pool=head.pool, unit_norm=True)
    elif settings.train.policy != "frozen" and settings.train.head_epochs >= federate.epochs:
        raise ModelError(
            f"Expected rounds times local epochs to be above `head_epochs` = {settings.train.head_epochs}, but got {federate.epochs}; "
            "do ask for more rounds"
        )
    if federate.public:
        head = head.model_copy(update={"basis": federate.dimensions})
    return settings.model_copy(update={"train": settings.train.model_copy(update=changes), "head": head})


@dataclass(frozen=True)
class FederatedLearner:
    """Makes one model of what several clients hold.

    Attributes:
        base: What every client trains with, before `federated_settings`.
        settings: Of the federation.
        samples: All of the stage, for their groups and sources.
        secret: That the server's noise follows from, beside the seed that all know; 0 where nothing need be kept from others.
    """

    base: NetworkLearner
    settings: FederateSettings
    samples: Sequence[Sample]
    secret: int = 0

    def clients(self, task: Task, folder: Path) -> list[Client]:
        """Return the clients with their tasks, none of them trained.

        Args:
            task: Of all of them together.
            folder: Where each gets a folder of its own.

        Raises:
            DataError: If there are too few groups.
        """
        dealt = client_rows(
            self.samples, task.rows, task.labels, self.settings.clients, self.settings.partition, self.base.seed
        )  # fmt: skip
        start, shared = self.start(task)
        return [
            self.client(
                name, number, client_task(task, rows), start, shared, folder / "clients" / f"{number:02d}"
            )
            for number, (name, rows) in enumerate(dealt, 1)
        ]

    def start(self, task: Task) -> tuple[State, list[str]]:
        """Return the weights of the whole network before the first round, and the names of those that are exchanged."""
        learner = self._rules()
        network = learner.network(task)
        state = {name: value.clone() for name, value in network.state_dict().items()}
        return state, shared_names(network, learner, self.settings)

    def client(
        self, name: str, number: int, task: Task, start: State, shared: list[str], folder: Path
    ) -> Client:
        """Return a client that is not trained.

        Args:
            name: For people.
            number: From 1.
            task: Its own images.
            start: Weights before the first round, the same for all.
            shared: Names of those that are exchanged.
            folder: Where its training is kept.
        """
        learner, train = self._rules(), len(task.rows["train"])
        groups = {
            part: len({group_of(self.samples[row]) for row in rows}) for part, rows in task.rows.items()
        }
        private = self.settings.dp == "sgd" and train > 0
        budget = budget_of(self.settings, train, learner.settings.train.batch_size) if private else None
        return Client(name, number, task, learner, self.settings, start, shared, folder, groups, budget)

    def fit(self, task: Task, folder: Path) -> tuple[NetworkModel, Fitting]:
        """Run the rounds; see `stages.learners.model.Learner`.

        Raises:
            DataError: If there are too few groups for so many clients.
            ModelError: If no client can be used in a round.
        """
        started = time.perf_counter()
        clients = self.clients(task, folder)
        with closing(self._grid(clients)) as grid:
            model, done = self.federate(grid, clients[0], folder, len(clients))
        records = [client.record(done.spent.get(client.node, {})) for client in clients]
        self.write(folder, done, records, {client.node: client.name for client in clients})
        for client in clients:
            if self.settings.strategy == "fedbn":
                self.model(client.current(done.state), client).save(client.folder)
            client.tidy()
        return model, self.fitting(model, done, time.perf_counter() - started)

    def _grid(self, clients: Sequence[Client]) -> InProcessGrid:
        if self.settings.engine == "process":
            return InProcessGrid({client.node: client.app() for client in clients})
        from stages.learners.federated.ray_grid import RayGrid

        return RayGrid(clients, self.settings)

    def federate(
        self, grid: Grid, template: Client, folder: Path, clients: int, least: int | None = None
    ) -> tuple[NetworkModel, Federated]:
        """Run the rounds with whoever a grid reaches, and save the model.

        Args:
            grid: Reaches the clients.
            template: A client, whose starting weights, classes and preprocessing are those of all.
            folder: Gets the model, and what a stopped call goes on from.
            clients: How many there are.
            least: How many there must be for a round; all if None.

        Raises:
            ModelError: If no client can be used in a round.
        """
        make_folder(folder / "rounds")
        run = self._sums if self.settings.dp == "least-squares" else self._rounds
        done = run(grid, template, folder / "rounds", clients, least or clients)
        network = template.network()
        network.load_state_dict({**template.initial, **done.state})
        model = self.model(network, template)
        model.save(folder)
        return model, done

    def _rounds(self, grid: Grid, template: Client, folder: Path, clients: int, least: int) -> Federated:
        settings, rules, progress = self.settings, self.base.settings.train, self.base.progress
        start = {name: template.initial[name] for name in template.shared}
        shapes = {name: tuple(value.shape) for name, value in start.items()}
        secret = (self.base.seed, self.secret)
        strategy = make_strategy(settings, shapes, len(template.task.classes), least, clients, secret)

        def told(number: int, row: Mapping[str, float]) -> None:
            if progress:
                shown = [key for key in ("train_loss", "validation_macro_f1") if key in row]
                progress(number, settings.rounds, "  ".join(f"{key} {row[key]:.3f}" for key in shown))

        monitor = rules.monitor if rules.keep == "best" and settings.dp == "none" else None
        return run_rounds(grid, strategy, start, settings.rounds, folder, monitor, told)

    def _sums(self, grid: Grid, template: Client, folder: Path, clients: int, least: int) -> Federated:
        network, classes = template.network(), len(template.task.classes)
        width = template.learner.settings.head.basis or network.width
        size = min(self.settings.dimensions, width) + 1
        strategy = make_strategy(
            self.settings, {"squares": (size, size), "products": (size, classes)}, classes, least
        )
        sigma = analytic_gaussian(self.settings.epsilon, self.settings.delta, SENSITIVITY)
        weights = ask_for_sums(grid, strategy, sigma)
        solved = dict(zip(("weight", "bias"), head_weights(weights, width, self.base.seed), strict=True))
        layer = f"head.{len(network.head) - 1}"
        state = {f"{layer}.{name}": torch.from_numpy(value).float() for name, value in solved.items()}
        return Federated(state, [{"round": 1.0}], 0, strategy.refused, strategy.spent)

    def model(self, network: Network, client: Client) -> NetworkModel:
        """Return a network as the model that it is, with a client's preprocessing."""
        return NetworkModel(
            network.to(pick_device(self.base.hardware)),
            self.base.weights,
            client.learner.settings.head,
            client.task.preprocess,
            self.base.flips,
        )

    def fitting(self, model: NetworkModel, done: Federated, seconds: float) -> Fitting:
        """Return how it went, as every learner tells it."""
        parameters = sum(parameter.numel() for parameter in model.network.parameters())
        return Fitting(
            tuple(done.history), done.best, seconds, parameters, private=self.settings.dp != "none"
        )

    def write(
        self,
        folder: Path,
        done: Federated,
        clients: Sequence[ClientRecord],
        names: Mapping[int, str],
        more: Sequence[RefusedRecord] = (),
        test: Mapping[str, float] | None = None,
    ) -> FederatedRecord:
        """Write `federated.json`.

        Args:
            folder: Of the model.
            done: The rounds.
            clients: Who took part.
            names: Of all clients, by node.
            more: Who was turned away besides.
            test: Scores over the test images of clients that keep them.
        """
        refused = tuple(
            RefusedRecord(round=one.round, client=names[one.client], reason=one.reason)
            for one in done.refused
        )
        record = FederatedRecord(
            settings=self.settings,
            clients=tuple(clients),
            history=tuple(done.history),
            best_round=done.best + 1,
            refused=(*refused, *more),
            shared=len(done.state),
            batch_norms=self._norm_note(),
            drowning=done.drowning,
            test={key.removeprefix("validation_"): value for key, value in (test or {}).items()},
        )
        write_federated(folder, record)
        return record

    def _rules(self) -> NetworkLearner:
        return replace(
            self.base,
            settings=federated_settings(self.base.settings, self.settings),
            progress=None,
            watch=None,
        )

    def _norm_note(self) -> str:
        if self._rules().settings.train.policy == "frozen":
            return (
                "The backbone is frozen: its batch normalisation is that of its weights and is not exchanged."
            )
        if self.settings.strategy == "fedbn":
            return "Batch normalisation stays with each client; the model of the run has that of the starting weights."
        if self.settings.dp == "sgd":
            return "Batch normalisation is replaced while clients train: every channel is scaled and shifted by statistics that stay those of the starting weights."
        if self.settings.dp == "central" or self._rules().settings.train.policy == "film":
            return "Batch normalisation keeps the statistics of the starting weights; its scale and shift are averaged like all other weights."
        return "Batch normalisation is averaged like all other weights."
