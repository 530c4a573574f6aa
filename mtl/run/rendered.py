"""The embedded data: smears rendered on first use for every stage that names no folder."""

from __future__ import annotations

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
        settings = experiment.stage(number)
        if settings.data.root is None:
            if settings.data.dataset not in _TREES:
                flag = f"--{STAGE_FIELDS[number].replace('_', '-')}"
                raise ConfigError(
                    f"Expected `{STAGE_FIELDS[number]}.data.root` to name the folder of {settings.data.dataset}, but got none; "
                    f"do give {flag} {settings.data.dataset}:FOLDER (`mtl data get {settings.data.dataset}` says how to obtain it)"
                )
            root = getattr(_render(experiment, reporter), _TREES[settings.data.dataset])
            data = settings.data.model_copy(update={"root": root})
            update[STAGE_FIELDS[number]] = settings.model_copy(update={"data": data})
    return experiment.model_copy(update=update)


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
