"""Trials whose worker died: found, failed, and their values tried again, twice at most."""

from __future__ import annotations

import copy
import platform
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import psutil
from optuna.storages import JournalStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState

__all__ = ["BEAT", "RETRY", "WORKER", "free_lost_trials", "signing"]

WORKER = "worker"
BEAT = "beat"
_EVERY = 15.0
_CLOCK = 5.0
"""Seconds by which the start of a process may move when the machine's clock is set."""


class _Retry(RetryHeartbeatStaleTrialCallback):
    """Optuna's own; the trial that is tried again does not inherit the signature of the dead worker."""

    def __call__(self, study: optuna.Study, trial: FrozenTrial) -> None:
        trial = copy.deepcopy(trial)
        trial.user_attrs = {}
        super().__call__(study, trial)


with warnings.catch_warnings():
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    RETRY = _Retry(max_retry=2)


def signing(trial: optuna.Trial) -> Callable[[], None]:
    """Sign a trial as this process's, and return what shows that its worker lives.

    Databases have Optuna's heartbeat, a thread; the journal has none, so there the worker writes one itself, every 15 s at most.
    """
    trial.set_user_attr(WORKER, _signature())
    if not isinstance(trial.study._storage, JournalStorage):
        return lambda: None
    last = -_EVERY

    def beat() -> None:
        nonlocal last
        if time.monotonic() - last >= _EVERY:
            last = time.monotonic()
            trial.set_user_attr(BEAT, time.time())

    last = time.monotonic()
    trial.set_user_attr(BEAT, time.time())
    return beat


def free_lost_trials(study: optuna.Study, grace: float) -> list[int]:
    """Fail running trials whose worker is dead, and enqueue their values again, twice at most.

    A worker of this machine is known to be dead at once, by its process; one of another by a missing sign of life.

    Args:
        study: Whose trials are looked at.
        grace: Seconds without a sign of life; more than clocks of machines differ.

    Returns:
        Numbers of the trials that were freed.
    """
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)  # by heartbeat; nothing on a journal
    for trial in running:
        if _is_lost(trial, grace, isinstance(study._storage, JournalStorage)):
            _fail(study, trial)
    left = {trial.number for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))}
    return [trial.number for trial in running if trial.number not in left]


def _is_lost(trial: FrozenTrial, grace: float, journal: bool) -> bool:
    worker = trial.user_attrs.get(WORKER)
    if worker and worker["machine"] == _machine():
        return not _alive(worker)
    if worker and not journal:
        return False  # of another machine: its heartbeat decides
    started = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    return time.time() - max(started, float(trial.user_attrs.get(BEAT, 0.0))) > grace


def _fail(study: optuna.Study, trial: FrozenTrial) -> None:
    try:
        study.tell(trial.number, state=TrialState.FAIL)
    except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
        return  # another worker was faster, or the trial is done after all
    RETRY(study, trial)


def _signature() -> dict[str, Any]:
    process = psutil.Process()
    return {"machine": _machine(), "process": process.pid, "started": process.create_time()}


def _machine() -> str:
    # Two containers may share the host's name, and still count processes apart.
    try:
        return f"{platform.node()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return platform.node()


def _alive(worker: dict[str, Any]) -> bool:
    try:
        process = psutil.Process(worker["process"])
        same = abs(process.create_time() - worker["started"]) < _CLOCK
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
