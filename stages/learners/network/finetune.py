"""Which layers learn when, and how fast: pure functions of the epoch, so a resumed run is the uninterrupted one."""

from __future__ import annotations

from segmentation import schedule
from stages.settings import TrainSettings

__all__ = ["first_kept_epoch", "first_learning_groups", "group_scale", "rate_factor"]


def first_learning_groups(train: TrainSettings, epoch: int, groups: int) -> int:
    """Return how many of the shallowest depth groups are still frozen in an epoch.

    Args:
        train: Policy, `head_epochs` and `unfreeze_every`.
        epoch: Counted from 0.
        groups: Number of depth groups of the backbone.

    Returns:
        A number from 0 (all learn) to `groups` (the head alone learns).
    """
    if train.policy == "frozen" or epoch < train.head_epochs:
        return groups
    if train.policy == "gradual":
        return max(0, groups - 1 - (epoch - train.head_epochs) // train.unfreeze_every)
    return 0


def first_kept_epoch(train: TrainSettings) -> int:
    """Return the first epoch whose weights may be kept: where layers of the backbone shall learn, none in which the head did alone.

    Else the best epoch may be one before anything but the head was trained, and a chain that kept it would be the chain without
    that stage.
    """
    return 0 if train.policy == "frozen" else train.head_epochs


def group_scale(train: TrainSettings, group: int, groups: int) -> float:
    """Return the factor on the learning rate of a depth group; the head's is 1 (layer-wise decay: Howard & Ruder 2018)."""
    if train.policy == "layer_decay":
        return train.layer_decay ** (groups - group)
    return 1.0


def rate_factor(train: TrainSettings, step: int, steps_per_epoch: int) -> float:
    """Return the schedule's factor on the learning rate at an optimiser step.

    The head epochs keep a constant rate of their own; the schedule runs over the epochs behind them.
    Exponential is continuous in the epoch (paper A, II-F: 0.001 with exponential decay); cosine rises linearly over the
    first `warmup` of all steps and ends at 0.
    """
    head_epochs = first_kept_epoch(train)
    step -= head_epochs * steps_per_epoch
    if step < 0:
        return train.head_learning_rate / train.learning_rate
    total = max(1, (train.epochs - head_epochs) * steps_per_epoch)
    return schedule.rate_factor(
        train.schedule, step, total, rise=train.warmup * total, decay=train.decay, every=steps_per_epoch
    )
