"""The embedded data: smears rendered on first use for every stage that names no folder."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from mtl.config import STAGE_FIELDS, Experiment
from mtl.errors import ConfigError
from mtl.progress import Steps

__all__ = ["with_rendered_data"]

_TREES = {"all-idb1": "all_idb1", "all-idb2": "all_idb2"}


E = TypeVar("E", bound=Experiment)


def with_rendered_data(experiment: E, reporter: Steps) -> E:
    """Return the experiment with a folder for every stage that learns; render smears where none was named.

    Raises:
        ConfigError: If a data set that is never rendered names no folder.
    """
    numbers = {number for chain in experiment.chains() for number in chain if experiment.learns(number)}
    update = {}
    for number in sorted(numbers & set(STAGE_FIELDS)):
        name, settings = STAGE_FIELDS[number], experiment.stage(number)
        roots = [
            source.root or _rendered_root(experiment, name, source.dataset, reporter)
            for source in settings.data.each()
        ]
        update[name] = settings.model_copy(update={"data": settings.data.with_roots(roots)})
    return experiment.model_copy(update=update)


def _rendered_root(experiment: Experiment, stage: str, dataset: str, reporter: Steps) -> Path:
    if dataset not in _TREES:
        flag = f"--{stage.replace('_', '-')}"
        raise ConfigError(
            f"Expected `{stage}.data.root` to name the folder of {dataset}, but got none; "
            f"do give {flag} {dataset}:FOLDER (`mtl data get {dataset}` says how to obtain it)"
        )
    root: Path = getattr(_render(experiment, reporter), _TREES[dataset])
    return root


def _render(experiment: Experiment, reporter: Steps) -> object:
    from segmentation.cache import cache_folder
    from stages.data.smears import render_trees

    settings = experiment.rendering
    name = "-".join(str(value) for value in settings.model_dump().values())
    return render_trees(
        cache_folder() / "rendered" / name,
        **settings.model_dump(),
        progress=lambda done, total: reporter.step("render smears (not patient data)", done, total),
    )
