"""The first look at a run: whether its backbones start, before anything is rendered or read."""

from __future__ import annotations

from collections.abc import Iterable

from mtl.config import Experiment

__all__ = ["check_backbones"]


def check_backbones(experiment: Experiment, names: Iterable[str] = ()) -> None:
    """Refuse backbones that are unknown, and image sizes that they do not take.

    Args:
        experiment: Gives the stages that learn.
        names: Of backbones; the experiment's own if none.

    Raises:
        ModelError: One line that says what is possible.
    """
    from stages.learners.network.backbones import check_backbone

    numbers = {number for chain in experiment.chains() for number in chain if experiment.learns(number)}
    stages = [experiment.stage(number) for number in sorted(numbers)]
    for name in dict.fromkeys(names or (experiment.backbone,)):
        check_backbone(name, {(stage.preprocess.image_size, stage.head.pool) for stage in stages})
