"""`mtl federate simulate`: a run folder like any other, bad input in one line."""

from __future__ import annotations

import json
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_BACKBONE, called

pytest.importorskip("flwr")

import mtl


def arguments(rendered: Path, *more: str) -> list[str]:
    return [
        "federate", "simulate", "--stages", "1,3", "--backbone", TINY_BACKBONE, "--weights", "none", "--image-size", "32",
        "--multi-cell", f"all-idb1:{rendered / 'ALL-IDB1'}", "--name", "tiny", "--clients", "2", "--rounds", "2",
        "--local-epochs", "1", "--set", "multi_cell.train.head_epochs=0", "--set", "multi_cell.train.policy=frozen",
        "--set", "multi_cell.train.batch_size=8", "--set", "evaluation.resamples=100", "--set", "evaluation.flips=false",
        "--delta", "1e-3", *more,
    ]  # fmt: skip


def test_a_federation_is_a_run_with_a_comparison(rendered: Path, tmp_path: Path) -> None:
    done = called(*arguments(rendered, "--compare", "--json"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["guarantee"].startswith("No privacy is guaranteed")
    names = [one["name"] for one in told["comparison"]]
    assert names[:4] == ["federated", "centralised", "alone", "personalised"]
    assert [one["epsilon"] for one in told["comparison"][4:]] == [1, 2, 8, 1, 2, 8, None]
    for one in told["comparison"]:
        assert 0 <= one["attack"]["value"] <= 1
        assert one["evaluation"]["n"] == told["test"]["n"]
    run = tmp_path / "runs" / "tiny-federated"
    image = np.zeros((40, 50, 3), np.uint8)
    assert sum(mtl.load(run).predict(image).probabilities.values()) == pytest.approx(1)
    page = (run / "report.html").read_text()
    assert "Rendered smears, not patient data" in page
    assert (
        "Federated loses to local" in page
        or "Federated beats local" in page
        or "Federated equals local" in page
    )
    clients = told["federation"]["clients"]
    assert sum(client["images"]["test"] for client in clients) == told["test"]["n"]
    again = called(*arguments(rendered, "--compare", "--json"), cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "reused" in again.stderr
    assert json.loads(again.stdout)["comparison"] == told["comparison"]


@pytest.mark.parametrize(
    ("more", "kinds"),
    [
        (["--dp", "central", "--delta", "0.1"], ["sgd", "least-squares", "central"]),
        (
            ["--dp", "sgd", "--dp-train", "film", "--set", "multi_cell.train.policy=full"],
            ["sgd", "least-squares"],
        ),
    ],
)
def test_every_kind_of_privacy_can_be_compared(
    rendered: Path, tmp_path: Path, more: list[str], kinds: list[str]
) -> None:
    done = called(*arguments(rendered, "--compare", "--json", "--rounds", "1", *more), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    names = [f"{kind}, epsilon {epsilon}" for kind in kinds for epsilon in (1, 2, 8)]
    assert [one["name"] for one in told["comparison"][4:]] == [*names, "least-squares, no noise"]
    assert all(one["evaluation"]["n"] == told["test"]["n"] for one in told["comparison"])
    assert "(2, " in told["guarantee"]
    page = (tmp_path / "runs" / "tiny-federated" / "report.html").read_text()
    assert all(name in unescape(page) for name in names)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--engine", "ray", "--set", "federate.client_cpus=1000"], "--engine process"),
        (["--epsilon", "0"], "epsilon"),
        (["--partition", "dirichlet"], "dirichlet:0.3"),
        (["--clients", "900"], "--clients"),
        (["--stages", "1"], "--stages"),
        (["--dp", "sgd", "--strategy", "fedbn"], "fedavg"),
        (["--dp", "sgd", "--set", "multi_cell.preprocess.normalise.method=reinhard"], "normalise"),
    ],
)
def test_bad_input_is_one_line(rendered: Path, tmp_path: Path, more: list[str], said: str) -> None:
    done = called(*arguments(rendered, *more), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_paper_b_s_federated_half_runs_small(rendered: Path, tmp_path: Path) -> None:
    done = called(
        "federate", "simulate", "--config", "alam2024", "--backbone", TINY_BACKBONE, "--weights", "none", "--image-size", "32",
        "--multi-cell", f"all-idb1:{rendered / 'ALL-IDB1'}", "--clients", "2", "--rounds", "2", "--local-epochs", "1",
        "--set", "evaluation.resamples=100", "--set", "evaluation.flips=false", "--set", "evaluation.baselines=false", "--json",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told["federation"]["history"]) == 2
    (folder,) = (tmp_path / "runs" / "alam2024-federated" / "stages").glob("3-*")
    settings = json.loads((folder / "stage.json").read_text())["settings"]
    assert settings["augment"]["copies"] == 4  # four versions of a training image, made after the split
    assert settings["train"]["optimizer"] == "adam"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--dp", "sgd", "--dp-train", "film"], ("scale and shift of the backbone's normalisation layers", "statistics that stay")),
        (["--dp", "central"], ("the server clips each client's step", "for one client more or less", "it drowns what they learned")),
    ],
)  # fmt: skip
def test_the_report_says_what_is_private(
    rendered: Path, tmp_path: Path, more: list[str], said: tuple[str, ...]
) -> None:
    done = called(*arguments(rendered, *more, "--epsilon", "3", "--rounds", "1", "--json"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    for client in told["federation"]["clients"]:
        rdp, prv = client["spent"]["1"]
        assert prv <= rdp <= 3
        assert client["noise"] > 0
    page = unescape((tmp_path / told["report"]).read_text())
    for words in said:
        assert words in page
