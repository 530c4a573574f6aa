"""The `mtl` command: sub-commands, and what an error looks like."""

from __future__ import annotations

import io
import logging
import os
import shlex
import sys
import traceback
import warnings
from datetime import UTC, datetime
from typing import Annotated, Any, NoReturn

import typer

from mtl import __version__
from mtl.cli import (
    backbones,
    benchmark,
    data,
    doctor,
    ensemble,
    export,
    federate,
    find_lr,
    predict,
    reproduce,
    run,
    runs,
    segment,
    serve,
    tune,
)
from mtl.errors import FailedError, MtlError, WriteError
from mtl.tune.address import without_password
from stages.memory import keep_freed_memory

__all__ = ["app", "main"]

_INTERRUPTED = 130
_LONGEST = 300
"""Characters of an error's sentence."""

app = typer.Typer(
    name="mtl",
    help="Multistage transfer learning and segmentation for acute lymphoblastic leukaemia.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run.run)
app.command()(run.report)
app.command()(predict.predict)
app.command()(predict.embed)
app.command()(serve.serve)
app.add_typer(runs.app, name="runs")
app.command()(benchmark.benchmark)
app.command()(benchmark.compare)
app.command()(ensemble.ensemble)
app.command()(reproduce.reproduce)
app.command()(export.export)
app.command("find-lr")(find_lr.find_lr)
app.command("configs")(run.configs)
app.command("backbones")(backbones.backbones)
app.add_typer(data.app, name="data")
app.command()(doctor.doctor)
app.add_typer(tune.app, name="tune")
app.command()(tune.dashboard)
app.add_typer(segment.app, name="segment")
app.add_typer(federate.app, name="federate")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"mtl {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Multistage transfer learning and segmentation for acute lymphoblastic leukaemia."""


def main() -> None:
    """Run the command line; exit 0 done, 1 failed, 2 bad input, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that knows no umlauts shall print an escape, not fail.
            stream.reconfigure(errors="backslashreplace")
    _quiet()
    keep_freed_memory()
    command = typer.main.get_command(app)
    try:
        code = command.main(standalone_mode=False)
    except MtlError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _interrupted()
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(
            f"Expected files and folders to be readable and writable, but got: {where}{error.strerror or error}; do check space and rights",
            FailedError.exit_code,
        )
    except Exception as error:
        # Typer raises usage errors of its own copy of click; both kinds know how to format themselves.
        message: Any = getattr(error, "format_message", None)
        if isinstance(error, ValueError) and "null byte" in str(error):
            _fail("Expected names of files without null characters, but got one; do check what was typed")
        if message is None:
            _fail(_unforeseen(error), FailedError.exit_code)
        if not message():  # a group without a command, whose help is printed already
            sys.exit(MtlError.exit_code)
        _fail(f"{message()} Try `{_usage(error)} --help`.")
    if code == _INTERRUPTED:  # Typer turns Ctrl-C into this code itself
        _interrupted()
    sys.exit(code if isinstance(code, int) else 0)


def _quiet() -> None:
    # What libraries warn of is either answered with a sentence of ours or means nothing to who typed a command.
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        os.environ.setdefault("PYTHONWARNINGS", "ignore")  # of workers
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    for name in ("PIL", "tifffile"):
        logging.getLogger(name).addHandler(logging.NullHandler())
        logging.getLogger(name).propagate = False


def _unforeseen(error: Exception) -> str:
    """Return the last resort's sentence; the traceback goes to a file."""
    said = f"Expected the work to end well, but got {type(error).__name__}: {error}"[:150]
    trace = "".join(traceback.format_exception(error))
    text = f"mtl {__version__}, Python {sys.version}, {sys.platform}\n{shlex.join(sys.argv)}\n\n{trace}"
    try:
        from segmentation.cache import cache_folder
        from segmentation.files import make_folder, write_bytes

        path = cache_folder() / "logs" / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.log"
        make_folder(path.parent)
        write_bytes(path, text.encode("utf-8", "backslashreplace"))
    except (WriteError, ImportError):
        return f"{said}; this is a fault of mtl: do report it"
    return f"{said}; this is a fault of mtl: do report it with {path}"


def _interrupted() -> None:
    again = shlex.join(["mtl", *map(without_password, sys.argv[1:])])
    typer.echo(f"\nInterrupted. The same command goes on where it stopped:\n  {again}", err=True)
    sys.exit(_INTERRUPTED)


def _usage(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    return str(context.command_path) if context is not None else "mtl"


def _fail(message: str, code: int = MtlError.exit_code) -> NoReturn:
    line = " ".join(message.split())
    if (
        len(line) > _LONGEST
    ):  # of something long that was given: what was expected stands first, what to do last
        line = f"{line[: _LONGEST // 2]} ... {line[-_LONGEST // 2 + 5 :]}"
    typer.echo(f"mtl: {line.encode('utf-8', 'backslashreplace').decode()}", err=True)
    sys.exit(code)
