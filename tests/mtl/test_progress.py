"""What a person sees while something runs: bars on a terminal, few plain lines elsewhere."""

from __future__ import annotations

import io
import re
import time

import pytest
from rich.console import Console

from mtl.progress import OnOneBar, Reporter, shorten


def plain() -> tuple[Reporter, io.StringIO]:
    stream = io.StringIO()
    return Reporter(console=Console(file=stream, force_terminal=False, width=200)), stream


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_away_from_a_terminal_the_end_is_one_line(clock: list[float]) -> None:
    reporter, stream = plain()
    with reporter:
        for done in range(1, 5):
            reporter.step("stage 2", done, 4, f"loss {done}")
        reporter.step("stage 2", 4, 4, "loss 4")  # told twice, said once
    assert stream.getvalue() == "stage 2: 4/4  loss 4\n"


def test_a_long_step_is_told_every_ten_seconds(clock: list[float]) -> None:
    reporter, stream = plain()
    for second in range(25):
        clock[0] = 100.0 + second
        reporter.step("render", second, 100)
    assert [line.split(":")[1].split()[0] for line in stream.getvalue().splitlines()] == ["10/100", "20/100"]


def test_every_name_has_a_clock_of_its_own(clock: list[float]) -> None:
    reporter, stream = plain()
    reporter.step("a", 0, 9)
    clock[0] += 6
    reporter.step("b", 0, 9)
    clock[0] += 6
    reporter.step("a", 1, 9)
    reporter.step("b", 1, 9)
    assert stream.getvalue() == "a: 1/9  \n"


def test_a_terminal_shows_bars() -> None:
    stream = io.StringIO()
    reporter = Reporter(console=Console(file=stream, force_terminal=True, width=120))
    with reporter:
        reporter.step("stage 3", 1, 2, "loss 0.5")
        reporter.say("a line above")
        reporter.step("stage 3", 2, 2, "loss 0.4")
    shown = stream.getvalue()
    assert "stage 3" in shown
    assert "2/2" in shown
    assert "a line above" in shown


def test_a_long_line_is_not_broken() -> None:
    reporter, stream = plain()
    text = "word " * 80
    reporter.say(text)
    assert stream.getvalue().splitlines() == [text]


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter(quiet=True) as reporter:
        reporter.step("stage 2", 4, 4)
        reporter.say("nothing")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")


def test_progress_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter() as reporter:
        reporter.step("stage 2", 1, 1)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("stage 2: 1/1")


def test_an_error_passes_through() -> None:
    reporter, _ = plain()
    with pytest.raises(KeyError), reporter:
        raise KeyError("x")


def test_steps_of_many_names_share_a_bar_that_does_not_end_with_one() -> None:
    told: list[tuple[str, int, int, str]] = []

    class Teller:
        def step(self, name: str, done: int, total: int, text: str = "") -> None:
            told.append((name, done, total, text))

    bar = OnOneBar(Teller(), "cell", "repeat 1")
    for done, total in ((0, 5), (4, 5), (5, 5), (1, 1), (0, 0)):
        bar.step("decode", done, total, "now")
    assert [one[1:3] for one in told] == [(0, 5), (4, 5), (4, 5), (0, 1), (0, 1)]
    assert {one[0] for one in told} == {"cell"}
    assert told[0][3] == "repeat 1: decode  now"


BARS = (
    ("all-idb1: decode at 160 px", 12, 160, ""),
    ("stage 3  multi-cell after 1,2", 3, 5, "loss 0.748  val loss 0.691  val macro-F1 0.429"),
    ("cell", 3, 40, "repeat02-fold00-tf_efficientnet_lite0: stage 3  multi-cell  loss 0.321"),
    ("cells", 2, 20, ""),
)


@pytest.mark.parametrize("width", [80, 100, 160])
def test_bars_can_be_read_on_a_terminal_of_any_width(width: int) -> None:
    stream = io.StringIO()
    with Reporter(console=Console(file=stream, force_terminal=True, width=width, color_system=None)) as told:
        for name, done, total, text in BARS:
            told.step(name, done, total, text)
    shown = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", stream.getvalue()).replace("\r", "\n")
    lines = [line for line in shown.splitlines() if line.strip()][-4:]
    for line, (name, done, total, text) in zip(lines, BARS, strict=True):
        assert len(line.rstrip()) <= width
        assert line.startswith(name if len(name) <= 28 else name[:12])
        assert re.search(rf" [━╸╺ ]{{8,}} {{1,2}}{done}/{total} ", line)
        assert line.rstrip().endswith(text[-9:])  # the newest score stands last
    assert ("…" in lines[2]) == (width < 160)


@pytest.mark.parametrize("length", range(12))
def test_a_text_is_cut_in_its_middle(length: int) -> None:
    cut = shorten("abcdefghij", length)
    assert len(cut) <= max(length, 1)
    if length >= 10:
        assert cut == "abcdefghij"
    elif length > 2:
        assert cut[0] + cut[-1] == "aj"
