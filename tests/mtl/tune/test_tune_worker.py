"""Workers with an objective that takes no time: how they share a study, and what stops them."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from mtl.errors import FailedError, RunError, WriteError
from mtl.progress import Reporter, Steps
from mtl.tune.lost import BEAT, WORKER, free_lost_trials, signing
from mtl.tune.plan import Plan
from mtl.tune.sampling import SAMPLERS
from mtl.tune.study import best_experiment, open_study
from mtl.tune.worker import Report, count, work
from segmentation.errors import TrainingError
from stages.errors import DataError

# Trials that a test asks for itself have no heart that beats.
pytestmark = pytest.mark.filterwarnings("ignore:Heartbeat of storage:UserWarning")

QUIET = Reporter(quiet=True)
Score = Callable[[optuna.Trial, Report, Steps], tuple[tuple[float, ...], float]]
_OPEN: list[optuna.Study] = []


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    while _OPEN:
        storage = _OPEN.pop()._storage
        if isinstance(storage, optuna.storages._CachedStorage):
            storage._backend.remove_session()
            storage._backend.engine.dispose()


@pytest.fixture(params=[None, "journal.log"], ids=["sqlite", "journal"])
def plan(request: pytest.FixtureRequest, tmp_path: Path) -> Plan:
    storage = str(tmp_path / request.param) if request.param else None
    return Plan(study="s", trials=3, sampler="random", storage=storage)


def opened(folder: Path, plan: Plan, seed: int = 0) -> optuna.Study:
    study = open_study(folder, plan, seed)
    _OPEN.append(study)
    return study


def score(trial: optuna.Trial, report: Report, steps: Steps) -> tuple[tuple[float, ...], float]:
    value = trial.suggest_float("x", 0, 1)
    report(0, value)
    return (value,), 0.1


def stopping_at(number: int, error: BaseException) -> Score:
    def scored(trial: optuna.Trial, report: Report, steps: Steps) -> tuple[tuple[float, ...], float]:
        values = score(trial, report, steps)
        if trial.number == number:
            raise error
        return values

    return scored


def states(study: optuna.Study) -> list[str]:
    return [trial.state.name for trial in study.trials]


def test_a_worker_does_what_is_planned_and_no_more(plan: Plan, tmp_path: Path) -> None:
    study = opened(tmp_path, plan)
    work(study, plan, score, QUIET)
    work(study, plan, score, QUIET)
    assert states(study) == ["COMPLETE"] * 3
    assert count(study).to_text(3) == "3 of 3 trials done"


@pytest.mark.parametrize(
    "error",
    [
        TrainingError("Expected the loss to be finite, but got nan; do lower it"),
        MemoryError(),
        RuntimeError("out of memory"),
        DataError("Expected this size, but got another; do change it"),
    ],
)
def test_what_one_trials_values_did_fails_it_alone(tmp_path: Path, error: Exception) -> None:
    plan = Plan(study="s", trials=3, sampler="random")
    study = opened(tmp_path, plan)
    work(study, plan, stopping_at(1, error), QUIET)
    assert states(study) == ["COMPLETE", "FAIL", "COMPLETE"]
    assert study.trials[1].user_attrs["reason"] == (str(error) or "MemoryError")
    assert study.trials[1].system_attrs.get("retry_history") is None


def wrapped() -> RuntimeError:
    error = RuntimeError("[enforce fail at inline_container.cc:603] . unexpected pos 64 vs 0")
    error.__context__ = OSError(errno.ENOSPC, "No space left on device")
    return error


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (
            WriteError("Expected x to be writable, but got: No space left on device; do free space"),
            WriteError,
        ),
        (RunError("Expected the run folder to be writable, but got: ...; do choose another"), RunError),
        (OSError(errno.ENOSPC, "No space left on device"), OSError),
        (wrapped(), RuntimeError),
        (
            DataError("Expected x to take y, but got: I/O error: No space left on device (os error 28)"),
            DataError,
        ),
        (AssertionError(), FailedError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_what_would_meet_every_trial_stops_the_study_and_counts_for_none(
    plan: Plan, tmp_path: Path, error: BaseException, raised: type[BaseException]
) -> None:
    study = opened(tmp_path, plan)
    with pytest.raises(raised) as caught:
        work(study, plan, stopping_at(1, error), QUIET)
    assert "\n" not in str(caught.value)
    assert states(study) == ["COMPLETE", "FAIL", "WAITING"]
    assert count(study).done == 1
    work(opened(tmp_path, plan), plan, score, QUIET)
    study = opened(tmp_path, plan)
    assert states(study) == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert study.trials[2].params == study.trials[1].params
    assert count(study).done == 3


@pytest.mark.parametrize(
    "change",
    ["DROP TABLE trial_values", "CREATE TRIGGER full BEFORE UPDATE ON trials BEGIN SELECT no_such(1); END"],
    ids=["unreadable", "unwritable"],
)
def test_a_storage_that_cannot_be_written_is_one_sentence(tmp_path: Path, change: str) -> None:
    plan = Plan(study="s", trials=3, sampler="random")
    study = opened(tmp_path, plan)

    def scored(trial: optuna.Trial, report: Report, steps: Steps) -> tuple[tuple[float, ...], float]:
        values = score(trial, report, steps)
        with sqlite3.connect(tmp_path / "study.sqlite") as connection:
            connection.execute(change)
        connection.close()
        return values

    with pytest.raises(WriteError, match=r"no such .*same command") as caught:
        work(study, plan, scored, QUIET)
    assert "\n" not in str(caught.value)


def die_in_a_trial(folder: Path, plan: Plan) -> None:
    """Start a worker in another process, which is killed in the middle of its first trial."""
    code = (
        "import os, signal, sys; from pathlib import Path; from mtl.tune.plan import Plan;"
        "from mtl.tune.study import open_study; from mtl.tune.lost import signing;"
        "plan = Plan.model_validate_json(sys.argv[2]); study = open_study(Path(sys.argv[1]), plan, 0);"
        "trial = study.ask(); signing(trial); trial.suggest_float('x', 0, 1); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), plan.model_dump_json()], check=False, capture_output=True
    )
    assert done.returncode == -9, done.stderr


def test_a_dead_worker_of_this_machine_is_known_at_once_and_the_study_is_completed(
    plan: Plan, tmp_path: Path
) -> None:
    die_in_a_trial(tmp_path, plan)
    study = opened(tmp_path, plan)
    assert states(study) == ["RUNNING"]
    assert count(study).to_text(3) == "0 of 3 trials done, 1 running elsewhere"
    work(study, plan, score, QUIET)
    assert states(study) == ["FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert study.trials[1].params == study.trials[0].params
    assert study.trials[1].user_attrs[WORKER]["process"] == os.getpid()


def test_values_are_tried_again_twice_at_most(plan: Plan, tmp_path: Path) -> None:
    for _ in range(3):
        die_in_a_trial(tmp_path, plan)
        assert len(free_lost_trials(opened(tmp_path, plan), 300)) == 1
    study = opened(tmp_path, plan)
    assert states(study) == ["FAIL"] * 3
    assert len({trial.params["x"] for trial in study.trials}) == 1


def test_a_worker_that_lives_is_left_alone_and_another_says_so(plan: Plan, tmp_path: Path) -> None:
    study = opened(tmp_path, plan)
    trial = study.ask()
    signing(trial)
    one = plan.model_copy(update={"trials": 1})
    other = opened(tmp_path, plan)
    work(other, one, score, QUIET)
    assert states(other) == ["RUNNING"]
    from mtl.config import load_config

    with pytest.raises(FailedError, match="0 of 1 trials done, 1 running elsewhere; do wait"):
        best_experiment(other, one, load_config("default"))


@pytest.mark.parametrize("change", [{"process": 2**22 + 1}, {"started": 0.0}])
def test_another_process_under_the_same_number_is_not_the_worker(
    plan: Plan, tmp_path: Path, change: dict[str, float]
) -> None:
    study = opened(tmp_path, plan)
    trial = study.ask()
    signing(trial)
    trial.set_user_attr(WORKER, study.trials[0].user_attrs[WORKER] | change)
    assert free_lost_trials(study, 300) == [0]


def test_a_worker_elsewhere_is_lost_when_it_shows_no_sign_of_life(plan: Plan, tmp_path: Path) -> None:
    plan = plan.model_copy(update={"grace": 60})
    study = opened(tmp_path, plan)
    for _ in range(2):
        trial = study.ask()
        signing(trial)
        trial.set_user_attr(WORKER, {"machine": "another", "process": 1, "started": 0.0})
        trial.suggest_float("x", 0, 1)
    if plan.storage:
        trial.storage.set_trial_user_attr(trial._trial_id, BEAT, time.time() + 300)
    else:
        for one in study.trials:
            study._storage.record_heartbeat(one._trial_id)
    assert free_lost_trials(study, 60) == []
    if not plan.storage:
        with sqlite3.connect(tmp_path / "study.sqlite") as connection:
            connection.execute(
                "UPDATE trial_heartbeats SET heartbeat = datetime('now', '-2 minutes') WHERE trial_id = 1"
            )
        connection.close()
        assert free_lost_trials(study, 60) == [0]
    else:
        assert free_lost_trials(study, -100) == [0]
    assert states(study) == ["FAIL", "RUNNING", "WAITING"]
    assert study.trials[2].params == study.trials[0].params


def test_the_heart_beats_while_a_trial_runs(tmp_path: Path) -> None:
    plan = Plan(study="s", trials=1, sampler="random")
    beats = []

    def scored(trial: optuna.Trial, report: Report, steps: Steps) -> tuple[tuple[float, ...], float]:
        deadline = time.monotonic() + 10
        while not beats and time.monotonic() < deadline:
            with sqlite3.connect(tmp_path / "study.sqlite") as connection:
                beats.extend(connection.execute("SELECT heartbeat FROM trial_heartbeats").fetchall())
            connection.close()
        return score(trial, report, steps)

    work(opened(tmp_path, plan), plan, scored, QUIET)
    assert len(beats) == 1


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_workers_that_start_together_draw_different_values_and_one_alone_the_same_again(
    tmp_path: Path, sampler: str
) -> None:
    plan = Plan.model_validate({"study": "s", "trials": 3, "sampler": sampler})
    together = [opened(tmp_path / "a", plan) for _ in range(3)]
    drawn = [study.ask().suggest_float("x", 0, 1) for study in together]
    assert len(set(drawn)) == 3
    again = []
    for _ in range(3):  # stopped and started for every trial
        study = opened(tmp_path / "b", plan)
        trial = study.ask()
        again.append(trial.suggest_float("x", 0, 1))
        study.tell(trial, again[-1])
    whole = opened(tmp_path / "c", plan)
    work(whole, plan, score, QUIET)
    assert [trial.params["x"] for trial in whole.trials] == again
    assert opened(tmp_path / "d", plan, seed=1).ask().suggest_float("x", 0, 1) != again[0]


def test_two_metrics_are_told(tmp_path: Path) -> None:
    plan = Plan(study="s", trials=2, sampler="random", metrics=("accuracy", "ece"))
    study = opened(tmp_path, plan)
    work(study, plan, lambda trial, report, steps: ((trial.suggest_float("x", 0, 1), 0.2), 0.1), QUIET)
    assert all(trial.state == TrialState.COMPLETE and len(trial.values) == 2 for trial in study.trials)
