"""Where studies live: SQLite by default, any database by URL, or a journal file that machines share."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import optuna

from mtl.errors import ConfigError
from mtl.tune.address import storage_address, without_password
from mtl.tune.lost import RETRY

__all__ = ["open_storage"]


def open_storage(storage: str | None, folder: Path, grace: int = 300) -> optuna.storages.BaseStorage:
    """Open the storage of a study.

    Args:
        storage: A database URL such as `postgresql://user@host/name`, a journal file ending in `.log`, or None for
            `study.sqlite` in `folder`, in write-ahead mode so that a dashboard may read while workers write.
        folder: Of the study; made if missing.
        grace: Seconds without a heartbeat after which a database's trial counts as stale.

    Raises:
        ConfigError: If it cannot be opened.
    """
    text = storage_address(storage, folder)
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
            return optuna.storages.RDBStorage(
                text, options, heartbeat_interval=max(1, min(15, grace // 3)), grace_period=grace,
                heartbeat_stale_trial_callback=RETRY,
            )  # fmt: skip
    except Exception as error:  # a driver that is missing, a server that is away: each raises its own kind
        shown = without_password(text)
        reason = str(error).replace(text, shown).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"Expected `--storage` {shown} to be a database or journal file that can be opened, but got: {reason}; "
            "do check address, rights, password (--storage or PGPASSWORD) and driver (`pip install 'mtl[postgresql]'`)"
        ) from (error if shown == text else None)


def _write_ahead(url: str) -> None:
    import sqlite3

    with sqlite3.connect(url.removeprefix("sqlite:///"), timeout=60) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
