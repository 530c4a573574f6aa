"""What a federation's report, JSON and terminal show, of one private federation of three unequal clients."""

from __future__ import annotations

import json
from dataclasses import replace
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import called

pytest.importorskip("flwr")

from sklearn.metrics import accuracy_score
from test_federate import arguments

from mtl.federate.content import ClientScore, FederateContent, client_scores, text
from mtl.federate.report import federate_html
from mtl.runs import StageFolder
from stages.bootstrap import Interval
from stages.data.sample import Sample
from stages.learners.federated.records import RefusedRecord, read_federated

CALL = ("--clients", "3", "--dp", "least-squares", "--epsilon", "2")


@pytest.fixture(scope="module")
def desk(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    desk = tmp_path_factory.mktemp("federation")
    done = called(*arguments(rendered, *CALL, "--json"), cwd=desk)
    assert done.returncode == 0, done.stderr
    (desk / "told.json").write_text(done.stdout)
    return desk


@pytest.fixture(scope="module")
def stage(desk: Path) -> StageFolder:
    (folder,) = (desk / "runs/tiny-federated/stages").glob("3-*")
    return StageFolder(folder)


@pytest.fixture(scope="module")
def content(desk: Path, stage: StageFolder) -> FederateContent:
    return FederateContent(
        "tiny", read_federated(stage.path), stage.learned_record(), (), None, "mtl federate <simulate>",
        {"date": "today", "mtl": "0"}, "seed: 0",
    )  # fmt: skip


def test_json_is_what_lies_in_the_folder(desk: Path) -> None:
    told = json.loads((desk / "told.json").read_text())
    kept = json.loads((desk / "runs/tiny-federated/federate.json").read_text())
    assert set(told) == {"run", "report", *kept}
    assert {name: told[name] for name in kept} == kept
    assert (desk / told["report"]).is_file()
    assert told["comparison"] is None


def test_clients_make_up_the_split_and_their_scores_the_whole(desk: Path) -> None:
    told = json.loads((desk / "told.json").read_text())
    clients, scores = told["federation"]["clients"], told["clients"]
    assert (
        [one["name"] for one in clients]
        == [one["name"] for one in scores]
        == [f"client {n}" for n in (1, 2, 3)]
    )
    for one, score in zip(clients, scores, strict=True):
        assert score["n"] == one["images"]["test"]
        assert score["groups"] == one["groups"]["test"]
        for part, count in one["images"].items():
            assert sum(one["counts"][part].values()) == count
    right = sum(one["accuracy"]["value"] * one["n"] for one in scores if one["n"])
    assert right / told["test"]["n"] == pytest.approx(told["test"]["headline"]["accuracy"]["value"])


def test_privacy_stands_where_it_is_looked_for(desk: Path) -> None:
    told = json.loads((desk / "told.json").read_text())
    assert "(2, 0.001)-differentially private" in told["guarantee"]
    for one in told["federation"]["clients"]:
        assert one["spent"] == {"1": [2.0, 2.0]}
        assert one["noise"] > 0
    page = unescape((desk / "runs/tiny-federated/report.html").read_text())
    assert told["guarantee"] in page
    assert "noisy least squares" not in page  # that is a system of the comparison
    assert "Each client tells two sums over" in page
    assert "dimensions of the features with Gaussian noise, once; the dimensions are drawn at random." in page
    assert "Round by round" not in page
    assert "http" not in page.split("</style>")[1].split("<h2>How to run it again")[0]


def test_the_same_call_trains_nothing_and_another_epsilon_does(desk: Path, rendered: Path) -> None:
    again = called(*arguments(rendered, *CALL, "--json"), cwd=desk)
    assert again.returncode == 0, again.stderr
    assert "reused" in again.stderr
    assert (
        json.loads(again.stdout)["federation"] == json.loads((desk / "told.json").read_text())["federation"]
    )
    (stage,) = (desk / "runs/tiny-federated/stages").glob("3-*")
    model = json.loads((stage / "model.json").read_text())
    # What was measured on training images without noise would undo what epsilon promises.
    assert model["certainty"] is None
    assert model["frame"] is None
    assert not list(stage.rglob("surroundings*"))
    before = set((desk / "runs/tiny-federated/stages").iterdir())
    other = called(*arguments(rendered, *CALL[:-1], "8", "--name", "eight"), cwd=desk)
    assert other.returncode == 0, other.stderr
    assert "(8, 0.001)-differentially private" in other.stdout
    assert "Wrote runs/eight-federated" in other.stdout
    assert {path.name for path in (desk / "runs/eight-federated/stages").glob("3-*")}.isdisjoint(
        path.name for path in before
    )


def test_a_plain_run_does_not_take_a_federations_folder(desk: Path, rendered: Path) -> None:
    words = arguments(rendered)
    done = called(
        "run", "--weights", "none", "--name", "tiny-federated", "--stages", "1,3", *words[8:12], cwd=desk
    )
    assert done.returncode == 2, done.stderr
    assert "tiny" in done.stderr


def test_who_was_left_out_is_named(content: FederateContent) -> None:
    gone = RefusedRecord(round=1, client="client 2", reason="It sent <nonsense>.")
    told = replace(content, record=content.record.model_copy(update={"refused": (gone,)}))
    assert "Round 1: client 2 was left out. It sent <nonsense>." in told.sentences()
    page = federate_html(told)
    assert "<b>client 2</b> was left out. It sent &lt;nonsense&gt;." in page
    assert "mtl federate &lt;simulate&gt;" in page


def test_rendered_smears_are_labelled(content: FederateContent) -> None:
    assert "rendered smears, not patient data" in content.sentences()[0]
    assert "that no client has seen" in content.sentences()[0]
    assert "3 clients, by-group, fedavg" in content.sentences()[0]


def test_a_client_without_test_images_has_no_scores(content: FederateContent) -> None:
    some = Interval(0.5, 0.25, 0.75)
    told = replace(
        content,
        clients=(ClientScore("client 1", 4, 2, some, some), ClientScore("client 2", 0, 0, None, None)),
    )
    lines = [line for line in told.sentences() if line.startswith("  ")]
    assert lines == [
        "  client 1: 0.500 [0.250, 0.750] accuracy, 0.500 [0.250, 0.750] macro-F1 on 4 own test images"
    ]
    assert text(None) == "–"


def test_scores_by_client_are_of_its_own_rows() -> None:
    random = np.random.default_rng(0)
    labels = np.arange(40) % 2
    test = np.arange(16, 40)
    votes = random.dirichlet([1, 1], 24)
    place = np.full(40, -1)
    place[test] = np.arange(24)
    rows = (test[:8], test[8:8], test[8:])
    clients: Any = [
        SimpleNamespace(name=f"c{number}", task=SimpleNamespace(rows={"test": own}))
        for number, own in enumerate(rows)
    ]
    samples = [Sample(Path("x"), f"{row}", "a", "x", group=f"g{row // 4}") for row in test]
    task: Any = SimpleNamespace(labels=labels, classes=("a", "b"))
    plan: Any = SimpleNamespace(evaluation=SimpleNamespace(resamples=100), seed=0)
    one, none, other = client_scores(clients, votes, place, task, samples, plan)
    assert none == ClientScore("c1", 0, 0, None, None)
    assert (one.n, one.groups, other.n, other.groups) == (8, 2, 16, 4)
    for score, own in ((one, rows[0]), (other, rows[2])):
        assert score.accuracy is not None
        expected = accuracy_score(labels[own], votes[own - 16].argmax(axis=1))
        assert score.accuracy.value == pytest.approx(expected)
