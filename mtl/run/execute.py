"""One experiment from configuration to report: what `mtl run` calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtl.config import Experiment
from mtl.errors import ConfigError, RunError
from mtl.progress import Reporter, Steps
from mtl.records import Comparison, ExternalRecord, LearnedRecord, OverColour, StageRecord
from mtl.run.backbone import check_backbones
from mtl.run.chain import check_beginnings, run_experiment
from mtl.run.compared import comparison_sentence
from mtl.run.empty import began_alike, empty_comparison
from mtl.run.estimate import Estimator
from mtl.run.gallery import explain_stage
from mtl.run.rendered import with_rendered_data
from mtl.run.stage import imagenet_stage
from mtl.runs import RunFolder, StageFolder, follows, open_run
from segmentation.files import finite, write_text
from stages.metrics import Evaluation

__all__ = ["Result", "execute", "find_start", "write_report"]


@dataclass(frozen=True)
class Result:
    """What a run found.

    Attributes:
        run: The run folder.
        report: The HTML report.
        stages: Records of the finished stages, by chain.
        compared: The first two chains on the same images, those of the test part and of every external test.
    """

    run: Path
    report: Path
    stages: dict[str, list[StageRecord]]
    compared: tuple[Comparison, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json` can write."""
        stages = {
            chain: [finite(record.model_dump(mode="json")) for record in records]
            for chain, records in self.stages.items()
        }
        return {"run": str(self.run), "report": str(self.report), "stages": stages}

    def to_text(self) -> str:
        """Return a few lines for a person: scores beside colour alone, and where the files are."""
        lines = self._empty()
        for chain, records in self.stages.items():
            for record in records:
                if isinstance(record, LearnedRecord):
                    lines += [_score_line(chain, record, record.evaluation)] if record.evaluation else []
                    lines += [_external_line(chain, record, test) for test in record.tests]
        lines += [sentence for told in self.compared if (sentence := comparison_sentence(told))]
        return "\n".join([*lines, f"Wrote {self.run}", f"Report {self.report}"])

    def _empty(self) -> list[str]:
        ends = [(chain, records[-1]) for chain, records in self.stages.items()][:2]
        learned = [(chain, record.start) for chain, record in ends if isinstance(record, LearnedRecord)]
        if len(learned) < 2:
            return []
        (first, one), (second, other) = learned
        told = empty_comparison(first, second, began_alike(one, other))
        return [f"{told}."] if told else []


def execute(
    experiment: Experiment, runs: Path, command: str, start: Path | None = None, budget: float | None = None
) -> Result:
    """Run an experiment and write its report.

    Args:
        experiment: What to run.
        runs: Folder of run folders.
        command: As typed.
        start: Run or stage folder to begin from.
        budget: Minutes of training, within which last stages learn by the best preset that fits; None leaves them as they are.

    Raises:
        MtlError: If configuration or run folder are not usable, or nothing fits the budget.
        StagesError: If data, weights or training fail.
    """
    if start and (runs / experiment.name).resolve() in (start.resolve(), *start.resolve().parents):
        raise ConfigError(
            f"Expected `--name` to be another run than `--from` {start}, but got {experiment.name!r}; do choose a new name"
        )
    folder = RunFolder(runs / experiment.name)
    with folder.lock(), Reporter(quiet=follows()) as reporter:
        folder.claim("run")
        begin = find_start(start, experiment) if start else None
        check_backbones(experiment)
        check_beginnings(experiment, begin)
        planned = _planned(with_rendered_data(experiment, reporter), folder, reporter, begin, budget)
        done = run_experiment(planned, folder, command, reporter, begin)
        path = folder.path / "report.html"
        compared: tuple[Comparison, ...] = ()
        if not follows():
            told = folder.record()
            compared = (*([told.comparison] if told.comparison else []), *told.external)
            for stage in {one.path: one for stages in done.values() for one in stages}.values():
                explain_stage(stage, reporter)
            reporter.step("report", 0, 1)
            write_report(folder)
            reporter.step("report", 1, 1)
    records = {chain: [stage.record() for stage in stages] for chain, stages in done.items()}
    return Result(folder.path, path, records, compared)


def _planned(
    experiment: Experiment, run: RunFolder, reporter: Steps, begin: StageFolder | None, budget: float | None
) -> Experiment:
    """Say what the training will take, and choose by it where there is a budget."""
    first = begin or imagenet_stage(experiment, run, reporter, experiment.weights)
    estimator, chosen = Estimator(first.record().weights), ""
    if budget is not None:
        experiment, chosen = estimator.within(experiment, budget)
    told = estimator.estimate(experiment)
    if told.stages:
        reporter.step("estimate", 1, 1, told.to_text() + (f"; {chosen}" if chosen else ""))
    return experiment


def find_start(path: Path, experiment: Experiment) -> StageFolder:
    """Return the stage to begin from: a stage folder, or a run's furthest stage before the first of the chain, the newest of equals.

    Raises:
        RunError: If there is none.
    """
    alone = StageFolder(path)
    known = [alone] if alone.finished() else open_run(path).finished_stages()
    before = [
        stage for stage in known if stage.record().number < experiment.stages[0] and stage.weights.is_file()
    ]
    if not before:
        raise RunError(
            f"Expected `--from` {path} to hold a finished network before stage {experiment.stages[0]}, but it has none; do run that stage first"
        )
    return max(reversed(before), key=lambda stage: stage.record().number)


def write_report(folder: RunFolder) -> Path:
    """Write `report.html` from the run folder.

    Raises:
        RunError: If the run is not finished.
    """
    from mtl.run.gather import gather
    from mtl.run.page import render_html

    path = folder.path / "report.html"
    write_text(path, render_html(gather(folder)))
    return path


def _score_line(chain: str, record: LearnedRecord, evaluation: Evaluation) -> str:
    data = record.data
    where = f"chain {chain}, stage {record.number}, {data.dataset}{_kind(data.rendered)}"
    return _scores(where, evaluation, data.groups["test"], record.baselines, record.over_colour)


def _external_line(chain: str, record: LearnedRecord, test: ExternalRecord) -> str:
    source = test.source
    where = f"chain {chain}, stage {record.number}, external test {source.name}{_kind(source.rendered)}"
    return _scores(where, test.evaluation, source.groups, test.baselines, test.over_colour)


def _kind(rendered: bool) -> str:
    return " (rendered smears, not patient data)" if rendered else ""


def _scores(
    where: str,
    evaluation: Evaluation,
    groups: int,
    baselines: Mapping[str, Evaluation],
    told: OverColour | None,
) -> str:
    def score(scores: Evaluation, name: str) -> str:
        interval = scores.headline[name]
        return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"

    text = (
        f"{where}: accuracy {score(evaluation, 'accuracy')}, "
        f"macro-F1 {score(evaluation, 'macro_f1')} on {evaluation.n} images of {groups} groups"
    )
    if told:
        base = baselines[told.baseline]
        text += f"; colour alone ({told.baseline}): macro-F1 {score(base, 'macro_f1')}"
        if told.macro_f1.value <= 0:
            text += ". The model does not beat colour alone"
        elif told.macro_f1.low <= 0:
            text += ". The model is not shown to beat colour alone"
    return text
