"""A trained model from a run folder."""

from __future__ import annotations

from pathlib import Path

from mtl.errors import RunError
from mtl.records import LearnedRecord
from mtl.runs import StageFolder, open_run
from stages.learners.model import MODEL_FILE, Model, load_model

__all__ = ["learned_stages", "load", "locate"]


def load(path: Path | str, chain: str | None = None, stage: int | None = None) -> Model:
    """Read a trained model; see `locate`.

    Raises:
        RunError: If the run is not finished, or has no such chain or stage.
        ModelError: If the model is damaged.
    """
    return load_model(locate(path, chain, stage))


def locate(path: Path | str, chain: str | None = None, stage: int | None = None) -> Path:
    """Return the folder of a trained model.

    Args:
        path: Run folder, the folder of one of its stages, or that of an ensemble.
        chain: Of a run's chains, such as `"1,3"`; the first if None.
        stage: Number of the stage; the last of the chain if None.

    Raises:
        RunError: If the run is not finished, or has no such chain or stage.
    """
    folder = Path(path)
    if _is_model(folder, chain):
        return folder
    learned = learned_stages(folder, chain)
    number = stage if stage is not None else max(learned, default=0)
    if number not in learned:
        known = ", ".join(map(str, learned)) or "none"
        raise RunError(
            f"Expected `stage` to be one that learned in {f'chain {chain} of ' if chain else ''}{folder} ({known}), but got {number}; do choose one"
        )
    return learned[number].path


def learned_stages(path: Path, chain: str | None = None) -> dict[int, StageFolder]:
    """Return the stages that learned, by number: of a chain of a finished run, or the one whose folder was given; an ensemble stands for its members'.

    Args:
        path: Run folder, the folder of one of its stages, or that of an ensemble.
        chain: Of a run's chains, such as `"1,3"`; the first if None.

    Raises:
        RunError: If the run is not finished, or has no such chain; if a chain is asked for of what has none.
    """
    if _is_model(path, chain):
        alone = StageFolder(path)
        return {alone.identity().number: alone}
    run = open_run(path)
    record = run.record()
    chosen = chain or next(iter(record.chains))
    if chosen not in record.chains:
        raise RunError(
            f"Expected `chain` to be one of {' and '.join(record.chains)} of {path}, but got {chosen!r}; do choose one"
        )
    places = [StageFolder(run.stages / name) for name in record.chains[chosen]]
    if record.start:  # it lies in another run
        places.insert(0, StageFolder(record.start))
    found = [place for place in places if place.finished()]
    return {told.number: place for place in found if isinstance(told := place.record(), LearnedRecord)}


def _is_model(path: Path, chain: str | None) -> bool:
    """Say whether a folder is that of one model; a chain cannot be asked of it."""
    found = (path / MODEL_FILE).is_file()
    if found and chain is not None:
        raise RunError(
            f"Expected no `--chain` beside {path}, which is one stage or an ensemble, but got {chain!r}; do leave it out or give the run folder"
        )
    return found
