"""Storages, and trials whose worker died."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from mtl.errors import ConfigError
from mtl.tune.storage import BEAT, beating, free_stuck_trials, open_storage, storage_text, without_password

FLOAT = {"x": optuna.distributions.FloatDistribution(0, 1)}


@pytest.mark.parametrize("storage", [None, "journal.log"])
def test_a_trial_without_a_sign_of_life_is_freed_and_tried_again(tmp_path: Path, storage: str | None) -> None:
    where = str(tmp_path / storage) if storage else None
    study = optuna.create_study(storage=open_storage(where, tmp_path), study_name="s")
    alive, dead, done = study.ask(FLOAT), study.ask(FLOAT), study.ask(FLOAT)
    study.tell(done, 0.5)
    beating(alive)
    dead.set_user_attr(BEAT, time.time() - 1000)
    assert free_stuck_trials(study, grace=0.0) != []  # without grace even the living counts as stuck
    study = optuna.create_study(storage=open_storage(where, tmp_path), study_name="t")
    alive, dead = study.ask(FLOAT), study.ask(FLOAT)
    beating(alive)
    time.sleep(0.3)
    beating(alive)
    assert free_stuck_trials(study, grace=0.2) == [dead.number]
    assert study.trials[dead.number].state == TrialState.FAIL
    assert study.trials[alive.number].state == TrialState.RUNNING
    again = study.ask(FLOAT)
    assert again.params == dead.params
    assert again.user_attrs["retry_of"] == dead.number
    assert free_stuck_trials(study, grace=10) == []


def test_values_are_tried_again_twice_at_most(tmp_path: Path) -> None:
    study = optuna.create_study(storage=open_storage(None, tmp_path), study_name="s")
    study.ask(FLOAT)
    for _ in range(3):
        assert len(free_stuck_trials(study, grace=0.0)) == 1
        study.ask(FLOAT)
    assert [trial.user_attrs.get("tries", 0) for trial in study.trials] == [0, 1, 2, 0]


def test_sqlite_is_in_write_ahead_mode(tmp_path: Path) -> None:
    open_storage(None, tmp_path / "study")
    connection = sqlite3.connect(tmp_path / "study" / "study.sqlite")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


@pytest.mark.parametrize(
    "storage", ["nonsense", "postgresql://nobody:secret@127.0.0.1:1/none", "oracle9://x/y"]
)
def test_a_storage_that_cannot_be_opened_is_one_line_without_the_password(
    tmp_path: Path, storage: str
) -> None:
    with pytest.raises(ConfigError, match="--storage") as caught:
        open_storage(storage, tmp_path)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_addresses(tmp_path: Path) -> None:
    assert storage_text("postgres://u@h/d", tmp_path) == "postgresql+psycopg://u@h/d"
    assert storage_text(None, tmp_path).startswith("sqlite:///")
    assert without_password("postgresql+psycopg://u:p@h/d") == "postgresql+psycopg://u:***@h/d"
