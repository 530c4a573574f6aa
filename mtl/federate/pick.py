"""`mtl federate simulate --best N`: backbones compete in one place, and the best on the validation part are federated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mtl.errors import ConfigError
from mtl.extras import check_extra
from mtl.federate.command import FederateResult, simulate
from mtl.federate.content import text
from mtl.federate.settings import FederatedExperiment, PickSettings
from mtl.loading import dump_settings
from mtl.progress import OnOneBar, Reporter
from mtl.report.page import render_page
from mtl.report.tables import Table, plain
from mtl.run.backbone import check_backbones, weights_lacking
from mtl.run.chain import run_experiment
from mtl.run.rendered import with_rendered_data
from mtl.runs import RunFolder, StageFolder, environment
from segmentation.files import finite, write_json, write_text
from stages.errors import ModelError
from stages.metrics import Evaluation, Interval, paired_difference

__all__ = ["PickResult", "Picked", "pick_and_simulate"]


@dataclass(frozen=True)
class Picked:
    """One backbone.

    Attributes:
        backbone: Its name.
        validation: Accuracy on the validation part after training in one place, of the epoch that was kept: what it was picked by.
        central: Scores of that training on the test part; None without test images.
        federated: Scores of its federation on the same images; None where it was not picked.
        lead: Macro F1 federated minus in one place, on the same images.
        report: Of the federation.
    """

    backbone: str
    validation: float
    central: Evaluation | None
    federated: Evaluation | None = None
    lead: Interval | None = None
    report: Path | None = None


@dataclass(frozen=True)
class PickResult:
    """What was trained, and which backbones were federated.

    Attributes:
        picked: All that were trained, the best on the validation part first.
        missing: Why others were not, by name.
        dp: What kind of privacy the federations had.
        rendered: Whether the images are rendered smears.
        run: The run folder.
        report: The HTML report.
    """

    picked: tuple[Picked, ...]
    missing: Mapping[str, str]
    dp: str
    rendered: bool
    run: Path
    report: Path

    @property
    def table(self) -> Table:
        """All backbones, the best first."""
        header = ("backbone", "validation", "accuracy", "macro F1", "federated accuracy", "federated macro F1", "minus one place")  # fmt: skip
        rows = tuple(
            (one.backbone, f"{one.validation:.3f}", *_scores(one.central), *_scores(one.federated), text(one.lead))
            for one in self.picked
        )  # fmt: skip
        return Table(
            "Backbones in one place, and the best of them federated", header, rows,
            "Validation: accuracy in one place, by which they were picked; the test part had no say. All other scores are on one test part, "
            "with 95 % intervals of a bootstrap over groups; the last column is of macro F1, on the same images.",
        )  # fmt: skip

    @property
    def notes(self) -> list[str]:
        """What must be said beside the table."""
        told = [f"{name} was left out: {why}" for name, why in self.missing.items()]
        if self.rendered:
            told.insert(0, "The images are rendered smears, not patient data.")
        if self.dp != "none":
            told.append(
                "Backbones were picked by training without privacy on the images of all clients: epsilon does not cover the choice."
            )
        return told

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json` can write."""
        rows = [
            {**vars(one), "central": _plain(one.central), "federated": _plain(one.federated)}
            for one in self.picked
        ]
        return {
            "run": str(self.run), "report": str(self.report), "missing": dict(self.missing), "notes": self.notes,
            "backbones": finite([row | {"report": str(row["report"]) if row["report"] else None} for row in rows]),
        }  # fmt: skip

    def to_text(self) -> str:
        """Return the table and what must be said."""
        return "\n".join([plain(self.table), *self.notes, f"Wrote {self.run}", f"Report {self.report}"])


def pick_and_simulate(
    experiment: FederatedExperiment, runs: Path, command: str, *, compare: bool = False
) -> PickResult:
    """Train backbones in one place, federate the best, and write one report.

    Args:
        experiment: Its `pick` names the backbones, and how many are federated.
        runs: Folder of run folders.
        command: As typed.
        compare: See `simulate`.

    Raises:
        ConfigError: If fewer backbones can be had than shall be federated, or there is no validation part to pick on.
        StagesError: If data, weights or training fail.
        KeyboardInterrupt: If stopped; the same call goes on.
    """
    check_extra("federated")
    best = experiment.pick.best or 1
    folder = RunFolder(runs / f"{experiment.name}-best")
    with folder.lock():
        folder.claim("federate-best")
        with Reporter() as reporter:
            rendered = with_rendered_data(experiment, reporter)
            write_text(folder.path / "config.yaml", dump_settings(rendered))
            names, missing = _had(rendered, folder, reporter)
            if len(names) < best:
                raise ConfigError(
                    f"Expected --best {best} backbones or more whose weights can be had, but got {len(names)}: {_first(missing)}; do name others as --backbones"
                )
            stages = {}
            for number, name in enumerate(names):
                reporter.step("backbones in one place", number, len(names), name)
                stages[name] = _centralised(rendered, name, folder, reporter)
            reporter.step("backbones in one place", len(names), len(names))
        found = [Picked(name, _validation(stage), _evaluation(stage)) for name, stage in stages.items()]
        found.sort(key=lambda one: -one.validation)  # equal ones stay in the order in which they were named
        for place, one in enumerate(found[:best]):
            done = _federated(rendered, one.backbone, folder, command, compare)
            found[place] = _compared(one, stages[one.backbone], done, rendered)
        data = stages[found[0].backbone].learned_record().data
        result = PickResult(
            tuple(found), missing, rendered.federate.dp, data.rendered, folder.path, folder.path / "report.html"
        )  # fmt: skip
        _write(result, rendered, command)
        return result


def _had(
    experiment: FederatedExperiment, folder: RunFolder, reporter: Reporter
) -> tuple[list[str], dict[str, str]]:
    """Return the backbones that can be trained, and why others cannot."""
    missing: dict[str, str] = {}
    names = list(dict.fromkeys(experiment.pick.backbones))
    for name in names:
        try:
            check_backbones(experiment, [name])
        except ModelError as error:
            missing[name] = str(error)
    known = [name for name in names if name not in missing]
    missing |= weights_lacking(experiment, known, folder, OnOneBar(reporter, "weights"))
    return [name for name in known if name not in missing], missing


def _first(missing: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {why.partition('; do ')[0]}" for name, why in missing.items())[:600] or "none"


def _place(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)


def _centralised(
    experiment: FederatedExperiment, name: str, folder: RunFolder, reporter: Reporter
) -> StageFolder:
    one = experiment.model_copy(update={"backbone": name, "name": f"central-{_place(name)}"})
    run = RunFolder(folder.path / "runs" / one.name, stages=folder.stages)
    (stages,) = run_experiment(one, run, "", OnOneBar(reporter, "in one place", name)).values()
    return stages[-1]


def _validation(stage: StageFolder) -> float:
    kept = stage.history()[stage.learned_record().best_epoch]
    if "validation_accuracy" not in kept:
        raise ConfigError(
            "Expected a validation part to pick backbones on, but got none; do set `split.validation` above 0"
        )
    return kept["validation_accuracy"]


def _evaluation(stage: StageFolder) -> Evaluation | None:
    return stage.learned_record().evaluation


def _federated(
    experiment: FederatedExperiment, name: str, folder: RunFolder, command: str, compare: bool
) -> FederateResult:
    one = experiment.model_copy(update={"backbone": name, "name": _place(name), "pick": PickSettings()})
    return simulate(one, folder.path / "runs", command, compare=compare)


def _compared(
    one: Picked, central: StageFolder, done: FederateResult, experiment: FederatedExperiment
) -> Picked:
    learned, lead = done.content.learned, None
    if one.central and learned.evaluation:
        ours = RunFolder(done.run).stage(learned.number, learned.name, learned.key).predictions()
        theirs = central.predictions()
        if ours.names == theirs.names:
            lead = paired_difference(
                ours.truth(), ours.probabilities, theirs.probabilities, ours.groups, "macro_f1",
                resamples=experiment.evaluation.resamples, seed=experiment.seed,
            )  # fmt: skip
    return replace(one, federated=learned.evaluation, lead=lead, report=done.report)


def _write(result: PickResult, experiment: FederatedExperiment, command: str) -> None:
    from markupsafe import Markup

    from mtl.federate.figures import picked_figure

    write_json(result.run / "best.json", result.to_json())
    links = {one.backbone: one.report.relative_to(result.run) for one in result.picked if one.report}
    page = render_page(
        "mtl.federate",
        template="best",
        result=result,
        picture=Markup(picked_figure(result.picked)),  # noqa: S704 - our own SVG
        title=experiment.name,
        links=links,
        command=command,
        config=dump_settings(experiment),
        environment=environment(),
    )
    write_text(result.report, page)


def _scores(evaluation: Evaluation | None) -> tuple[str, str]:
    if evaluation is None:
        return text(None), text(None)
    return text(evaluation.headline["accuracy"]), text(evaluation.headline["macro_f1"])


def _plain(evaluation: Evaluation | None) -> Any:
    return evaluation.to_json() if evaluation else None
