"""Where studies live: SQLite by default, any database by URL, or a journal file that machines share; and trials whose worker died."""

from __future__ import annotations

import os
import re
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from mtl.errors import ConfigError

__all__ = ["BEAT", "beating", "free_stuck_trials", "open_storage", "storage_text"]

BEAT = "beat"
GRACE = float(os.environ.get("MTL_TUNE_GRACE", "300"))
"""Seconds after its worker's last sign of life in which a running trial counts as stuck."""
_RETRIES = 2
_EVERY = 15.0


def open_storage(storage: str | None, folder: Path) -> optuna.storages.BaseStorage:
    """Open the storage of a study.

    Args:
        storage: A database URL such as `postgresql://user@host/name`, a journal file ending in `.log`, or None for
            `study.sqlite` in `folder`, in write-ahead mode so that a dashboard may read while workers write.
        folder: Of the study; made if missing.

    Raises:
        ConfigError: If it cannot be opened.
    """
    text = storage_text(storage, folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if "://" not in text:
            from optuna.storages.journal import JournalFileBackend

            Path(text).parent.mkdir(parents=True, exist_ok=True)
            return optuna.storages.JournalStorage(JournalFileBackend(text))
        options: dict[str, Any] = {"pool_pre_ping": True}
        if text.startswith("sqlite"):
            options = {"connect_args": {"timeout": 60}}
            _write_ahead(text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.storages.RDBStorage(text, engine_kwargs=options)
    except Exception as error:  # a driver that is missing, a server that is away: each raises its own kind
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"Expected `--storage` {without_password(text)} to be a database or journal file that can be opened, but got: {reason}; "
            "do check address, rights and driver (`pip install 'mtl[postgresql]'`)"
        ) from error


def storage_text(storage: str | None, folder: Path) -> str:
    """Return the URL of a study's database, or the path of its journal."""
    if storage is None:
        return f"sqlite:///{(folder / 'study.sqlite').resolve()}"
    if "://" not in storage and not storage.endswith(".log"):
        raise ConfigError(
            f"Expected `--storage` to be a database URL or a journal file ending in .log, but got {storage!r}; do write one"
        )
    return re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", storage)


def without_password(text: str) -> str:
    """Return a URL that may be printed."""
    return re.sub(r"(://[^:/@]+):[^@]+@", r"\1:***@", text)


def beating(trial: optuna.Trial) -> Callable[[], None]:
    """Return what a trial's worker calls to show that it lives; it writes at most every 15 s."""
    trial.set_user_attr(BEAT, time.time())
    last = time.monotonic()

    def beat() -> None:
        nonlocal last
        if time.monotonic() - last >= _EVERY:
            last = time.monotonic()
            trial.set_user_attr(BEAT, time.time())

    return beat


def free_stuck_trials(study: optuna.Study, grace: float = GRACE) -> list[int]:
    """Fail running trials whose worker shows no life, and enqueue their values again, twice at most.

    Args:
        study: Whose trials are looked at.
        grace: Seconds without a sign of life; more than clocks of machines differ.

    Returns:
        Numbers of the trials that were freed.
    """
    freed = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        started = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
        if time.time() - max(started, float(trial.user_attrs.get(BEAT, 0.0))) < grace:
            continue
        try:
            study.tell(trial.number, state=TrialState.FAIL)
        except (ValueError, RuntimeError, optuna.exceptions.UpdateFinishedTrialError):
            continue  # another worker was faster, or the trial is done after all
        freed.append(trial.number)
        retry(study, trial)
    return freed


def retry(study: optuna.Study, trial: FrozenTrial) -> None:
    """Enqueue a trial's values again, twice at most."""
    tries = int(trial.user_attrs.get("tries", 0))
    if tries < _RETRIES and trial.params:
        study.enqueue_trial(trial.params, user_attrs={"retry_of": trial.number, "tries": tries + 1})


def _write_ahead(url: str) -> None:
    import sqlite3

    with sqlite3.connect(url.removeprefix("sqlite:///"), timeout=60) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
