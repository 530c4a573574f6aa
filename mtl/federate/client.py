"""`mtl federate client`: take part in a server's federation with images that stay here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from mtl.config import STAGE_FIELDS
from mtl.errors import ConfigError
from mtl.extras import check_extra
from mtl.federate.content import ClientScore, client_scores, text
from mtl.federate.keys import kept_secret
from mtl.federate.plan import Plan, read_plan, score_json, told
from mtl.federate.settings import ClientSettings, FederatedExperiment
from mtl.progress import Reporter, Steps
from mtl.runs import RunFolder, stage_key
from segmentation.files import finite, make_folder, write_json, write_tensors
from stages.assemble import Assembled, assemble, make_task, split_stages
from stages.data.catalogue import parse_source
from stages.data_settings import DataSettings
from stages.errors import DataError
from stages.learners.federated.client import Client, confusion_scores, read_arrays
from stages.learners.federated.learner import FederatedLearner
from stages.learners.federated.supernode import SuperNode
from stages.learners.network.loading import State
from stages.learners.network.model import NetworkLearner
from stages.preprocess import Preprocess
from stages.splits.split import Split
from stages.task import Task

__all__ = ["Hospital", "Joined", "join"]


@dataclass(frozen=True)
class Joined:
    """How it ended.

    Attributes:
        run: The client's folder.
        model: Folder of the model.
        score: On its own test images.
        spent: (RDP, PRV) epsilon at the end; None without privacy.
    """

    run: Path
    model: Path
    score: ClientScore
    spent: tuple[float, float] | None

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json` can write."""
        told: dict[str, Any] = finite(vars(self) | {"run": str(self.run), "model": str(self.model)})
        return told

    def to_text(self) -> str:
        """Return a few lines for a person."""
        score, lines = self.score, []
        if score.n:
            lines.append(
                f"The shared model on {score.n} own test images: accuracy {text(score.accuracy)}, macro-F1 {text(score.macro_f1)}"
            )
        if self.spent:
            lines.append(f"Spent of privacy: epsilon {self.spent[0]:.3g} (RDP), {self.spent[1]:.3g} (PRV)")
        return "\n".join([*lines, f"Wrote {self.model}"])


def join(settings: ClientSettings, runs: Path) -> Joined:
    """Answer a server until its run has ended.

    Args:
        settings: Which server, which images, what is insisted on.
        runs: Folder of run folders.

    Raises:
        MtlError: If the server is not there or not the right one, if its plan is refused, or the images do not fit it.
        KeyboardInterrupt: If stopped; the same call goes on.
    """
    check_extra("federated")
    source = parse_source(settings.data, "--data")
    if not source.folder.exists():
        raise DataError(
            f"Expected `--data` to name a folder or file, but {source.folder} is not there; do check the path"
        )
    folder = RunFolder(runs / f"{settings.name or settings.key.stem}-client")
    with folder.lock(), Reporter() as reporter:
        folder.claim("federate-client")
        node = SuperNode(settings.server, settings.ca, settings.key, folder.path, settings.wait)
        hospital = Hospital(settings, folder, reporter)
        reporter.step(f"server {settings.server}", 0, 1, "waiting")
        node.serve(hospital.app(), lambda: hospital.ended is not None)
        assert hospital.ended is not None  # noqa: S101 - `serve` ends by it or raises
        write_json(folder.path / "client.json", hospital.ended.to_json())
    return hospital.ended


class Hospital:
    """What a client does with what a server sends.

    Args:
        settings: Which images, and what is insisted on.
        folder: Gets everything.
        reporter: Told about progress.

    Attributes:
        ended: How the run ended; None before.
    """

    def __init__(self, settings: ClientSettings, folder: RunFolder, reporter: Steps) -> None:
        self.settings, self.folder, self.reporter = settings, folder, reporter
        self.ended: Joined | None = None
        self._client: Client | None = None
        self._judge: Callable[[State], tuple[ClientScore, dict[str, Any]]]

    def app(self) -> ClientApp:
        """Return what answers messages."""
        app = ClientApp()

        @app.query("plan")
        def plan(message: Message, context: Context) -> Message:
            record = self._take(read_plan(message), read_arrays(message)).record({})
            return Message(told(record.model_dump_json()), reply_to=message)

        @app.train()
        def train(message: Message, context: Context) -> Message:
            return self._asked("train", message, context)

        @app.evaluate()
        def evaluate(message: Message, context: Context) -> Message:
            return self._asked("judge", message, context)

        @app.query("end")
        def end(message: Message, context: Context) -> Message:
            return Message(self._end(read_arrays(message)), reply_to=message)

        return app

    @property
    def client(self) -> Client:
        """What takes part.

        Raises:
            ConfigError: If there was no plan yet.
        """
        if self._client is None:
            raise ConfigError("Expected the server to send its plan first, but it did not; do start it again")
        return self._client

    def _asked(self, what: str, message: Message, context: Context) -> Message:
        number = message.content.config_records["config"]["server-round"]
        self.reporter.step(f"server {self.settings.server}", int(number), self.client.settings.rounds, what)  # type: ignore[arg-type]
        reply: Message = self.client.app()(message, context)
        return reply

    def _take(self, plan: Plan, start: State) -> Client:
        """Return the client that a plan makes of the images here."""
        experiment, stage, split, task = self._images(plan)
        told = plan.experiment.model_dump(mode="json"), plan.classes, plan.weights.model_dump(mode="json")
        own = self.folder.stages / stage_key(*told, stage.fingerprint, split.to_json(), _digest(start))
        make_folder(own)
        backbone = {name: value for name, value in start.items() if name.startswith("backbone.")}
        write_tensors(own / "start.safetensors", backbone)
        base = NetworkLearner(
            experiment.stage(experiment.stages[-1]), plan.weights, own / "start.safetensors", experiment.seed, experiment.hardware,
            experiment.evaluation.flips, bank=own / "features.npy",
        )  # fmt: skip
        learner = FederatedLearner(base, experiment.federate, stage.samples)
        made, shared = learner.start(task)
        if _shapes(made) != _shapes(start):
            raise ConfigError(
                f"Expected the server's weights to be of {experiment.backbone} as it is here, but they are not; do install the same version of timm on both"
            )
        secret = kept_secret(self.folder.path / "secret.json") if experiment.federate.at_clients else 0
        client = learner.client(self.settings.key.stem, self._number(), task, start, shared, own / "training")
        self._client = replace(client, secret=secret, rendered=stage.rendered, unit=stage.unit)
        self._judge = partial(_judged, self._client, learner, experiment, own)
        self._model = own
        return self._client

    def _images(self, plan: Plan) -> tuple[FederatedExperiment, Assembled, Split, Task]:
        """Return the plan's experiment on the images here, and what becomes of them."""
        source, number = parse_source(self.settings.data, "--data"), plan.experiment.stages[-1]
        wishes = {"rename": self.settings.rename, "drop": self.settings.drop}
        data = DataSettings(dataset=source.dataset, root=source.folder, **wishes)
        rules = plan.experiment.stage(number).model_copy(update={"data": data})
        experiment = plan.experiment.model_copy(
            update={STAGE_FIELDS[number]: rules, "hardware": self.settings.hardware}
        )
        _agree(self.settings, experiment)
        tell = self.reporter.step
        assembled = assemble(rules.data, rules.split.near_duplicates, tell)
        if unknown := sorted(set(assembled.classes) - set(plan.classes)):
            raise DataError(
                f"Expected the labels of {source.dataset} to be among the server's classes {', '.join(plan.classes)}, but it has {', '.join(unknown)}; do rename or drop them"
            )
        tied, splits = split_stages(
            {number: assembled}, {number: rules.split}, experiment.seed, self.folder.path / "splits", tell
        )
        stage = replace(tied[number], classes=plan.classes)
        task = make_task(stage, splits[number], Preprocess(rules.preprocess), tell)
        if len(np.unique(task.labels[task.rows["train"]])) < 2:
            raise DataError(
                f"Expected {source.folder} to hold two classes or more to learn, but its training part does not; do add images"
            )
        return experiment, stage, splits[number], task

    def _end(self, state: State) -> RecordDict:
        client = self.client
        score, metrics = self._judge(state)
        spent = client.budget.spent if client.budget else {}
        last = (
            spent[max(spent)] if spent else client.spent(1) if client.settings.dp == "least-squares" else None
        )
        client.tidy()
        self.ended = Joined(self.folder.path, self._model, score, last)
        return told(score_json(score), metrics=metrics)

    def _number(self) -> int:
        # Every client draws its own order of images; a key is what it has that no other has.
        return int.from_bytes(hashlib.sha256(self.settings.key.read_bytes()).digest()[:4])


def _judged(
    client: Client, learner: FederatedLearner, experiment: FederatedExperiment, folder: Path, state: State
) -> tuple[ClientScore, dict[str, Any]]:
    """Save the model of some shared weights, and return what it reaches on the client's test images, for people and for adding up."""
    task, rows = client.task, client.task.rows["test"]
    model = learner.model(client.current(state), client)
    model.save(folder)
    votes, labels = model.prepared_probabilities(task.images[rows]), task.labels[rows]
    place = np.full(len(task.labels), -1)
    place[rows] = np.arange(len(rows))
    samples = [learner.samples[row] for row in rows]
    (score,) = client_scores([client], votes, place, task, samples, experiment)
    loss = -np.log(votes[np.arange(len(rows)), labels].clip(1e-12)).mean() if len(rows) else 0.0
    return score, confusion_scores(labels, votes.argmax(axis=1), len(task.classes), float(loss))


def _shapes(state: State) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}


def _agree(settings: ClientSettings, experiment: FederatedExperiment) -> None:
    """Refuse a plan that is not what this client insists on."""
    asked, federate = experiment.backbone, experiment.federate
    wishes = (
        ("--backbone", settings.backbone, asked, settings.backbone in (None, asked)),
        ("--dp", settings.dp, federate.dp, settings.dp in (None, federate.dp)),
        (
            "--epsilon", settings.epsilon, federate.epsilon if federate.dp != "none" else "no privacy",
            settings.epsilon is None or (federate.dp != "none" and federate.epsilon <= settings.epsilon),
        ),
    )  # fmt: skip
    for flag, wish, plan, fits in wishes:
        if not fits:
            raise ConfigError(
                f"Expected the server's plan to keep to `{flag}` {wish}, but it says {plan}; do agree with who runs it"
            )


def _digest(state: State) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode() + state[name].numpy().tobytes())
    return digest.hexdigest()
