"""What `mtl federate simulate` is told wrongly: one line, exit 2, and nothing is trained."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY_BACKBONE
from PIL import Image
from typer.testing import CliRunner

pytest.importorskip("flwr")

from conftest import called

from mtl.cli.app import app
from mtl.errors import ConfigError, MissingExtraError
from mtl.extras import check_extra
from mtl.federate.settings import FederatedExperiment
from mtl.loading import load_settings


def refused(cwd: Path, *more: str) -> str:
    done = called(
        "federate",
        "simulate",
        "--weights",
        "none",
        "--backbone",
        TINY_BACKBONE,
        "--image-size",
        "32",
        *more,
        cwd=cwd,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
    assert sum(line.startswith("mtl: ") for line in done.stderr.splitlines()) == 1
    return done.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--partition", "hospitals"], "by-source"),
        (["--partition", "dirichlet:"], "dirichlet:0.3"),
        (["--partition", "dirichlet:-1"], "dirichlet:0.3"),
        (["--epsilon", "-2"], "epsilon"),
        (["--epsilon", "nan"], "epsilon"),
        (["--delta", "1"], "delta"),
        (["--clients", "0"], "clients"),
        (["--rounds", "0"], "rounds"),
        (["--local-epochs", "0"], "local_epochs"),
        (["--strategy", "fedopt"], "fedprox"),
        (["--dp", "sgd", "--dp-train", "tail"], "dp_train"),
        (["--dp-train", "film"], "dp=none"),
        (["--dp", "central", "--strategy", "fedbn"], "fedavg"),
        (["--dp", "least-squares", "--strategy", "fedprox"], "fedavg"),
        (["--set", "federate.noise=1.1"], "noise"),
        (["--set", "federate.hospitals=3"], "hospitals"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, more: list[str], said: str) -> None:
    assert said in refused(tmp_path, *more)
    assert not (tmp_path / "runs").exists()


def test_numbers_that_are_none_are_the_command_lines_own(tmp_path: Path) -> None:
    for more in (["--clients", "x"], ["--epsilon", "much"], ["--dp"]):
        done = CliRunner().invoke(app, ["federate", "simulate", *more])
        assert done.exit_code == 2
        assert "Traceback" not in done.output


def folder_of(root: Path, classes: int) -> str:
    for number in range(24):
        own = root / "images" / f"class{number % classes}"
        own.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((40, 40), 20 + number).convert("RGB").save(own / f"{number}.png")
    return f"folder:{root / 'images'}"


def test_one_class_cannot_be_learned(tmp_path: Path) -> None:
    told = refused(tmp_path, "--stages", "1,3", "--multi-cell", folder_of(tmp_path, 1), "--clients", "2")
    assert "class" in told


def test_an_epsilon_that_no_noise_reaches(tmp_path: Path) -> None:
    told = refused(
        tmp_path, "--stages", "1,3", "--multi-cell", folder_of(tmp_path, 2), "--clients", "2", "--dp", "sgd", "--epsilon", "0.01",
        "--set", "evaluation.baselines=false",
    )  # fmt: skip
    assert "--epsilon" in told


def test_without_its_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    known = importlib.util.find_spec

    def find(name: str, *more: Any) -> Any:
        return None if name == "opacus" else known(name, *more)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    with pytest.raises(MissingExtraError, match=r"opacus.*mtl\[federated\]"):
        check_extra("federated")


def test_two_chains_are_not_federated() -> None:
    with pytest.raises(ConfigError, match="against"):
        load_settings(FederatedExperiment, "default", {"stages": "1,2,3", "against": "1,3"})
    with pytest.raises(ConfigError, match="`unit` is cells"):
        load_settings(FederatedExperiment, "default", {"against": "none", "multi_cell.unit": "cells"})


def test_a_last_stage_without_weights_to_average_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`learner` is stacked; do add --set multi_cell.learner=network"):
        load_settings(FederatedExperiment, "default", {"against": "none", "multi_cell.learner": "stacked"})
