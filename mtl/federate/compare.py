"""What federation is worth: the same epochs in one place, at each client alone, together, with heads of their own, with privacy."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mtl.federate.content import score_text
from mtl.federate.settings import FederatedExperiment
from mtl.progress import Steps
from mtl.run.scoring import group_name
from mtl.runs import StageFolder
from mtl.statistics import TestResult, bootstrap_difference, holm
from segmentation.files import make_folder, read_json, write_json
from stages.assemble import Assembled
from stages.learners.federated.client import Client
from stages.learners.federated.learner import FederatedLearner
from stages.learners.model import MODEL_FILE, Model, load_model
from stages.learners.network.model import NetworkLearner, NetworkModel
from stages.metrics import Evaluation, Interval, auroc_intervals, evaluate, paired_difference
from stages.task import Task

__all__ = ["EPSILONS", "Compared", "System", "compare_systems"]

EPSILONS = (1.0, 2.0, 8.0)
_OPEN = 1000.0
"""Epsilon at which there is next to no noise."""
FEDERATED = "federated"
_TRAINED = {"head": "the head", "film": "head and normalisation layers", "full": "all weights"}
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class System:
    """One way to learn, on the global test part.

    Attributes:
        name: For people.
        about: What it is, in a few words.
        epsilon: Of its privacy; None without.
        evaluation: Scores on the global test part.
        seconds: Of its training; NaN where it was there already.
        attack: AUROC of telling training images from test images by their loss, with its interval over groups; 0.5 is chance.
        lead: Macro F1 minus that of federation without privacy; None for that one itself.
        test: Of the difference in accuracy to it.
        p: Of the test, corrected for all of them (Holm).
    """

    name: str
    about: str
    epsilon: float | None
    evaluation: Evaluation
    seconds: float
    attack: Interval
    lead: Interval | None = None
    test: TestResult | None = None
    p: float | None = None


@dataclass(frozen=True)
class Compared:
    """All systems, on one grouped test part, with equal epochs.

    Attributes:
        systems: Federation without privacy is one of them.
    """

    systems: tuple[System, ...]

    def named(self, name: str) -> System:
        """Return a system by its name."""
        return next(one for one in self.systems if one.name == name)

    def to_json(self) -> list[dict[str, Any]]:
        """Return plain values."""
        return [{**vars(one), "evaluation": one.evaluation.to_json()} for one in self.systems]

    def sentences(self) -> list[str]:
        """Return a line a system, and what must be said."""
        lines = [
            f"{one.name}: {score_text(one.evaluation)}; membership inference AUROC {one.attack.value:.3f}"
            for one in self.systems
        ]
        return [*lines, *self.verdicts(), *filter(None, [self.caution])]

    @property
    def caution(self) -> str:
        """What the intervals cannot be trusted for, such as too few groups; empty where there is nothing to say."""
        return next((one.test.note for one in self.systems if one.test and one.test.note), "")

    def verdicts(self) -> list[str]:
        """Return who loses to whom, in plain sentences."""
        told, ours = [], self.named(FEDERATED).evaluation.headline["macro_f1"].value
        for name, title in (("alone", "each client alone"), ("centralised", "centralised training")):
            one = self.named(name)
            theirs = one.evaluation.headline["macro_f1"].value
            sure = one.lead is not None and (one.lead.low > 0 or one.lead.high < 0)
            word = "loses to" if ours < theirs else "beats" if ours > theirs else "equals"
            local = "local" if name == "alone" else name
            told.append(
                f"Federated {word} {local}: macro-F1 {ours:.3f} against {theirs:.3f} of {title}"
                + (
                    "."
                    if sure or ours == theirs
                    else ", a difference that is not shown: its interval holds 0."
                )
            )
        return told


@dataclass(frozen=True)
class _Raw:
    """Votes of a system on test and training part, of K classes."""

    name: str
    about: str
    epsilon: float | None
    test: Floats
    train: Floats
    seconds: float


def compare_systems(
    experiment: FederatedExperiment,
    learner: FederatedLearner,
    task: Task,
    data: Assembled,
    done: StageFolder,
    reporter: Steps,
) -> Compared:
    """Train what is missing and score everything on the global test part.

    Args:
        experiment: What was run.
        learner: What federates.
        task: Of all clients together.
        data: Of the stage.
        done: The stage as it was run.
        reporter: Told about progress.

    Raises:
        StagesError: If a training fails.
        KeyboardInterrupt: If stopped; systems that are finished are kept.
    """
    folder = done.path / "systems"
    make_folder(folder)
    settings = experiment.federate
    open_learner = replace(
        learner, settings=settings.model_copy(update={"dp": "none", "noise": None, "dp_train": "head"})
    )
    clients = open_learner.clients(task, folder / FEDERATED)
    rules = clients[0].learner
    votes = _Votes(task, rules)
    private_kinds = ("sgd", "least-squares", *(["central"] if settings.dp == "central" else []))
    steps: list[tuple[str, float | None]] = [
        (FEDERATED, None), ("centralised", None), ("alone", None), ("personalised", None),
        *((f"{dp}, epsilon {epsilon:g}", epsilon) for dp in private_kinds for epsilon in EPSILONS),
        ("least-squares, no noise", None),
    ]  # fmt: skip
    raw = []
    for number, (name, epsilon) in enumerate(steps):
        reporter.step("compare", number, len(steps), name)
        own = folder / name.replace(", epsilon ", "-")
        make_folder(own)
        if name == FEDERATED:
            model, seconds = (
                (load_model(done.path), done.record().seconds)
                if settings.dp == "none"
                else _model(own, lambda at: open_learner.fit(task, at)[0])
            )
            state = model
            raw.append(_of_one(name, "weights averaged, without privacy", epsilon, votes, model, seconds))
        elif name == "centralised":
            model, seconds = _model(own, lambda at: rules.fit(task, at)[0])
            raw.append(_of_one(name, "all images in one place", epsilon, votes, model, seconds))
        elif name == "alone":
            about = "each client's own images; a test image is judged by its own client's model"
            raw.append(_of_each(name, about, votes, clients, own, _alone))
        elif name == "personalised":
            about = "federated, then each client trains the head for one more round's epochs"
            raw.append(_of_each(name, about, votes, clients, own, _personal(state, settings.local_epochs)))
        else:
            dp = name.partition(",")[0]
            told = settings.model_copy(
                update={"dp": dp, "epsilon": epsilon or _OPEN, "strategy": "fedavg", "noise": None}
                | ({"dp_train": "head"} if dp == "least-squares" else {})
            )
            private = replace(learner, settings=told)
            model, seconds = _model(own, lambda at, private=private: private.fit(task, at)[0])
            kind = {
                "sgd": f"DP-SGD on {_TRAINED[settings.dp_train]}",
                "central": f"central noise on {_TRAINED[settings.dp_train]}: each hospital is hidden",
            }.get(dp, "noisy least squares")
            if epsilon is None:
                kind = (
                    f"the same least squares at epsilon {_OPEN:g}: what their noise costs is the difference"
                )
            said = votes if told.dp_train == "head" else _Votes(task, None)
            raw.append(_of_one(name, kind, epsilon, said, model, seconds))
    reporter.step("compare", len(steps), len(steps))
    return _judged(raw, task, data, experiment)


class _Votes:
    """What models say of the task's images; a frozen backbone's features are computed once for all of them."""

    def __init__(self, task: Task, rules: NetworkLearner | None) -> None:
        self.task = task
        self.bank = rules.bank if rules and rules.settings.train.policy == "frozen" else None

    def of(self, model: Model, rows: npt.NDArray[np.int64]) -> Floats:
        """Return votes (N, K) of some rows."""
        import torch

        if self.bank is None or not self.bank.is_file() or not isinstance(model, NetworkModel):
            return model.prepared_probabilities(self.task.images[rows])
        features = torch.from_numpy(np.load(self.bank, mmap_mode="r")[rows])
        with torch.inference_mode():
            network = model.network
            logits = network.head(features.to(model.device))
            return np.asarray(network.probabilities(logits.double()).cpu().numpy())


def _model(folder: Path, fit: Any) -> tuple[Model, float]:
    """Return a finished model from its folder, or train it; and the seconds that it took."""
    if (folder / MODEL_FILE).is_file() and (folder / "seconds.json").is_file():
        return load_model(folder), float(read_json(folder / "seconds.json"))
    started = time.perf_counter()
    model: Model = fit(folder)
    seconds = time.perf_counter() - started
    write_json(folder / "seconds.json", seconds)
    return model, seconds


def _of_one(
    name: str, about: str, epsilon: float | None, votes: _Votes, model: Model, seconds: float
) -> _Raw:
    rows = votes.task.rows
    return _Raw(name, about, epsilon, votes.of(model, rows["test"]), votes.of(model, rows["train"]), seconds)


def _of_each(
    name: str, about: str, votes: _Votes, clients: Sequence[Client], folder: Path, make: Any
) -> _Raw:
    task, classes = votes.task, len(votes.task.classes)
    said = {part: np.zeros((len(task.labels), classes)) for part in ("test", "train")}
    spent = 0.0
    for client in clients:
        own = folder / f"{client.node:02d}"
        make_folder(own)
        model, seconds = _model(own, lambda at, client=client: make(client, at))
        spent += seconds
        for part, whole in said.items():
            rows = client.task.rows[part]
            if len(rows):
                whole[rows] = votes.of(model, rows)
    test, train = (said[part][task.rows[part]] for part in ("test", "train"))
    return _Raw(name, about, None, test, train, spent)


def _alone(client: Client, folder: Path) -> Model:
    return replace(client.learner, seed=client.seed).fit(client.task, folder)[0]


def _personal(start: Model, epochs: int) -> Any:
    def make(client: Client, folder: Path) -> Model:
        from stages.learners.network.leg import Leg
        from stages.learners.network.training import train_stage

        assert isinstance(start, NetworkModel)  # noqa: S101 - what was federated is a network
        rules = client.learner.settings
        train = rules.train.model_copy(update={"epochs": epochs, "policy": "frozen", "head_epochs": 0})
        state = {name: value.cpu() for name, value in start.network.state_dict().items()}
        network = client.network()
        network.load_state_dict(state)
        bank = client.learner.bank if rules.train.policy == "frozen" else None
        leg = Leg(0, epochs, state)
        done = train_stage(
            network, client.task, rules.model_copy(update={"train": train}), folder, client.seed,
            client.learner.hardware, None, bank, None, leg,
        )  # fmt: skip
        model = NetworkModel(done.network, start.weights, start.head, client.task.preprocess, start.flips)
        model.save(folder)
        return model

    return make


def _judged(raw: Sequence[_Raw], task: Task, data: Assembled, experiment: FederatedExperiment) -> Compared:
    drawing = {"resamples": experiment.evaluation.resamples, "seed": experiment.seed}
    test, train = task.rows["test"], task.rows["train"]
    labels, groups = task.labels[test], [group_name(data.samples[row]) for row in test]
    ours = next(one for one in raw if one.name == FEDERATED)
    right = {one.name: (one.test.argmax(axis=1) == labels).astype(float) for one in raw}
    others = [one.name for one in raw if one.name != FEDERATED]
    tests = {name: bootstrap_difference(right[name], right[FEDERATED], groups, **drawing) for name in others}
    corrected = dict(zip(others, holm([tests[name].p for name in others]).tolist(), strict=True))
    all_groups = [group_name(data.samples[row]) for row in (*train, *test)]
    systems = []
    for one in raw:
        lead = None
        if one.name != FEDERATED:
            lead = paired_difference(labels, one.test, ours.test, groups, "macro_f1", **drawing)
        scores = evaluate(labels, one.test, groups, task.classes, **drawing)
        attack = _attack(one, task, all_groups, drawing)
        systems.append(
            System(
                one.name,
                one.about,
                one.epsilon,
                scores,
                one.seconds,
                attack,
                lead,
                tests.get(one.name),
                corrected.get(one.name),
            )
        )
    return Compared(tuple(systems))


def _attack(one: _Raw, task: Task, groups: Sequence[str], drawing: dict[str, int]) -> Interval:
    """Return how well the loss tells what was trained on (Yeom et al. 2018): AUROC of members against the test part."""
    losses = np.concatenate(
        [
            _loss(votes, task.labels[task.rows[part]])
            for part, votes in (("train", one.train), ("test", one.test))
        ]
    )
    member = np.repeat([1, 0], [len(one.train), len(one.test)])
    # Only the order of scores counts: the probability of what is right, as that of being a member.
    odds = np.exp(-losses)
    return auroc_intervals(member, np.stack([1 - odds, odds], axis=1), groups, **drawing)[1]


def _loss(votes: Floats, labels: npt.NDArray[np.int64]) -> Floats:
    loss: Floats = -np.log(np.clip(votes[np.arange(len(labels)), labels], 1e-12, 1))
    return loss
