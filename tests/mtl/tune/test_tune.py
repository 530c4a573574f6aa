"""`mtl tune` for real: tiny trials on rendered smears, two workers, one of them killed, PostgreSQL, the dashboard."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from conftest import TINY_BACKBONE, called, interruptible

from mtl.config import load_config
from mtl.progress import Reporter
from mtl.runs import RunFolder
from mtl.tune.lost import free_lost_trials
from mtl.tune.objective import inner_splits
from mtl.tune.sampling import SeededByTrial
from mtl.tune.study import load_plan, open_study
from stages.learners.network.module import stage_loss

MTL = [sys.executable, "-c", "from mtl.cli.app import main; main()"]
Done = subprocess.CompletedProcess[str]


def data(rendered: Path) -> list[str]:
    return [
        "--single-cell", f"all-idb2:{rendered / 'ALL-IDB2'}", "--multi-cell", f"all-idb1:{rendered / 'ALL-IDB1'}",
        "--weights", "none", "--backbone", TINY_BACKBONE, "--image-size", "48",
    ]  # fmt: skip


def tune(rendered: Path, *more: str) -> list[str]:
    base = [
        "tune",
        "--folds",
        "1",
        "--epochs",
        "2",
        "--sampler",
        "random",
        "--study",
        "s",
        "--set",
        "stages=1,3",
    ]
    return [*base, *data(rendered), *more]


@pytest.fixture(scope="module")
def finished(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    folder = tmp_path_factory.mktemp("tune")
    done = called(*tune(rendered, "--trials", "4", "--sampler", "tpe", "--apply"), cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "runs" / "s", done


_OPEN: list[optuna.storages.RDBStorage] = []


def study_of(folder: Path) -> optuna.Study:
    plan, experiment = load_plan(folder)
    study = open_study(folder, plan, experiment.seed)
    if isinstance(study._storage, optuna.storages._CachedStorage):
        _OPEN.append(study._storage._backend)
    return study


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    """Close connections that studies opened here; a server that stops would find them open."""
    yield
    while _OPEN:
        storage = _OPEN.pop()
        storage.remove_session()
        storage.engine.dispose()


def test_a_study_ends_with_a_best_configuration_and_a_report(finished: tuple[Path, Done]) -> None:
    folder, done = finished
    assert re.search(r"4 of 4 trials done\. Best: number \d, macro_f1 0\.\d+", done.stdout)
    assert re.search(r"Tuning (improved|did not improve) the untouched test part", done.stdout)
    page = (folder / "report.html").read_text()
    for title in ("History", "Timeline", "Parallel coordinates", "Slice"):
        assert f"<h2>{title}" in page, title
    assert "Rendered smears, not patient data" in page
    assert "No importances (fANOVA): 4 trials are done" in page
    assert f"mtl run --config {Path('runs/s/best.yaml')}" in page
    assert not re.search(r"(src|href)=[\"'](?!data:|#)", page.split("</style>")[1])
    assert not list(folder.glob("trials/*"))
    best = load_config(str(folder / "best.yaml"))
    trial = study_of(folder).best_trial
    assert best.multi_cell.train.learning_rate == trial.params["multi_cell.train.learning_rate"]
    assert called("tune", "report", str(folder), cwd=folder).returncode == 0


def test_the_same_command_again_adds_nothing_and_another_space_is_refused(
    finished: tuple[Path, Done], rendered: Path
) -> None:
    folder, _ = finished
    again = called(*tune(rendered, "--trials", "4", "--sampler", "tpe"), cwd=folder.parent.parent)
    assert again.returncode == 0, again.stderr
    assert "4 of 4 trials done" in again.stdout
    other = called(
        *tune(rendered, "--trials", "4", "--sampler", "tpe", "--seed", "3"), cwd=folder.parent.parent
    )
    assert other.returncode == 2
    assert "differs in" in other.stderr
    assert "another name" in other.stderr


@pytest.mark.parametrize(("stages", "folds"), [("1,3", 1), ("1,3", 3), ("1,2,3", 1)])
def test_no_trial_sees_the_test_part(rendered: Path, tmp_path: Path, stages: str, folds: int) -> None:
    given = {
        "stages": stages, "against": (),
        "single_cell.data": {"dataset": "all-idb2", "root": str(rendered / "ALL-IDB2")},
        "multi_cell.data": {"dataset": "all-idb1", "root": str(rendered / "ALL-IDB1")},
    }  # fmt: skip
    run = RunFolder(tmp_path / "x")
    inner = inner_splits(load_config("default", given), run, folds, Reporter(quiet=True))
    outer = json.loads(next((tmp_path / "x" / "splits").glob("3-*.json")).read_text())
    group = {
        sample.name: sample.group or sample.name for stage in inner.data.values() for sample in stage.samples
    }
    tested = {group[name] for name in outer["test"]}
    assert len(inner.folds) == folds
    scored: list[str] = []
    for fold in inner.folds:
        seen = {
            group[name] for split in fold.values() for name in (*split.train, *split.validation, *split.test)
        }
        assert not seen & tested
        validated = {group[name] for name in fold[3].test}
        trained = {group[name] for split in fold.values() for name in split.train}
        assert not validated & trained
        scored += fold[3].test
    if folds > 1:
        assert sorted(scored) == sorted([*outer["train"], *outer["validation"]])


def test_two_metrics_give_a_pareto_front(rendered: Path, tmp_path: Path) -> None:
    more = [
        "--trials",
        "3",
        "--metric",
        "macro_f1,milliseconds",
        "--sampler",
        "nsga2",
        "--stage",
        "2",
        "--set",
        "stages=1,2",
    ]
    done = called(*tune(rendered, *more), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "<h2>Pareto front" in (tmp_path / "runs" / "s" / "report.html").read_text()


def test_a_trial_that_diverges_fails_alone(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loss(
        logits: torch.Tensor, targets: torch.Tensor, activation: str, smoothing: float = 0.0, *more: Any
    ) -> torch.Tensor:
        found = stage_loss(logits, targets, activation, smoothing, *more)
        return found * float("nan") if smoothing == 0.5 else found

    # No rate that the schema lets through is sure to diverge on images as small as these.
    monkeypatch.setattr("stages.learners.network.module.stage_loss", loss)
    space = tmp_path / "space.yaml"
    space.write_text("multi_cell.train.label_smoothing: {choices: [0.5, 0.0]}\n")
    done = called(*tune(rendered, "--trials", "6", "--search", str(space), "--seed", "1"), cwd=tmp_path)
    states = {trial.state.name for trial in study_of(tmp_path / "runs" / "s").trials}
    reasons = [trial.user_attrs.get("reason", "") for trial in study_of(tmp_path / "runs" / "s").trials]
    assert done.returncode == 0, done.stderr
    assert states == {"COMPLETE", "FAIL"}
    assert any("finite" in reason for reason in reasons)


def test_ctrl_c_records_the_trial_and_the_next_worker_tries_it_again(rendered: Path, tmp_path: Path) -> None:
    arguments = tune(rendered, "--trials", "3", "--epochs", "40", "--pruner", "none")
    process = subprocess.Popen(
        [*MTL, *arguments], cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=interruptible
    )
    folder = tmp_path / "runs" / "s"
    _wait(lambda: bool(list(folder.glob("trials/*/last.ckpt"))), process)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "The same command goes on" in said
    trials = study_of(folder).trials
    stopped = next(
        trial for trial in trials if trial.state.name == "FAIL" and "reason" not in trial.user_attrs
    )
    assert stopped.state.name == "FAIL"
    waiting = [trial for trial in trials if trial.state.name == "WAITING"]
    assert waiting[0].params == stopped.params


def _wait(there: object, process: subprocess.Popen[str], seconds: float = 150) -> None:
    deadline = time.monotonic() + seconds
    while not there() and time.monotonic() < deadline and process.poll() is None:  # type: ignore[operator]
        time.sleep(0.2)
    assert there()  # type: ignore[operator]


def _seed_of_a_long_first_trial() -> str:
    """Return the seed with which a random sampler proposes the second of two choices first."""
    for seed in range(99):
        study = optuna.create_study(sampler=SeededByTrial("random", seed))
        if study.ask().suggest_categorical("multi_cell.train.epochs", [2, 5000]) == 5000:
            return str(seed)
    raise AssertionError


@pytest.fixture
def postgresql() -> Iterator[str]:
    """A server of Debian's package, started here."""
    found = (
        sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if Path("/usr/lib/postgresql").is_dir()
        else []
    )
    if not found:
        pytest.skip("PostgreSQL (Debian's package postgresql) is not installed")
    binaries = found[-1].parent
    folder = Path(tempfile.mkdtemp(prefix="mtl-pg-"))  # pytest's own folders are closed to the server's user
    folder.chmod(0o755)
    data = folder / "data"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if user:
        shutil.chown(folder, "postgres")
    run = {"check": True, "capture_output": True, "timeout": 60}
    subprocess.run([*user, str(binaries / "initdb"), "-D", str(data), "-U", "mtl", "-A", "trust"], **run)  # type: ignore[call-overload]
    control = [*user, str(binaries / "pg_ctl"), "-D", str(data), "-w"]
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    subprocess.run(
        [*control, "-o", options, "-l", str(folder / "log"), "start"],
        check=True,
        timeout=60,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield f"postgresql://mtl@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **run)  # type: ignore[call-overload]
        shutil.rmtree(folder)


@pytest.fixture(params=["of its own", "postgresql"])
def storage(request: pytest.FixtureRequest) -> list[str]:
    """What says where a study lies."""
    shared = request.param == "postgresql"
    return ["--storage", request.getfixturevalue("postgresql")] if shared else []


def test_two_workers_of_which_one_is_killed(rendered: Path, tmp_path: Path, storage: list[str]) -> None:
    """Two workers on one storage: one ends and says what the other is at, which is then killed in the middle of its trial."""
    space = tmp_path / "space.yaml"
    space.write_text("multi_cell.train.epochs: {choices: [2, 5000]}\n")
    arguments = tune(rendered, "--trials", "3", "--pruner", "none", "--search", str(space), *storage)
    pipes = {"cwd": tmp_path, "stderr": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    long = subprocess.Popen([*MTL, *arguments, "--seed", _seed_of_a_long_first_trial()], **pipes)  # type: ignore[call-overload]
    path = tmp_path / "runs" / "s"
    _wait(lambda: bool(list(path.glob("trials/0/last.ckpt"))), long)
    study = study_of(path)
    for _ in range(2):
        study.enqueue_trial({"multi_cell.train.epochs": 2})
    other = subprocess.Popen([*MTL, "tune", "--join", "runs/s"], **pipes)  # type: ignore[call-overload]
    told, said = other.communicate(timeout=250)
    assert other.returncode == 0, said
    assert "2 of 3 trials done, 1 running elsewhere. Best: number" in told
    assert [trial.state.name for trial in study.trials] == ["RUNNING", "COMPLETE", "COMPLETE"]
    assert free_lost_trials(study, 300) == []
    long.kill()
    long.communicate()
    assert free_lost_trials(study, 300) == [0]
    lost, *_, again = study.trials
    assert (lost.state.name, again.state.name) == ("FAIL", "WAITING")
    assert again.params == lost.params == {"multi_cell.train.epochs": 5000}


def test_the_dashboard_opens_in_a_browser(finished: tuple[Path, Done], tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    folder, _ = finished
    server = subprocess.Popen(
        [*MTL, "dashboard", str(folder), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        preexec_fn=interruptible,
    )
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert "s: 4 trials" in line
        address = re.search(r"http://\S+", line)
        assert address
        if browser is None:
            pytest.skip("no headless browser (Debian's package chromium) is installed")
        page = subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", f"--user-data-dir={tmp_path}",
             "--dump-dom", f"{address[0]}dashboard/studies/1"], capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert "History" in page.stdout
        assert "learning_rate" in page.stdout
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=30)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--stage", "4"], "tune.stage"),
        (["--study", "../../x"], "--study"),
        (["--search", "nowhere.yaml"], "nowhere.yaml"),
        (["--storage", "nonsense"], "--storage"),
        (["--join", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(rendered: Path, tmp_path: Path, more: list[str], said: str) -> None:
    done = called(*tune(rendered, *more), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("mtl: ")]
    assert len(lines) == 1
    assert said in lines[0]
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir()) or [path.name for path in tmp_path.iterdir()] == ["runs"]


@pytest.mark.parametrize("port", ["99999", "-5"])
def test_a_port_that_is_none_is_one_line(finished: tuple[Path, Done], port: str) -> None:
    folder, _ = finished
    done = called("dashboard", str(folder), "--port", port, cwd=folder)
    assert done.returncode == 2
    assert "--port" in done.stderr
    assert len(done.stderr.splitlines()) == 1
