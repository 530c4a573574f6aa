"""Records come back from their files as they were; what another version wrote is one sentence."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from mtl.errors import RunError
from mtl.records import (
    CellRecord,
    ChainScores,
    Comparison,
    DataRecord,
    ExternalRecord,
    LearnedRecord,
    OverColour,
    Record,
    RunRecord,
    SourceRecord,
    StageRecord,
    read_record,
    read_stage,
    write_record,
)
from segmentation.errors import ReadError
from stages.data_settings import DataSettings
from stages.learners.network.weights import WeightRecord
from stages.metrics import Evaluation, Interval, evaluate
from stages.settings import StageSettings

NAN = math.nan
WEIGHTS = WeightRecord(backbone="tiny", source="none", licence="", sha256="")


def evaluation() -> Evaluation:
    labels, votes = np.array([0, 0, 1, 1]), np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]])
    # One group alone: intervals are not defined.
    return evaluate(labels, votes, ["g"] * 4, ("no", "yes"), resamples=10)


SOURCE = SourceRecord(name="x", dataset="x", root=Path("/d"), rendered=True, unit="slide", images=3, groups=2)


def external() -> ExternalRecord:
    return ExternalRecord(
        key="t", source=SOURCE, counts={"no": 2, "yes": 2}, notes=("a sentence",), predictions="tests/x-t.csv", device="cpu",
        precision="32-true", evaluation=evaluation(), baselines={"1-NN": evaluation()}, over_colour=None,
    )  # fmt: skip


def learned(**more: Any) -> LearnedRecord:
    values: dict[str, Any] = {
        "number": 2, "name": "single_cell", "key": "k", "weights": WEIGHTS, "lineage": (1, 2), "seconds": 1.5, "parent": "p",
        "classes": ("no", "yes"), "settings": StageSettings(data=DataSettings(dataset="x", root=Path("/d"))),
        "data": DataRecord(
            dataset="x", sources=(SOURCE,), rendered=True, fingerprint="f", counts={"train": {"no": 3}}, groups={"train": 2},
            unit="slide", split="grouped", notes=("ä sentence",),
        ),
        "best_epoch": 1, "parameters": 10, "device": "cpu", "precision": "32-true", "evaluation": evaluation(),
        "baselines": {"1-NN": evaluation()}, "over_colour": OverColour(baseline="1-NN", macro_f1=Interval(0.1, NAN, NAN)),
    }  # fmt: skip
    return LearnedRecord(**values | more)


def cell() -> CellRecord:
    scores = ChainScores(
        stage="3-x", seconds=2, scores={"ece": NAN, "accuracy": 1}, detection=None, colour={}
    )
    return CellRecord(
        key="k", repeat=0, fold=1, backbone="tiny", seed=3, trained=4, tested=2, chains={"1,3": scores}
    )


def run() -> RunRecord:
    difference = Interval(0.1, NAN, NAN)
    return RunRecord(
        name="x", command="mtl run", chains={"1,2,3": ("a", "b")}, start=Path("/s"), environment={"torch": "2"},
        comparison=Comparison(first="1,2,3", second="1,3", same_start=False, accuracy=difference, macro_f1=Interval(0, -1, 1)),
    )  # fmt: skip


def plain(value: Any) -> Any:
    """NaN is not equal to itself: compare its text."""
    return json.dumps(value.model_dump(mode="json"), sort_keys=True)


@pytest.mark.parametrize(
    "record",
    [
        StageRecord(number=1, name="imagenet", key="k", weights=WEIGHTS, seconds=0.1),
        learned(),
        learned(evaluation=None, baselines={}, over_colour=None),
        learned(tests=(external(),)),
        cell(),
        run(),
    ],
    ids=["stage", "learned", "untested", "external", "cell", "run"],
)
def test_a_record_comes_back_as_it_was(tmp_path: Path, record: Record) -> None:
    path = tmp_path / "record.json"
    write_record(path, record)
    json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    again = read_stage(path) if isinstance(record, StageRecord) else read_record(path, type(record))
    assert type(again) is type(record)
    assert plain(again) == plain(record)


def test_what_is_not_defined_is_null_in_the_file_and_nan_here(tmp_path: Path) -> None:
    path = tmp_path / "stage.json"
    write_record(path, learned())
    told = json.loads(path.read_text())
    assert told["over_colour"]["macro_f1"] == {"value": 0.1, "low": None, "high": None}
    again = read_stage(path)
    assert isinstance(again, LearnedRecord)
    assert again.over_colour is not None
    assert again.evaluation is not None
    assert math.isnan(again.over_colour.macro_f1.low)
    assert again.evaluation.headline["accuracy"].value == 0.75
    write_record(path, cell())
    assert math.isnan(read_record(path, CellRecord).chains["1,3"].scores["ece"])


def test_records_do_not_change() -> None:
    with pytest.raises(ValidationError):
        learned().key = "other"


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda told: told.update(later=1), "later"),
        (lambda told: told.pop("parent"), "parent"),
        (lambda told: told["settings"].update(blur=3), "settings.blur"),
        (lambda told: told["data"].pop("fingerprint"), "data.fingerprint"),
        (lambda told: told.update(best_epoch="the last"), "best_epoch"),
        (lambda told: told["evaluation"].pop("headline"), "evaluation"),
        (lambda told: told["evaluation"].update(per_class=[{"grace": 1}]), "evaluation"),
        (lambda told: told["evaluation"].update(headline=[]), "evaluation"),
        (lambda told: told["over_colour"]["macro_f1"].update(width=1), "over_colour.macro_f1"),
    ],
)
def test_another_version_is_one_sentence_that_names_the_place(
    tmp_path: Path, change: Any, where: str
) -> None:
    path = tmp_path / "stage.json"
    write_record(path, learned())
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))
    with pytest.raises(RunError, match=f"this version of mtl, but `{where}") as caught:
        read_stage(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, None])
def test_a_file_that_is_damaged_or_missing_is_one_sentence(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "run.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ReadError, match=r"run\.json to be a JSON file"):
        read_record(path, RunRecord)


@pytest.mark.parametrize("text", ["[]", "7", "null"])
def test_json_that_is_no_record_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "stage.json"
    path.write_text(text)
    with pytest.raises(RunError, match="this version of mtl"):
        read_stage(path)
