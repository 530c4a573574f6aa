"""`mtl ensemble`: read the members, choose, score, and write a model that `mtl` takes like any other."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from mtl.ensemble.changes import copy_changed
from mtl.ensemble.content import EnsembleContent, combine_members
from mtl.ensemble.members import Member, read_members
from mtl.ensemble.records import EnsembleRecord, MemberRecord
from mtl.ensemble.report import EnsembleWritten, write_report
from mtl.ensemble.settings import EnsembleSettings
from mtl.progress import Reporter, Steps
from mtl.records import ENSEMBLE_FILE, write_record
from mtl.run.scoring import write_said
from mtl.runs import Predictions, RunFolder, environment, stage_key
from segmentation.files import sha256_of
from stages.data.catalogue import read_dataset
from stages.errors import StagesError
from stages.learners.ensemble.choose import Chosen
from stages.learners.ensemble.model import EnsembleModel
from stages.learners.model import MODEL_FILE, load_model

__all__ = ["make_ensemble"]


def make_ensemble(
    paths: Sequence[Path],
    settings: EnsembleSettings,
    runs: Path,
    command: str,
    reporter: Steps | None = None,
) -> EnsembleWritten:
    """Combine finished runs and write the ensemble with its report.

    Args:
        paths: Run, stage or ensemble folders.
        settings: How to combine them.
        runs: Folder of run folders; the ensemble gets one of its own.
        command: As typed.
        reporter: Told about progress; a terminal of its own if None.

    Raises:
        ConfigError: If the members do not fit together.
        RunError: If a run is not finished, or the folder belongs to other work.
        StagesError: If a model is damaged, or the validation part is one group.
    """
    members = read_members(paths)
    settings.check(len(members))
    folder = RunFolder(runs / settings.name, stages=runs / settings.name / "members")
    with folder.lock(), nullcontext(reporter) if reporter else Reporter() as steps:
        folder.claim("ensemble", members=[one.key for one in members])
        steps.step("choose on the validation part", 0, 1)
        content = combine_members(members, settings, command, environment())
        steps.step("choose on the validation part", 1, 1)
        _write(content, folder.path, steps)
    return EnsembleWritten(content, folder.path)


def _write(content: EnsembleContent, folder: Path, steps: Steps) -> None:
    members, main = content.members, content.main
    chosen = main.chosen
    if chosen is None:  # a rule always has one
        raise TypeError("rule without a combination")
    models = {}
    for place, one in enumerate(members):
        steps.step("copy the members", place, len(members), one.name)
        models[one.name] = load_model(one.folder)
    EnsembleModel(models, chosen).save(folder)
    steps.step("copy the members", len(members), len(members))
    write_said(folder / "predictions.csv", main.test)
    write_said(folder / "validation.csv", _validation(members, chosen))
    if content.settings.copies:
        copy_changed(content.changes, _files(members[0]), folder / "changed")
    steps.step("report", 0, 1)
    write_report(content, folder)
    write_record(folder / ENSEMBLE_FILE, _record(content, chosen))
    steps.step("report", 1, 1)


def _record(content: EnsembleContent, chosen: Chosen) -> EnsembleRecord:
    main, members, settings = content.main, content.members, content.settings
    singles = {one.name: one for one in content.methods if one.single}
    leads = {one.other: one.macro_f1 for one in content.against}
    told = [
        MemberRecord(
            name=one.name, folder=one.folder.resolve(), key=one.key, sha256=sha256_of(one.folder / MODEL_FILE),
            evaluation=singles[one.name].evaluation, lead=leads[one.name],
        )
        for one in members
    ]  # fmt: skip
    return EnsembleRecord(
        name=settings.name, key=stage_key([one.key for one in members], settings.model_dump(mode="json")), command=content.command,
        settings=settings, number=members[0].number, positive=members[0].positive, classes=main.test.classes, members=tuple(told), combination=chosen.combination, threshold=chosen.threshold,
        data=members[0].data, colour=dict(members[0].colour), evaluation=main.evaluation, coverage=main.coverage, answered=main.answered,
        environment=dict(content.environment),
    )  # fmt: skip


def _validation(members: Sequence[Member], chosen: Chosen) -> Predictions:
    import numpy as np

    first = members[0].validation
    votes = chosen.combination(np.stack([one.validation.probabilities for one in members]))
    said = tuple(first.classes[k] for k in votes.argmax(axis=1))
    return Predictions(first.classes, first.names, first.labels, first.groups, said, votes)


def _files(member: Member) -> dict[str, Path]:
    """Return where the images of the data sets lie, by the names of the tables; none of a data set that has moved."""
    found: dict[str, Path] = {}
    sources = member.data.sources
    for source in sources:
        begin = f"{source.name}/" if len(sources) > 1 else ""
        try:
            samples = read_dataset(source.dataset, source.root)
        except StagesError:
            continue
        found |= {begin + sample.name: sample.path for sample in samples}
    return found
