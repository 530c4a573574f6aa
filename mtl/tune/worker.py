"""A worker: trials one after the other, together with any other worker, until the study has enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from mtl.errors import FailedError, MtlError, RunError, WriteError
from mtl.progress import OnOneBar, Reporter, Steps
from mtl.tune.lost import RETRY, free_lost_trials, signing
from mtl.tune.plan import Plan, short_key
from segmentation.errors import TrainingError

__all__ = ["TRAINED", "Counts", "Report", "Score", "count", "work"]

TRAINED = "trained"
"""Seconds of a trial that training and prediction took."""

Report = Callable[[int, float], None]
"""Told (step, score) after every validation; may raise to prune."""

Score = Callable[[optuna.Trial, Report, Steps], tuple[tuple[float, ...], float]]
"""Returns every metric of a trial, and the seconds that training and prediction took."""


class _TrialFailedError(Exception):
    """A trial that failed by itself, with the reason already recorded; others go on."""


@dataclass(frozen=True)
class Counts:
    """How far a study is.

    Attributes:
        done: Trials that count: done, pruned or failed by themselves; not those that were interrupted or whose worker died.
        running: Trials that workers are at.
    """

    done: int
    running: int

    def to_text(self, planned: int) -> str:
        """Return both for a person."""
        running = f", {self.running} running elsewhere" if self.running else ""
        return f"{self.done} of {max(planned, self.done)} trials done{running}"


def count(study: optuna.Study) -> Counts:
    """Count the trials of a study."""
    trials = study.get_trials(deepcopy=False)
    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    return Counts(
        sum(trial.state in ended or "reason" in trial.user_attrs for trial in trials),
        sum(trial.state == TrialState.RUNNING for trial in trials),
    )


def work(study: optuna.Study, plan: Plan, score: Score, reporter: Reporter) -> None:
    """Run trials until the study has as many as planned, done or running elsewhere.

    Args:
        study: Opened.
        plan: Of the study.
        score: Trains and scores a trial.
        reporter: Shows progress, and a line for every trial.

    Raises:
        FailedError: If something is wrong that would fail every further trial, too: a full disk, a defect.
        OSError: Likewise.
        KeyboardInterrupt: If stopped; like after every error, the values of the trial in the middle are tried again.
    """
    worker = _Worker(plan, score, reporter)
    try:
        if not worker.enough(study):
            study.optimize(worker, catch=(_TrialFailedError,), callbacks=[worker.told])
    except BaseException as error:
        # A storage on the disk that is full cannot be told; the next worker then finds the trial by its dead process.
        with suppress(Exception):
            worker.give_back(study)
        storage = _of_the_storage(error)
        if storage is not None:
            raise WriteError(
                f"Expected the storage of study {study.study_name} to take what is told to it, but got: {_line(storage)}; "
                "do free space or mend the connection, and start the same command again"
            ) from error
        if isinstance(error, AssertionError):
            raise FailedError(
                f"Expected trial {worker.number} to run, but something inside of it is not as it must be: {_line(error)}; "
                "do change the configuration, or report this"
            ) from error
        raise


class _Worker:
    """What `study.optimize` calls: a trial, and after it a look at the study."""

    def __init__(self, plan: Plan, score: Score, reporter: Reporter) -> None:
        self.plan = plan
        self.score = score
        self.reporter = reporter
        self.number: int | None = None

    def __call__(self, trial: optuna.Trial) -> tuple[float, ...]:
        """Score a trial."""
        self.number = trial.number
        beat = signing(trial)

        def report(step: int, score: float) -> None:
            beat()
            if len(self.plan.metrics) == 1:
                trial.report(score, step)
                if trial.should_prune():
                    raise optuna.TrialPruned

        try:
            values, trained = self.score(trial, report, _Steps(self.reporter, beat))
        except (MtlError, MemoryError, RuntimeError) as error:
            # One trial's values may need more memory than there is, or diverge, or not fit together; the others go on.
            if _stops(error):
                raise
            trial.set_user_attr("reason", _line(error)[:500])
            raise _TrialFailedError from error
        trial.set_user_attr(TRAINED, trained)
        return values

    def told(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Say how the trial ended, and stop if there are enough."""
        self.number = None
        if trial.state == TrialState.COMPLETE:
            said = "  ".join(
                f"{name} {value:.4f}" for name, value in zip(self.plan.metrics, trial.values, strict=True)
            )
        else:
            said = f"failed: {trial.user_attrs.get('reason')}" if trial.state == TrialState.FAIL else "pruned"
        seconds = trial.duration.total_seconds() if trial.duration else 0.0
        self.reporter.say(f"trial {trial.number}  {said}  ({seconds:.0f} s)  {_short(trial.params)}")
        if self.enough(study):
            study.stop()

    def enough(self, study: optuna.Study) -> bool:
        """Say whether no further trial is needed, after trials of dead workers are freed."""
        for number in free_lost_trials(study, self.plan.grace):
            self.reporter.say(f"trial {number} lost its worker; its values are tried again")
        counts = count(study)
        self.reporter.step("trials", min(counts.done, self.plan.trials), self.plan.trials)
        return counts.done + counts.running >= self.plan.trials

    def give_back(self, study: optuna.Study) -> None:
        """Have the values of the trial that was stopped in the middle tried again."""
        if self.number is None:
            return
        trial = study.trials[self.number]
        if trial.state == TrialState.RUNNING:
            study.tell(trial.number, state=TrialState.FAIL)
        if trial.state in (TrialState.RUNNING, TrialState.FAIL):
            RETRY(study, trial)


class _Steps(OnOneBar):
    """Pass a trial's progress on, and show that its worker lives."""

    def __init__(self, reporter: Reporter, beat: Callable[[], None]) -> None:
        super().__init__(reporter, "trial")
        self.beat = beat

    def step(self, name: str, done: float, total: int, text: str = "") -> None:
        """Tell of a step."""
        self.beat()
        super().step(name, done, total, text)


def _behind(error: BaseException) -> Iterator[BaseException]:
    """Return an error, what it came of, and so on."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _of_the_storage(error: BaseException) -> BaseException | None:
    """Return what a database said; Optuna raises other errors while it handles that one."""
    for found in _behind(error):
        if isinstance(found, optuna.exceptions.StorageInternalError):
            reason: BaseException = getattr(found.__cause__, "orig", found)
            return reason
    return None


def _stops(error: Exception) -> bool:
    """Say whether an error would meet every further trial, too."""
    if isinstance(error, (FailedError, RunError)) and not isinstance(error, TrainingError):
        return True
    # Libraries wrap what a full disk says in errors of their own, or say it in words alone.
    return any(isinstance(one, OSError) or "No space left" in str(one) for one in _behind(error))


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _short(values: Mapping[str, Any]) -> str:
    return " ".join(
        f"{short_key(key)}={value:.3g}" if isinstance(value, float) else f"{short_key(key)}={value}"
        for key, value in values.items()
    )
