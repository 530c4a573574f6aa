"""The learner of a federation: what `NetworkLearner` is for one place, for several."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

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
from stages.learners.federated.rounds import run_rounds
from stages.learners.federated.settings import FederateSettings
from stages.learners.federated.strategy import Refused, make_strategy
from stages.learners.model import Fitting
from stages.learners.network.loading import State
from stages.learners.network.model import NetworkLearner, NetworkModel
from stages.learners.network.network import Network
from stages.preprocess.fitting import asks_for_fitting
from stages.settings import HeadSettings, StageSettings
from stages.splits.split import group_of
from stages.task import Task

__all__ = ["FederatedLearner", "federated_settings"]


def federated_settings(settings: StageSettings, federate: FederateSettings) -> StageSettings:
    """Return the settings that every client trains by: the epochs of all rounds together, and the last of them is kept.

    With privacy the backbone is frozen, features are brought to length 1, and nothing that is released hangs on class counts.

    Args:
        settings: Of the stage.
        federate: Of the federation.

    Raises:
        ModelError: If privacy is asked for with a preprocessing that looks at all training images, which it does not cover.
    """
    changes: dict[str, object] = {"epochs": federate.epochs, "keep": "last", "patience": None}
    head = settings.head
    if federate.dp != "none":
        if asks_for_fitting(settings.preprocess):
            raise ModelError(
                "Expected no preprocessing that is fitted on training images with --dp, since what it measures is not covered, but got one; "
                "do set normalise, sharpen and segment.settings.fit off"
            )
        changes |= {"policy": "frozen", "head_epochs": 0, "balance": "none"}
        head = head.model_copy(update={"unit_norm": True})
        if federate.dp == "least-squares":
            head = HeadSettings(pool=head.pool, unit_norm=True)
    elif settings.train.policy != "frozen" and settings.train.head_epochs >= federate.epochs:
        raise ModelError(
            f"Expected rounds times local epochs to be above `head_epochs` = {settings.train.head_epochs}, but got {federate.epochs}; "
            "do ask for more rounds"
        )
    return settings.model_copy(update={"train": settings.train.model_copy(update=changes), "head": head})


@dataclass(frozen=True)
class FederatedLearner:
    """Makes one model of what several clients hold.

    Attributes:
        base: What every client trains with, before `federated_settings`.
        settings: Of the federation.
        samples: All of the stage, for their groups and sources.
    """

    base: NetworkLearner
    settings: FederateSettings
    samples: Sequence[Sample]

    def clients(self, task: Task, folder: Path) -> list[Client]:
        """Return the clients with their tasks, none of them trained.

        Args:
            task: Of all of them together.
            folder: Where each gets a folder of its own.

        Raises:
            DataError: If there are too few groups.
        """
        rules = federated_settings(self.base.settings, self.settings)
        learner = replace(self.base, settings=rules, progress=None, watch=None)
        network = learner.network(task)
        initial: State = {name: value.clone() for name, value in network.state_dict().items()}
        shared = shared_names(network, learner, self.settings)
        dealt = client_rows(
            self.samples,
            task.rows,
            task.labels,
            self.settings.clients,
            self.settings.partition,
            self.base.seed,
        )
        return [
            Client(
                name, number, client_task(task, rows), learner, self.settings, initial, shared,
                folder / "clients" / f"{number:02d}",
                budget_of(self.settings, len(rows["train"]), rules.train.batch_size) if self.settings.dp == "sgd" else None,
            )
            for number, (name, rows) in enumerate(dealt, 1)
        ]  # fmt: skip

    def fit(self, task: Task, folder: Path) -> tuple[NetworkModel, Fitting]:
        """Run the rounds; see `stages.learners.model.Learner`.

        Raises:
            DataError: If there are too few groups for so many clients.
            ModelError: If no client can be used in a round.
        """
        started = time.perf_counter()
        clients = self.clients(task, folder)
        if self.settings.dp == "least-squares":
            model, history, best = self._solve(task, clients, folder)
        else:
            model, history, best = self._rounds(task, clients, folder)
        model.save(folder)
        for client in clients:  # what a stopped call would have needed
            (client.folder / "last.ckpt").unlink(missing_ok=True)
            if self.settings.strategy != "fedbn":
                (client.folder / "weights.safetensors").unlink(missing_ok=True)
        parameters = sum(parameter.numel() for parameter in model.network.parameters())
        return model, Fitting(
            tuple(history),
            best,
            time.perf_counter() - started,
            parameters,
            private=self.settings.dp != "none",
        )

    def _rounds(
        self, task: Task, clients: list[Client], folder: Path
    ) -> tuple[NetworkModel, list[dict[str, float]], int]:
        first, settings, rules = clients[0], self.settings, self.base.settings.train
        start = {name: first.initial[name] for name in first.shared}
        strategy = make_strategy(
            settings, {name: tuple(value.shape) for name, value in start.items()}, len(clients)
        )
        grid = InProcessGrid({client.node: client.app() for client in clients})
        make_folder(folder / "rounds")
        monitor = rules.monitor if rules.keep == "best" and settings.dp == "none" else None
        progress = self.base.progress
        known = folder / "rounds"

        def told(number: int, row: object) -> None:
            if progress:
                scores = dict(row) if isinstance(row, dict) else {}
                progress(
                    number,
                    settings.rounds,
                    "  ".join(
                        f"{key} {scores[key]:.3f}"
                        for key in ("train_loss", "validation_macro_f1")
                        if key in scores
                    ),
                )

        for client in clients:
            restore_spent(client, known)
        done = run_rounds(
            grid, strategy, start, settings.rounds, known, monitor, told, lambda: {"spent": spent_of(clients)}
        )
        self._write(task, clients, folder, done.history, done.best, _named(clients, done.refused))
        if settings.strategy == "fedbn":
            for client in clients:
                self._model(client.current(done.state), client).save(client.folder)
        return self._model(first_with(first, done.state), first), done.history, done.best

    def _solve(
        self, task: Task, clients: list[Client], folder: Path
    ) -> tuple[NetworkModel, list[dict[str, float]], int]:
        first, width, classes = clients[0], clients[0].network().width, len(task.classes)
        size = min(self.settings.dimensions, width)
        strategy = make_strategy(
            self.settings, {"squares": (size, size), "products": (size, classes)}, len(clients)
        )
        grid = InProcessGrid({client.node: client.app() for client in clients})
        sigma = analytic_gaussian(self.settings.epsilon, self.settings.delta, SENSITIVITY)
        weights = ask_for_sums(grid, strategy, {client.node: client.images for client in clients}, sigma)
        solved = torch.from_numpy(head_weights(weights, width, self.base.seed)).float()
        network = first.network().eval()
        layer = f"head.{len(network.head) - 1}"
        network.load_state_dict(
            {**first.initial, f"{layer}.weight": solved, f"{layer}.bias": torch.zeros(len(solved))}
        )
        row = {"round": 1.0}
        self._write(task, clients, folder, [row], 0, _named(clients, strategy.refused))
        return self._model(network, clients[0]), [row], 0

    def _model(self, network: Network, client: Client) -> NetworkModel:
        head = client.learner.settings.head
        return NetworkModel(
            network.to(pick_device(self.base.hardware)),
            self.base.weights,
            head,
            client.task.preprocess,
            self.base.flips,
        )

    def _write(
        self,
        task: Task,
        clients: list[Client],
        folder: Path,
        history: list[dict[str, float]],
        best: int,
        refused: list[RefusedRecord],
    ) -> None:
        def counts(client: Client, part: str) -> dict[str, int]:
            labels = task.labels[client.task.rows[part]]
            return {name: int((labels == place).sum()) for place, name in enumerate(task.classes)}

        records = tuple(
            ClientRecord(
                name=client.name,
                images={part: len(rows) for part, rows in client.task.rows.items()},
                groups={
                    part: len({group_of(self.samples[row]) for row in rows})
                    for part, rows in client.task.rows.items()
                },
                counts={part: counts(client, part) for part in client.task.rows},
                noise=client.budget.noise if client.budget else client.sigma,
                spent=client.budget.spent if client.budget else _told_once(client),
            )
            for client in clients
        )
        record = FederatedRecord(
            settings=self.settings,
            clients=records,
            history=tuple(history),
            best_round=best + 1,
            refused=tuple(refused),
            shared=len(clients[0].shared),
            batch_norms=_norm_note(clients[0]),
        )
        write_federated(folder, record)


def _named(clients: Sequence[Client], refused: Sequence[Refused]) -> list[RefusedRecord]:
    return [
        RefusedRecord(round=one.round, client=clients[one.client - 1].name, reason=one.reason)
        for one in refused
    ]


def _told_once(client: Client) -> dict[int, tuple[float, float]]:
    # The analytic Gaussian mechanism is exact: there is nothing for accountants to bound.
    return {1: (client.settings.epsilon, client.settings.epsilon)} if client.sigma else {}


def first_with(client: Client, state: State) -> Network:
    """Return a network of the shared weights; what is not shared is as it was before the first round."""
    network = client.network()
    network.load_state_dict({**client.initial, **state})
    return network.eval()


def spent_of(clients: Sequence[Client]) -> dict[str, dict[int, tuple[float, float]]]:
    """Return (RDP, PRV) epsilon by round, by client."""
    return {str(client.node): dict(client.budget.spent) for client in clients if client.budget}


def restore_spent(client: Client, folder: Path) -> None:
    """Take what was spent from the last checkpoint: a stopped federation goes on with what is left."""
    from segmentation.files import read_json
    from stages.learners.federated.rounds import ROUNDS_FILE

    if client.budget is None or not (folder / ROUNDS_FILE).is_file():
        return
    known = read_json(folder / ROUNDS_FILE).get("spent", {}).get(str(client.node), {})
    client.budget.spent.update({int(number): (both[0], both[1]) for number, both in known.items()})


def _norm_note(client: Client) -> str:
    if client.learner.settings.train.policy == "frozen":
        return "The backbone is frozen: its batch normalisation is that of its weights and is not exchanged."
    if client.settings.strategy == "fedbn":
        return "Batch normalisation stays with each client; the model of the run has that of the starting weights."
    return "Batch normalisation is averaged like all other weights."
