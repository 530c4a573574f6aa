"""Storages: how they are opened, and what is said when they cannot be."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from mtl.errors import ConfigError
from mtl.tune.storage import open_storage


def test_sqlite_is_in_write_ahead_mode(tmp_path: Path) -> None:
    open_storage(None, tmp_path / "study")
    connection = sqlite3.connect(tmp_path / "study" / "study.sqlite")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


@pytest.mark.parametrize(
    "storage",
    [
        "nonsense",
        "postgresql://nobody:secret@127.0.0.1:1/none",
        "postgresql://nobody@127.0.0.1:1/none?password=secret",
        "postgresql://nobody:a@secret@127.0.0.1:1/x",
        "oracle9://x:secret@y",
        "postgresql://u:secret@127.0.0.1:port/x",
    ],
)
def test_a_storage_that_cannot_be_opened_is_one_line_without_the_password(
    tmp_path: Path, storage: str
) -> None:
    with pytest.raises(ConfigError, match="--storage") as caught:
        open_storage(storage, tmp_path)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
