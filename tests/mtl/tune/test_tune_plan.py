"""The plan of a study: flags, `--set` and YAML alike, its record on disk, and no password in either."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from typer.testing import CliRunner

from mtl.cli.app import _interrupted
from mtl.cli.tune import app
from mtl.config import load_config
from mtl.errors import ConfigError, RunError
from mtl.loading import load_settings
from mtl.tune.address import storage_address, without_password
from mtl.tune.plan import METRICS, Plan
from mtl.tune.sampling import PRUNERS, SAMPLERS
from mtl.tune.settings import TuneSettings
from mtl.tune.study import claim_study, load_plan, save_plan


def settings(*sets: str, **given: Any) -> TuneSettings:
    return load_settings(
        TuneSettings, "default", {f"tune.{key}": value for key, value in given.items()}, sets
    )


def test_yaml_set_and_flag_say_the_same(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "base: default\ntune: {trials: 20, sampler: random, stage: 2, metrics: [accuracy, ece]}\n"
    )
    read = load_settings(TuneSettings, str(path))
    flags = settings(trials=20, sampler="random", stage="2", metrics="accuracy, ece")
    said = settings("tune.trials=20", "tune.sampler=random", "tune.stage=2", "tune.metrics=[accuracy, ece]")
    assert read.plan() == flags.plan() == said.plan()
    assert read.tune.trials == 20


def test_an_experiment_is_a_plan_with_defaults_and_trials_train_one_chain() -> None:
    given = settings()
    assert given.tune == Plan()
    assert given.experiment() == load_config("default", {"against": ()})
    assert given.plan().study == "default-study"
    assert settings(stage="2").experiment().stages == (1, 2)


def test_the_names_of_the_plan_are_those_that_there_are() -> None:
    fields = Plan.model_fields
    assert set(get_args(fields["sampler"].annotation)) == set(SAMPLERS)
    assert set(get_args(fields["pruner"].annotation)) == set(PRUNERS)
    assert set(get_args(get_args(fields["metrics"].annotation)[0])) == set(METRICS)


def test_the_help_shows_the_defaults_of_the_plan() -> None:
    text = " ".join(CliRunner().invoke(app, ["--help"], env={"COLUMNS": "300"}).output.split())
    plan = Plan()
    for flag, value in (
        ("trials", plan.trials), ("stage", plan.stage), ("metric", plan.metrics[0]), ("sampler", plan.sampler),
        ("pruner", plan.pruner), ("folds", plan.folds),
    ):  # fmt: skip
        line = text.split(f"--{flag} ")[1].split(" --")[0]
        assert f"[default: ({value})]" in line, flag


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"stage": "4"}, "tune.stage"),
        ({"sampler": "grid"}, "tune.sampler"),
        ({"pruner": "x"}, "tune.pruner"),
        ({"metrics": "speed"}, "tune.metrics"),
        ({"metrics": "accuracy,accuracy"}, "two different"),
        ({"metrics": "accuracy,ece,macro_f1"}, "tune.metrics"),
        ({"metrics": "accuracy,ece", "sampler": "cmaes"}, "tune.sampler"),
        ({"trials": 0}, "tune.trials"),
        ({"trails": 3}, "trials"),
        ({"study": "../../x"}, "--study"),
        ({"study": ".."}, "--study"),
        ({"study": "a\n"}, "--study"),
    ],
)
def test_what_is_no_plan_is_refused_in_one_line(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(**given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_chain_that_does_not_reach_the_stage_is_refused() -> None:
    with pytest.raises(ConfigError, match="--stage"):
        settings("stages=1,2")


def test_the_record_is_read_back_as_it_was(tmp_path: Path) -> None:
    given = settings(metrics="accuracy,milliseconds", sampler="nsga2", stage="chain")
    save_plan(tmp_path, given.plan(), given.experiment())
    assert load_plan(tmp_path) == (given.plan(), given.experiment())
    (tmp_path / "plan.json").write_text('{"stage": "9"}')
    with pytest.raises(RunError, match=r"plan\.json"):
        load_plan(tmp_path)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://me:s3cret@host:5432/db", "postgresql://me@host:5432/db"),
        ("postgresql://me:a@s3cret@host/db", "postgresql://me@host/db"),
        ("postgresql://me:s3cret/?x@host/db", "postgresql://me@host/db"),
        ("postgresql://:s3cret@host/db", "postgresql://@host/db"),
        ("postgresql://host/db?user=me&password=s3cret", "postgresql://host/db?user=me"),
        ("postgresql://host/db?PASSWORD=s3cret&sslmode=require", "postgresql://host/db?sslmode=require"),
        ("postgresql://me:s3cret@host/db?sslpassword=s3cret", "postgresql://me@host/db"),
        ("postgresql://host:5432/db?user=a@b&password=s3cret", "postgresql://host:5432/db?user=a@b"),
        ("mysql+pymysql://me:s3cret@host/db", "mysql+pymysql://me@host/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("sqlite:////a:b@c/study.sqlite", "sqlite:////a:b@c/study.sqlite"),
        ("shared.log", "shared.log"),
    ],
)
def test_no_password_is_shown_or_written(tmp_path: Path, address: str, shown: str) -> None:
    assert without_password(address) == shown
    given = settings(storage=address)
    save_plan(tmp_path, given.plan(), given.experiment())
    for path in tmp_path.iterdir():
        assert "s3cret" not in path.read_text(), path
    assert yaml.safe_load((tmp_path / "plan.json").read_text())["storage"] == shown
    assert load_plan(tmp_path, address)[0].storage == address


def test_a_corrected_address_is_the_same_study_and_another_seed_is_not(tmp_path: Path) -> None:
    wrong = settings(storage="postgresql://me:wrong@host/db")
    claim_study(tmp_path, wrong.plan(), wrong.experiment())
    save_plan(tmp_path, wrong.plan(), wrong.experiment())
    right = settings(storage="postgresql://me:s3cret@host/db", trials=99)
    assert claim_study(tmp_path, right.plan(), right.experiment()) == right.plan()
    unsaid = settings()
    assert claim_study(tmp_path, unsaid.plan(), unsaid.experiment()).storage == "postgresql://me@host/db"
    other = settings("seed=3")
    with pytest.raises(RunError, match="differs in experiment"):
        claim_study(tmp_path, other.plan(), other.experiment())


def test_the_command_to_go_on_with_is_printed_without_the_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    address = "postgresql://me:s3cret@host/db"
    monkeypatch.setattr("sys.argv", ["mtl", "tune", "--storage", address, f"--set=tune.storage={address}"])
    with pytest.raises(SystemExit):
        _interrupted()
    said = capsys.readouterr().err
    assert "s3cret" not in said
    assert said.count("postgresql://me@host/db") == 2


def test_addresses(tmp_path: Path) -> None:
    assert storage_address("postgres://u@h/d", tmp_path) == "postgresql+psycopg://u@h/d"
    assert storage_address(None, tmp_path).startswith("sqlite:///")
