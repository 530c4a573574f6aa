"""`mtl federate client`: take part in a server's federation with images that stay here."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from mtl.config import STAGE_FIELDS
from mtl.errors import ConfigError
from mtl.federate.content import ClientScore, client_scores, text
from mtl.federate.extra import check_extra
from mtl.federate.plan import Plan, read_plan, score_json, told
from mtl.federate.settings import ClientSettings, FederatedExperiment
from mtl.loading import load_settings
from mtl.progress import Reporter
from mtl.runs import RunFolder, stage_key
from segmentation.files import finite, make_folder, read_json, write_json, write_tensors
from stages.assemble import assemble, make_task, split_stages
from stages.data.catalogue import parse_source
from stages.errors import DataError
from stages.learners.federated.client import Client, confusion_scores, read_arrays
from stages.learners.federated.learner import FederatedLearner
from stages.learners.federated.supernode import SuperNode
from stages.learners.network.loading import State
from stages.learners.network.model import NetworkLearner
from stages.preprocess import Preprocess

__all__ = ["Joined", "join"]


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
    check_extra()
    source = parse_source(settings.data, "--data")
    if not source.folder.exists():
        raise DataError(
            f"Expected `--data` to name a folder or file, but {source.folder} is not there; do check the path"
        )
    folder = RunFolder(runs / f"{settings.name or settings.key.stem}-client")
    with folder.lock(), Reporter() as reporter:
        folder.claim("federate-client")
        node = SuperNode(settings.server, settings.ca, settings.key, folder.path, settings.wait)
        hospital = _Hospital(settings, folder, reporter)
        reporter.step(f"server {settings.server}", 0, 1, "waiting")
        node.serve(hospital.app(), lambda: hospital.ended is not None)
        assert hospital.ended is not None  # noqa: S101 - `serve` ends by it or raises
        write_json(folder.path / "client.json", hospital.ended.to_json())
    return hospital.ended


class _Hospital:
    """What a client does with what a server sends."""

    def __init__(self, settings: ClientSettings, folder: RunFolder, reporter: Reporter) -> None:
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
        source = parse_source(self.settings.data, "--data")
        number = FederatedExperiment.model_validate(plan.experiment).stages[-1]
        data = {
            "dataset": source.dataset, "root": str(source.folder), "rename": self.settings.rename, "drop": list(self.settings.drop),
        }  # fmt: skip
        given = {f"{STAGE_FIELDS[number]}.data": data, "hardware": self.settings.hardware.model_dump()}
        experiment = load_settings(FederatedExperiment, plan.experiment, given)
        _agree(self.settings, experiment)
        rules = experiment.stage(number)
        assembled = assemble(rules.data, rules.split.near_duplicates, self.reporter.step)
        if unknown := sorted(set(assembled.classes) - set(plan.classes)):
            raise DataError(
                f"Expected the labels of {source.dataset} to be among the server's classes {', '.join(plan.classes)}, but it has {', '.join(unknown)}; do rename or drop them"
            )
        tied, splits = split_stages(
            {number: assembled},
            {number: rules.split},
            experiment.seed,
            self.folder.path / "splits",
            self.reporter.step,
        )
        stage = replace(tied[number], classes=plan.classes)
        task = make_task(stage, splits[number], Preprocess(rules.preprocess), self.reporter.step)
        key = stage_key(plan.experiment, plan.classes, plan.weights.model_dump(mode="json"), stage.fingerprint, splits[number].to_json(), _digest(start))  # fmt: skip
        own = self.folder.stages / key
        make_folder(own)
        write_tensors(
            own / "start.safetensors",
            {name: value for name, value in start.items() if name.startswith("backbone.")},
        )
        base = NetworkLearner(
            rules, plan.weights, own / "start.safetensors", experiment.seed, experiment.hardware, experiment.evaluation.flips,
            bank=own / "features.npy",
        )  # fmt: skip
        learner = FederatedLearner(base, experiment.federate, stage.samples)
        made, shared = learner.start(task)
        if {name: value.shape for name, value in made.items()} != {
            name: value.shape for name, value in start.items()
        }:
            raise ConfigError(
                f"Expected the server's weights to be of {experiment.backbone} as it is here, but they are not; do install the same version of timm on both"
            )
        private = experiment.federate.dp != "none"
        client = learner.client(self.settings.key.stem, self._number(), task, start, shared, own / "training")
        self._client = replace(
            client,
            secret=_secret(self.folder.path / "secret.json") if private else 0,
            rendered=stage.rendered,
            unit=stage.unit,
        )

        def judge(state: State) -> tuple[ClientScore, dict[str, Any]]:
            rows, classes = task.rows["test"], len(task.classes)
            model = learner.model(self.client.current(state), self.client)
            model.save(own)
            votes, labels = model.prepared_probabilities(task.images[rows]), task.labels[rows]
            place = np.full(len(task.labels), -1)
            place[rows] = np.arange(len(rows))
            samples = [stage.samples[row] for row in rows]
            loss = -np.log(votes[np.arange(len(rows)), labels].clip(1e-12)).mean() if len(rows) else 0.0
            return (
                client_scores([self.client], votes, place, task, samples, experiment)[0],
                confusion_scores(labels, votes.argmax(axis=1), classes, float(loss)),
            )

        self._judge, self._model = judge, own
        return self._client

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


def _secret(path: Path) -> int:
    """Return what the noise of this client follows from, drawn once: nobody else may know it."""
    if not path.is_file():
        before = os.umask(0o077)
        try:
            write_json(path, secrets.randbits(128))
        finally:
            os.umask(before)
    return int(read_json(path))


def _digest(state: State) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode() + state[name].numpy().tobytes())
    return digest.hexdigest()
