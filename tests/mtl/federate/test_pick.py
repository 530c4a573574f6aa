"""`mtl federate simulate --best N`: trained in one place, picked on the validation part, federated."""

from __future__ import annotations

import csv
import json
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY_BACKBONE, Told, called, tiny_experiment

pytest.importorskip("flwr")

from test_federate import arguments

from mtl.errors import ConfigError
from mtl.federate import pick
from mtl.federate.settings import FederatedExperiment, ServedExperiment
from mtl.loading import load_settings
from mtl.run import stage as stages
from mtl.run.backbone import weights_lacking
from mtl.runs import RunFolder
from stages.errors import ModelError

OTHER = "test_efficientnet"
CALL = (
    "--backbones", f"{TINY_BACKBONE},nasnetmobile,{OTHER}", "--best", "1", "--rounds", "1",
    "--set", "multi_cell.train.epochs=2", "--set", "evaluation.baselines=false",
)  # fmt: skip


def right(path: Path) -> float:
    rows = list(csv.DictReader(path.read_text().splitlines()))
    return sum(row["label"] == row["predicted"] for row in rows) / len(rows)


def test_the_best_on_the_validation_part_is_federated(rendered: Path, tmp_path: Path) -> None:
    done = called(*arguments(rendered, *CALL, "--json"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    run = tmp_path / told["run"]
    first, second = told["backbones"]
    assert {first["backbone"], second["backbone"]} == {TINY_BACKBONE, OTHER}
    assert first["validation"] >= second["validation"]
    assert "nasnetmobile" in told["missing"]["nasnetmobile"]
    by_name = {
        json.loads((one / "stage.json").read_text())["weights"]["backbone"]: one
        for one in (run / "stages").glob("3-*")
    }
    for one in (first, second):
        assert one["validation"] == pytest.approx(right(by_name[one["backbone"]] / "validation.csv"))
        accuracy = one["central"]["headline"]["accuracy"]["value"]
        assert accuracy == pytest.approx(right(by_name[one["backbone"]] / "predictions.csv"))
    assert second["federated"] is None
    gained = (
        first["federated"]["headline"]["macro_f1"]["value"]
        - first["central"]["headline"]["macro_f1"]["value"]
    )
    assert first["lead"]["value"] == pytest.approx(gained)
    assert first["federated"]["n"] == first["central"]["n"]
    assert (tmp_path / first["report"]).is_file()
    assert json.loads((run / "best.json").read_text()) == told
    page = unescape((tmp_path / told["report"]).read_text())
    assert "Rendered smears, not patient data" in page
    assert "nasnetmobile was left out: " in page
    assert OTHER in page.partition("<svg")[2].partition("</svg>")[0]
    assert f'href="{(tmp_path / first["report"]).relative_to(run)}"' in page
    again = called(*arguments(rendered, *CALL), cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "Backbones in one place, and the best of them federated" in again.stdout
    assert json.loads((run / "best.json").read_text()) == told


def experiment(rendered: Path, **told: Any) -> FederatedExperiment:
    plain = tiny_experiment(rendered).model_dump(mode="json")
    return load_settings(FederatedExperiment, plain | {"stages": "1,3", "against": "none", **told})


def test_the_test_part_has_no_say(rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reached = {"a": 0.7, "b": 0.9, "c": 0.5, "d": 0.9}
    asked: list[str] = []
    monkeypatch.setattr(pick, "_had", lambda *_: (list(reached), {"e": "it is lost"}))
    monkeypatch.setattr(pick, "_validation", reached.__getitem__)
    monkeypatch.setattr(pick, "_evaluation", lambda stage: None)
    monkeypatch.setattr(pick, "_federated", lambda _, name, *more: asked.append(name))
    monkeypatch.setattr(pick, "_write", lambda *_: None)

    monkeypatch.setattr(pick, "_compared", lambda one, *more: one)

    class Stage(str):
        def learned_record(self) -> Any:
            return type("Record", (), {"data": type("Data", (), {"rendered": False})})

    monkeypatch.setattr(pick, "_centralised", lambda _, name, *more: Stage(name))
    told = experiment(rendered, pick={"backbones": "a,b,c,d", "best": 3}, federate={"dp": "least-squares"})
    done = pick.pick_and_simulate(told, tmp_path, "mtl")
    assert asked == ["b", "d", "a"]
    assert [one.backbone for one in done.picked] == ["b", "d", "a", "c"]
    assert any("epsilon does not cover the choice" in note for note in done.notes)
    assert any("e was left out: it is lost" in note for note in done.notes)


def test_weights_that_cannot_be_had_are_named(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = stages.imagenet_stage

    def offline(one: Any, *more: Any) -> Any:
        if one.backbone == OTHER:
            raise ModelError("Expected weights, but nothing answers; do fetch them")
        return made(one, *more)

    monkeypatch.setattr(stages, "imagenet_stage", offline)
    run = RunFolder(tmp_path / "run")
    lacking = weights_lacking(tiny_experiment(rendered), [OTHER, TINY_BACKBONE], run, Told())
    assert lacking == {OTHER: "Expected weights, but nothing answers; do fetch them"}
    assert len(run.finished_stages()) == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--best", "2"], "--backbones"),
        (["--best", "2", "--backbones", f"{TINY_BACKBONE},{TINY_BACKBONE}"], "--backbones"),
        (["--best", "0", "--backbones", TINY_BACKBONE], "best"),
        (["--best", "1", "--backbones", TINY_BACKBONE, "--from", "runs/x"], "--from"),
        (["--best", "2", "--backbones", f"{TINY_BACKBONE},nasnetmobile"], "nasnetmobile"),
        (["--best", "1", "--backbones", TINY_BACKBONE, "--set", "multi_cell.split.validation=0"], "validation"),
    ],
)  # fmt: skip
def test_what_cannot_be_picked(rendered: Path, tmp_path: Path, more: list[str], said: str) -> None:
    if "--from" in more:
        (tmp_path / "runs/x").mkdir(parents=True)
        (tmp_path / "runs/x/config.yaml").write_text("seed: 0\n")
        more = [*more, "--config", "default"]
    done = called(*arguments(rendered, "--set", "multi_cell.train.epochs=1", *more), cwd=tmp_path)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_server_picks_nothing() -> None:
    told = {"pick": {"backbones": "a,b", "best": 1}, "server": {"classes": "x,y"}, "against": "none"}
    with pytest.raises(ConfigError, match=r"pick\.best"):
        load_settings(ServedExperiment, "default", told)


def test_paper_b_names_its_ten_and_other_commands_leave_them_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALEQANI", "data")
    told = load_settings(FederatedExperiment, "alam2024", {"pick.best": 3})
    assert len(told.pick.backbones) == 10
    assert (told.federate.rounds, told.federate.local_epochs) == (10, 5)
    assert told.federate.epochs == told.multi_cell.train.epochs
    from mtl.config import load_config

    assert load_config("alam2024").backbone in told.pick.backbones
    with pytest.raises(ConfigError, match="federate"):
        load_config("alam2024", {}, ["federate.rounds=3"])
