"""The first look at a run: whether its backbones start and its stages can follow each other, before anything is rendered or read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mtl.config import STAGE_FIELDS, Experiment
from mtl.errors import ConfigError

if TYPE_CHECKING:
    from mtl.progress import Steps
    from mtl.runs import RunFolder

__all__ = ["check_backbones", "weights_lacking"]


def check_backbones(experiment: Experiment, names: Iterable[str] = ()) -> None:
    """Refuse backbones that are unknown, image sizes that they do not take, and stages that leave no backbone to the next.

    Args:
        experiment: Gives the stages that learn.
        names: Of backbones; the experiment's own if none.

    Raises:
        ConfigError: If a stage before the last of a chain is no network.
        ModelError: One line that says what is possible.
    """
    for chain in experiment.chains():
        _check_order(experiment, chain)
    numbers = {number for chain in experiment.chains() for number in chain if experiment.learns(number)}
    stages = [stage for number in sorted(numbers) if (stage := experiment.stage(number)).needs_backbone]
    if not stages:
        return
    from stages.learners.network.backbones import check_backbone

    for name in dict.fromkeys(names or (experiment.backbone,)):
        check_backbone(name, {(stage.preprocess.image_size, stage.pool) for stage in stages})


def weights_lacking(
    experiment: Experiment, names: Iterable[str], run: RunFolder, reporter: Steps
) -> dict[str, str]:
    """Return why backbones cannot be begun from, by name; the weights of the others are there afterwards.

    Args:
        experiment: Says where weights come from.
        names: Of backbones.
        run: Gets stage 1 of each.
        reporter: Told about progress.
    """
    from mtl.run.stage import imagenet_stage
    from stages.errors import ModelError

    lacking = {}
    for name in dict.fromkeys(names):
        try:
            imagenet_stage(
                experiment.model_copy(update={"backbone": name}), run, reporter, experiment.weights
            )
        except ModelError as error:
            lacking[name] = str(error)
    return lacking


def _check_order(experiment: Experiment, chain: tuple[int, ...]) -> None:
    for number in (number for number in chain[:-1] if experiment.learns(number)):
        learner = experiment.stage(number).learner
        if learner != "network":
            key = f"{STAGE_FIELDS.get(number, 'imagenet.proceed')}.learner"
            raise ConfigError(
                f"Expected `{key}` to be network in chain {','.join(map(str, chain))}, whose stage {chain[-1]} begins from its "
                f"backbone, but got {learner}, which leaves none; do let the last stage of a chain alone be learned by {learner}"
            )
