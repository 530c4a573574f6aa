"""`mtl federate simulate`: several clients in one process learn the last stage of a chain."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtl.errors import MissingExtraError
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

__all__ = ["FederateResult", "simulate"]


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


def check_extra() -> None:
    """See that Flower and Opacus are there.

    Raises:
        MissingExtraError: If not.
    """
    for name in ("flwr", "opacus"):
        if importlib.util.find_spec(name) is None:
            raise MissingExtraError(
                f"Expected the package {name} to be installed for `mtl federate`, but it is not; do `pip install 'mtl[federated]'`"
            )


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
    check_extra()
    from mtl.federate.maker import FederatedMaker
    from mtl.federate.report import federate_html

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
        record = RunRecord(
            name=plain.name, command=command, chains={",".join(map(str, plain.stages)): tuple(one.path.name for one in folders)},
            start=begin.path.resolve() if begin else None, environment=environment(), comparison=None,
        )  # fmt: skip
        write_record(folder.path / "run.json", record)
        task = make_task(data[last], splits[last], Preprocess(plain.stage(last).preprocess), reporter.step)
        learner = maker.learner(last, data[last], task.preprocess, parent, flips=plain.evaluation.flips)
        comparison = None
        if compare:
            from mtl.federate.compare import compare_systems

            comparison = compare_systems(plain, learner, task, data[last], done, reporter)
        content = _content(plain, done, task, learner, comparison, command)
        write_json(folder.path / "federate.json", content.to_json())
        report = folder.path / "report.html"
        write_text(report, federate_html(content))
    return FederateResult(content, folder.path, report)


def _content(
    experiment: FederatedExperiment, done: StageFolder, task: Any, learner: Any, comparison: Any, command: str
) -> FederateContent:
    from stages.learners.federated.records import read_federated
    from stages.learners.model import load_model

    record = done.learned_record()
    told = read_federated(done.path)
    scores: tuple[ClientScore, ...] = ()
    if record.evaluation:
        votes = done.predictions().probabilities
        place = np.full(len(task.labels), -1)
        place[task.rows["test"]] = np.arange(len(task.rows["test"]))
        clients = learner.clients(task, done.path)
        own = votes.copy()
        if experiment.federate.strategy == "fedbn":
            for client in clients:
                rows = client.task.rows["test"]
                if len(rows):
                    own[place[rows]] = load_model(client.folder).prepared_probabilities(task.images[rows])
        scores = client_scores(
            clients, own, place, task, [learner.samples[row] for row in task.rows["test"]], experiment
        )
    return FederateContent(
        name=experiment.name, record=told, learned=record, clients=scores, comparison=comparison,
        command=command, environment=environment(), config=dump_settings(experiment),
    )  # fmt: skip
