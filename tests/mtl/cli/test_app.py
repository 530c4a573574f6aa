"""The `mtl` command itself: exit codes, what an error looks like, and what must not be seen."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from mtl.cli.app import main
from mtl.errors import ConfigError, FailedError, WriteError
from segmentation.errors import TrainingError

CODE = "from mtl.cli.app import main; main()"


def ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException
) -> tuple[int, list[str]]:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("mtl.loading.config_names", fail)
    monkeypatch.setattr(sys, "argv", ["mtl", "configs"])
    monkeypatch.setattr(os, "environ", dict(os.environ))
    with warnings.catch_warnings(), pytest.raises(SystemExit) as end:
        main()
    code = end.value.code
    assert isinstance(code, int)
    return code, capsys.readouterr().err.strip().splitlines()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("Expected `x` to be y"), 2),
        (FailedError("Expected a worker to live"), 1),
        (WriteError("Expected space"), 1),
        (TrainingError("Expected a finite loss"), 1),
        (OSError(28, "No space left on device", "file"), 1),
    ],
)
def test_the_exit_code_is_the_errors_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, code: int
) -> None:
    got, lines = ended(monkeypatch, capsys, error)
    assert got == code
    assert len(lines) == 1
    assert lines[0].startswith("mtl: Expected")


def test_a_fault_of_ours_is_one_line_and_a_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("MTL_CACHE", str(tmp_path))
    code, lines = ended(monkeypatch, capsys, ZeroDivisionError("by\nzero"))
    (log,) = (tmp_path / "logs").iterdir()
    assert code == 1
    (line,) = lines
    assert "ZeroDivisionError: by zero" in line
    assert line.endswith(str(log))
    assert "Traceback" in log.read_text()
    assert "mtl configs" in log.read_text()


def test_where_no_log_can_be_written_the_line_still_comes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MTL_CACHE", str(tmp_path / "file"))
    code, (line,) = ended(monkeypatch, capsys, ZeroDivisionError("x"))
    assert code == 1
    assert line.endswith("do report it")


def test_an_interrupted_command_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines = ended(monkeypatch, capsys, KeyboardInterrupt())
    assert code == 130
    assert lines[-1].strip() == "mtl configs"


def test_help_and_usage_load_nothing_heavy_and_are_clean() -> None:
    code = f"import sys, atexit; atexit.register(lambda: print([m for m in ('torch', 'numpy', 'cv2') if m in sys.modules])); {CODE}"
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for arguments in (["nothing"], ["run", "--epochs", "x"], ["segment", "--crop"], ["benchmark", "--no"]):
        done = subprocess.run(
            [sys.executable, "-c", CODE, *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert done.stderr.startswith("mtl: ")
        assert "--help" in done.stderr


def test_warnings_of_libraries_do_not_leak(tmp_path: Path) -> None:
    code = (
        "import sys, warnings, logging\n"
        "import mtl.loading\n"
        "def noisy():\n"
        "    warnings.warn('overflow', RuntimeWarning)\n"
        "    logging.getLogger('PIL.TiffImagePlugin').warning('more samples')\n"
        "    logging.getLogger('tifffile').error('corrupt')\n"
        "    return []\n"
        "mtl.loading.config_names = noisy\n" + CODE
    )
    done = subprocess.run([sys.executable, "-c", code, "configs"], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
