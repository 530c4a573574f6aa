"""What a person sees while something long runs: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

__all__ = ["OnOneBar", "Reporter", "Steps", "shorten"]

_BAR = (8, 28)  # columns of the bar itself, on a terminal of 80 and on a wide one
_NAME = 28
_REST = 24  # counts, time and what stands between


def shorten(text: str, length: int) -> str:
    """Return a text of at most so many characters, its middle left out.

    >>> shorten("repeat02-fold00-tf_efficientnet_lite0", 20)
    'repeat02-f…net_lite0'
    """
    if len(text) <= length:
        return text
    tail = max(length - 1, 0) // 2
    return text[: max(length - 1 - tail, 0)].rstrip() + "…" + text[len(text) - tail :].lstrip()


class Steps(Protocol):
    """Who is told about progress."""

    def step(self, name: str, done: float, total: int, text: str = "") -> None:
        """Tell that `done` of `total` steps of `name` are done."""


class OnOneBar:
    """Show steps of many names on one bar, one after the other; the end of a name is not the end of the bar.

    Args:
        reporter: Who shows them.
        bar: Name of the bar.
        about: Comes before what is told.
    """

    def __init__(self, reporter: Steps, bar: str, about: str = "") -> None:
        self.reporter = reporter
        self.bar = bar
        self.about = f"{about}: " if about else ""

    def step(self, name: str, done: float, total: int, text: str = "") -> None:
        """Tell of a step."""
        at = min(done, total - 1) if total > 1 else 0
        self.reporter.step(self.bar, at, max(total, 1), f"{self.about}{name}  {text}")


class Reporter:
    """Show progress on standard error; use it as a context manager.

    Args:
        quiet: Show nothing.
        console: Where to; standard error if None.
    """

    def __init__(self, quiet: bool = False, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, quiet=quiet, highlight=False)
        self._bars: dict[str, TaskID] = {}
        self._said: dict[str, float] = {}
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=max(_BAR[0], min(_BAR[1], self.console.width - 92))),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[text]}", style="dim", markup=False),
            console=self.console,
        )

    def __enter__(self) -> Reporter:
        if self.console.is_terminal:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.is_terminal:  # else it prints an empty line
            self._progress.stop()

    def say(self, text: str) -> None:
        """Print one line above the bars."""
        self._progress.console.print(text, soft_wrap=True, markup=False)

    def step(self, name: str, done: float, total: int, text: str = "") -> None:
        """Move the bar called `name`; it appears on first use.

        Away from a terminal a line is printed at the end, and at most every ten seconds before.
        """
        if self.console.is_terminal:
            if name not in self._bars:
                self._bars[name] = self._progress.add_task(shorten(name, _NAME), total=total, text="")
            names = max(min(len(known), _NAME) for known in self._bars)
            told = shorten(text, max(self.console.width - _BAR[0] - _REST - names, 1))
            self._progress.update(self._bars[name], completed=done, total=total, text=told)
            return
        now = time.monotonic()
        if done >= total and self._said.get(name) != float("inf"):
            self._said[name] = float("inf")
            self.say(f"{name}: {done}/{total}  {text}")
        elif now - self._said.setdefault(name, now) >= 10:
            self._said[name] = now
            self.say(f"{name}: {done}/{total}  {text}")
