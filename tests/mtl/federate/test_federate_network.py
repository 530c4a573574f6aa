"""`mtl federate server` with clients in processes of their own: one sends nonsense and is killed, one comes late, the rounds go on."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_BACKBONE, called

pytest.importorskip("flwr")

import mtl
from mtl.federate.keys import kept_secret, make_client_key, make_server_keys

PLAIN = "from mtl.cli.app import main; main()"
WAITS = """
import os, time
from stages.learners.federated.client import Client
train = Client.train

def patient(self, arrays, number, proximal=0.0):
    end = time.monotonic() + 600  # so that a round is left for the one that comes late
    while number == 3 and not os.path.exists("late-is-there") and time.monotonic() < end:
        time.sleep(0.2)
    return train(self, arrays, number, proximal)

Client.train = patient
"""
NONSENSE = """
import os, signal, torch
from stages.learners.federated.client import Client
train = Client.train

def wrong(self, arrays, number, proximal=0.0):
    state, scores = train(self, arrays, number, proximal)
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return {name: value * torch.nan if number == 1 else value.new_zeros(3) for name, value in state.items()}, scores

Client.train = wrong
"""
LATE = """
import pathlib
from stages.learners.federated.supernode import SuperNode
send = SuperNode._send

def tells(self, *given):
    send(self, *given)
    pathlib.Path("late-is-there").touch()

SuperNode._send = tells
"""


def free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("localhost", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    make_server_keys(folder, "localhost")
    for name in ("good", "wrong", "late"):
        make_client_key(folder / "clients", name)
    return folder


def serving(keys: Path, port: int, *more: str) -> list[str]:
    return [
        "federate", "server", "--stages", "1,3", "--backbone", TINY_BACKBONE, "--weights", "none", "--image-size", "32",
        "--name", "tiny", "--clients", "2", "--rounds", "5", "--local-epochs", "1", "--classes", "normal,L1,L2,L3",
        "--keys", str(keys), "--listen", f"localhost:{port}", "--set", "multi_cell.train.policy=frozen",
        "--set", "multi_cell.train.head_epochs=0", "--set", "multi_cell.train.batch_size=8", "--set", "evaluation.resamples=100",
        "--set", "evaluation.flips=false", *more,
    ]  # fmt: skip


def asking(keys: Path, port: int, rendered: Path, name: str, *more: str) -> list[str]:
    return [
        "federate", "client", "--server", f"localhost:{port}", "--ca", str(keys / "ca.pem"), "--key", str(keys / "clients" / f"{name}.key"),
        "--data", f"all-idb1:{rendered / 'ALL-IDB1'}", "--wait", "100", *more,
    ]  # fmt: skip


@contextmanager
def processes(desk: Path) -> Iterator[dict[str, subprocess.Popen[str]]]:
    started: dict[str, subprocess.Popen[str]] = {}
    try:
        yield started
    finally:
        for one in started.values():
            one.kill()
            one.communicate()


def start(desk: Path, code: str, arguments: list[str]) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    typed = [sys.executable, "-c", f"{code}\n{PLAIN}", *arguments]
    with (desk / f"{len(list(desk.glob('*.err')))}.err").open("w") as errors:
        return subprocess.Popen(
            typed, cwd=desk, env=environment, text=True, stdout=subprocess.PIPE, stderr=errors
        )


@pytest.mark.timeout(900)  # processes that import torch one beside the other
def test_rounds_go_on_whatever_one_client_does(rendered: Path, tmp_path: Path, keys: Path) -> None:
    port = free_port()
    with processes(tmp_path) as clients:
        for name, code in (("good", WAITS), ("wrong", NONSENSE)):
            clients[name] = start(tmp_path, code, asking(keys, port, rendered, name))

        def come_late() -> None:
            while not list(tmp_path.glob("runs/tiny-federated/stages/3-*/rounds/rounds.json")):
                time.sleep(0.2)
            clients["late"] = start(tmp_path, LATE, asking(keys, port, rendered, "late", "--json"))

        threading.Thread(target=come_late, daemon=True).start()
        done = called(*serving(keys, port, "--json"), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        told = json.loads(clients["late"].communicate(timeout=300)[0])
        assert clients["good"].wait(300) == clients["late"].returncode == 0
        assert clients["wrong"].wait(60) == -9
    content = json.loads(done.stdout)
    federation = content["federation"]
    assert len(federation["history"]) == 5
    refused = [(one["round"], one["client"], one["reason"]) for one in federation["refused"]]
    assert [(number, name) for number, name, _ in refused] == [(1, "wrong"), (2, "wrong"), (3, "wrong")]
    assert "not finite" in refused[0][2]
    assert "shape (3,)" in refused[1][2]
    assert "gone" in refused[2][2] or "navailable" in refused[2][2]
    assert {one["name"] for one in federation["clients"]} == {"good", "wrong", "late"}
    assert {one["name"] for one in content["clients"]} == {"good", "late"}
    assert told["score"]["n"] == next(one["n"] for one in content["clients"] if one["name"] == "late")
    assert federation["test"]["accuracy"] == pytest.approx(
        told["score"]["accuracy"]["value"]
    )  # both hold the same images
    run = tmp_path / "runs" / "tiny-federated"
    image = np.zeros((40, 50, 3), np.uint8)
    ours, theirs = (mtl.load(path).predict(image).probabilities for path in (run, tmp_path / told["model"]))
    assert ours == pytest.approx(theirs)
    assert "stayed with their clients" in (run / "report.html").read_text()


@pytest.mark.timeout(900)
def test_a_server_hides_its_clients(rendered: Path, tmp_path: Path, keys: Path) -> None:
    port, private = free_port(), ["--dp", "central", "--epsilon", "2"]
    with processes(tmp_path) as clients:
        for name in ("good", "late"):
            clients[name] = start(tmp_path, "", asking(keys, port, rendered, name, *private, "--json"))
        given = serving(keys, port, *private, "--delta", "0.1", "--rounds", "1", "--json")
        done = called(*given, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        told = [json.loads(one.communicate(timeout=300)[0]) for one in clients.values()]
    content = json.loads(done.stdout)
    assert "the server's secret" in content["guarantee"]
    assert not content["federation"]["refused"]
    for one in content["federation"]["clients"]:
        assert 0 < one["spent"]["1"][1] <= one["spent"]["1"][0] == pytest.approx(2, rel=0.02)
    paths = [tmp_path / "runs" / "tiny-federated", *(tmp_path / one["model"] for one in told)]
    image = np.zeros((40, 50, 3), np.uint8)
    ours, *theirs = (mtl.load(path).predict(image).probabilities for path in paths)
    assert theirs == [pytest.approx(ours)] * 2


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--classes", "one"], "--classes"),
        (["--keys", "nowhere"], "nowhere"),
        (["--clients", "9"], "--clients 9"),
        (["--stages", "1,2,3"], "--from"),
        (["--listen", "9443"], "HOST:PORT"),
        (["--set", "multi_cell.preprocess.normalise.method=reinhard"], "normalise"),
    ],
)
def test_a_server_that_is_told_wrongly(tmp_path: Path, keys: Path, more: list[str], said: str) -> None:
    done = called(*serving(keys, 9443, *more), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "nothing answers"),
        (["--data", "all-idb1:absent"], "absent"),
        (["--data", "all-idb1"], "NAME:FOLDER"),
        (["--key", "absent.key"], "private key"),
        (["--server", "localhost"], "HOST:PORT"),
        (["--epsilon", "0"], "epsilon"),
    ],
)
def test_a_client_that_is_told_wrongly(
    rendered: Path, tmp_path: Path, keys: Path, more: list[str], said: str
) -> None:
    done = called(*asking(keys, free_port(), rendered, "good", "--wait", "0.2", *more), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_keys_are_not_overwritten_and_secret_ones_not_shown(tmp_path: Path) -> None:
    for arguments in (["--host", "localhost"], ["--client", "one"]):
        assert called("federate", "keys", "keys", *arguments, cwd=tmp_path).returncode == 0
        again = called("federate", "keys", "keys", *arguments, cwd=tmp_path)
        assert again.returncode == 2
        assert "never overwritten" in again.stderr
    for name in ("server.key", "one.key"):
        assert (tmp_path / "keys" / name).stat().st_mode & 0o077 == 0
    for arguments in ([], ["--host", "a", "--client", "b"], ["--client", "../b"]):
        assert called("federate", "keys", "keys", *arguments, cwd=tmp_path).returncode == 2


def test_a_secret_is_drawn_once_and_read_by_nobody_else(tmp_path: Path) -> None:
    first = kept_secret(tmp_path / "secret.json")
    assert first == kept_secret(tmp_path / "secret.json") != kept_secret(tmp_path / "other.json")
    assert 0 <= first < 2**128
    assert (tmp_path / "secret.json").stat().st_mode & 0o077 == 0
