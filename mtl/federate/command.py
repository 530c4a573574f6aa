"""`mtl federate simulate`: several clients in one process learn the last stage of a chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mtl.extras import check_extra
from mtl.federate.content import ClientScore, FederateContent, client_scores
from mtl.federate.settings import FederatedExperiment
from mtl.loading import dump_settings
from mtl.progress import Reporter
from mtl.records import RunRecord, write_record
from mtl.run.backbone import check_backbones
from mtl.run.chain import prepare
from mtl.run.execute import find_start
from mtl.run.rendered import with_rendered_data
from mtl.run.stage import StageMaker, imagenet_stage
from mtl.runs import RunFolder, StageFolder, environment
from segmentation.files import finite, write_json, write_text
from stages.assemble import make_task
from stages.preprocess import Preprocess

if TYPE_CHECKING:
    from mtl.federate.compare import Compared
    from stages.learners.federated.learner import FederatedLearner
    from stages.task import Task

__all__ = ["FederateResult", "finish", "simulate"]


@dataclass(frozen=True)
class FederateResult:
    """What a federation found.

    Attributes:
        content: Of the report.
        run: The run folder.
        report: The HTML report.
    """

    content: FederateContent
    run: Path
    report: Path

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json` can write."""
        told = finite(self.content.to_json())
        return {"run": str(self.run), "report": str(self.report), **told}

    def to_text(self) -> str:
        """Return a few lines for a person."""
        return "\n".join([*self.content.sentences(), f"Wrote {self.run}", f"Report {self.report}"])


def simulate(
    experiment: FederatedExperiment,
    runs: Path,
    command: str,
    start: Path | None = None,
    *,
    compare: bool = False,
) -> FederateResult:
    """Run the earlier stages of a chain in one place and its last one at several clients, and write a report.

    Args:
        experiment: What to run.
        runs: Folder of run folders.
        command: As typed.
        start: Run or stage folder to begin from.
        compare: Train the same centrally, at each client alone and with privacy, too.

    Raises:
        MtlError: If configuration or run folder are not usable, or an extra is missing.
        StagesError: If data, weights or training fail.
        KeyboardInterrupt: If stopped; the same call goes on.
    """
    check_extra("federated")
    if experiment.federate.engine == "ray":
        check_extra("ray")
    from mtl.federate.maker import FederatedMaker

    folder = RunFolder(runs / f"{experiment.name}-federated")
    with folder.lock(), Reporter() as reporter:
        folder.claim("federate")
        begin = find_start(start, experiment) if start else None
        check_backbones(experiment)
        plain = with_rendered_data(experiment, reporter)
        first = begin or imagenet_stage(
            plain, folder, reporter, plain.weights if plain.stages[0] == 1 else "none"
        )
        data, splits = prepare(plain, folder, reporter, first.learned())
        write_text(folder.path / "config.yaml", dump_settings(plain))
        *before, last = [number for number in plain.stages if number in data]
        parent, folders = first, [first]
        for number in before:
            parent = StageMaker(plain, folder, reporter).make(number, data[number], splits[number], parent)
            folders.append(parent)
        maker = FederatedMaker(plain, folder, reporter)
        done = maker.make(last, data[last], splits[last], parent)
        folders.append(done)
        task = make_task(data[last], splits[last], Preprocess(plain.stage(last).preprocess), reporter.step)
        learner = maker.learner(last, data[last], task.preprocess, parent, flips=plain.evaluation.flips)
        comparison = None
        if compare:
            from mtl.federate.compare import compare_systems

            comparison = compare_systems(plain, learner, task, data[last], done, reporter)
        scores = _scores(plain, done, task, learner)
        return finish(plain, folder, folders, command, scores, comparison, begin)


def finish(
    experiment: FederatedExperiment,
    folder: RunFolder,
    stages: Sequence[StageFolder],
    command: str,
    scores: tuple[ClientScore, ...],
    comparison: Compared | None,
    start: StageFolder | None = None,
) -> FederateResult:
    """Write `run.json`, `federate.json` and the report of a federation whose stages are finished.

    Args:
        experiment: What was run.
        folder: Where.
        stages: The first one to the federated one.
        command: As typed.
        scores: By client.
        comparison: With other ways to learn.
        start: The stage that `--from` named.
    """
    from mtl.federate.report import federate_html
    from stages.learners.federated.records import read_federated

    record = RunRecord(
        name=experiment.name, command=command, chains={",".join(map(str, experiment.stages)): tuple(one.path.name for one in stages)},
        start=start.path.resolve() if start else None, environment=environment(), comparison=None,
    )  # fmt: skip
    write_record(folder.path / "run.json", record)
    done = stages[-1]
    content = FederateContent(
        name=experiment.name, record=read_federated(done.path), learned=done.learned_record(), clients=scores, comparison=comparison,
        command=command, environment=environment(), config=dump_settings(experiment),
    )  # fmt: skip
    write_json(folder.path / "federate.json", content.to_json())
    report = folder.path / "report.html"
    write_text(report, federate_html(content))
    return FederateResult(content, folder.path, report)


def _scores(
    experiment: FederatedExperiment, done: StageFolder, task: Task, learner: FederatedLearner
) -> tuple[ClientScore, ...]:
    """Return what the model reaches at every client; under FedBN each has its own, and all are asked as they were trained."""
    from stages.learners.model import load_model

    rows = task.rows["test"]
    if not len(rows):
        return ()
    place = np.full(len(task.labels), -1)
    place[rows] = np.arange(len(rows))
    clients = learner.clients(task, done.path)
    if experiment.federate.strategy == "fedbn":
        votes = np.empty((len(rows), len(task.classes)))
        for client in clients:
            own = client.task.rows["test"]
            votes[place[own]] = load_model(client.folder).prepared_probabilities(task.images[own])
    else:
        votes = load_model(done.path).prepared_probabilities(task.images[rows])
    samples = [learner.samples[row] for row in rows]
    return client_scores(clients, votes, place, task, samples, experiment)
