"""Read a run folder into the content of its report."""

from __future__ import annotations

from mtl.records import LearnedRecord
from mtl.run.content import RunContent, StageContent, learning_title
from mtl.run.gallery import read_gallery
from mtl.runs import RunFolder, StageFolder

__all__ = ["gather"]


def gather(run: RunFolder) -> RunContent:
    """Return what the report of a run shows.

    Raises:
        RunError: If the run is not finished or a file of it is missing.
    """
    record = run.record()
    folders = {
        # The stage that a run began from lies elsewhere.
        chain: [StageFolder(run.stages / name) for name in (names[1:] if record.start else names)]
        for chain, names in record.chains.items()
    }
    chains = {
        chain: tuple(
            _stage(chain, folder, told)
            for folder in own
            if isinstance(told := folder.record(), LearnedRecord)
        )
        for chain, own in folders.items()
    }
    # Every stage names the weights that its backbone came from; a chain of stage 1 alone has no other.
    first = next((stages[0] for stages in chains.values() if stages), None)
    weights = first.record.weights if first else next(iter(folders.values()))[0].record().weights
    return RunContent(record, chains, weights, (run.path / "config.yaml").read_text("utf-8"), run.path)


def _stage(chain: str, folder: StageFolder, record: LearnedRecord) -> StageContent:
    predictions = folder.predictions() if record.evaluation else None
    external = tuple(folder.predictions(test.predictions) for test in record.tests)
    return StageContent(
        chain, learning_title(record.number), record, folder.history(), predictions,
        external=external, folder=folder.path, gallery=read_gallery(folder.path),
    )  # fmt: skip
