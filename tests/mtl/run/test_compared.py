"""Two chains are compared on external tests as on the test part, in run.json, terminal and report."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import noise_folder, tiny_experiment
from sklearn.metrics import f1_score

from mtl.records import Comparison
from mtl.run.compared import comparison_sentence
from mtl.run.execute import execute
from mtl.runs import RunFolder
from stages.metrics import Interval

LABELS = ("normal", "L1", "L2", "L3")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noise_folder(tmp_path_factory.mktemp("elsewhere"), LABELS, 5)


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.filterwarnings("ignore:.*sklearn.utils.parallel.delayed:UserWarning")
def test_external_tests_compare_the_chains_and_show_their_mistakes(
    rendered: Path, elsewhere: Path, tiny_run: Path, tmp_path: Path
) -> None:
    again = Path(shutil.copytree(tiny_run, tmp_path / "runs" / "tiny"))
    tests = [{"dataset": "folder", "root": str(elsewhere)}]
    result = execute(tiny_experiment(rendered, tests=tests), again.parent, "mtl run")
    record = RunFolder(again, make=False).record()
    (told,) = record.external
    assert (told.first, told.second, told.test) == ("1,2,3", "1,3", "folder")
    # The oracle is the tables.
    tables = []
    for chain in ("1,2,3", "1,3"):
        folder = again / "stages" / record.chains[chain][-1]
        (test,) = json.loads((folder / "stage.json").read_text())["tests"]
        tables.append(_read(folder / test["predictions"]))
    right = [np.mean([row["label"] == row["predicted"] for row in table]) for table in tables]
    assert told.accuracy.value == pytest.approx(right[0] - right[1])
    scores = [
        f1_score([row["label"] for row in table], [row["predicted"] for row in table],
                 average="macro", labels=LABELS, zero_division=0)
        for table in tables
    ]  # fmt: skip
    assert told.macro_f1.value == pytest.approx(scores[0] - scores[1])
    assert told.macro_f1.low <= told.macro_f1.value <= told.macro_f1.high

    page, text = result.report.read_text("utf-8"), result.to_text()
    sentence = "1,2,3 against 1,3 on the same images of the external test folder: "
    assert sentence in text
    assert sentence in page
    assert "1,2,3 against 1,3 on the same images: " in text
    external = page[page.index("<h2>External tests</h2>") :]
    external = external[: external.index("<h2>", 10)]
    mistakes = [sum(row["label"] != row["predicted"] for row in table) for table in tables]
    assert external.count("<figure>") == sum(min(12, count) for count in mistakes) > 0
    assert external.count("data:image/jpeg;base64,") == external.count("<figure>")
    assert "image not found" not in external


@pytest.mark.parametrize(
    ("value", "low", "high", "said"),
    [(0.05, 0.01, 0.1, "1,2,3 is ahead"), (-0.05, -0.1, -0.01, "1,3 is ahead"), (0.05, -0.1, 0.1, "no difference")],
)  # fmt: skip
def test_the_sentence_says_who_is_ahead(value: float, low: float, high: float, said: str) -> None:
    reach = Interval(value, low, high)
    told = Comparison(
        first="1,2,3", second="1,3", same_start=False, accuracy=reach, macro_f1=reach, test="wbc"
    )
    sentence = comparison_sentence(told)
    assert sentence is not None
    assert said in sentence
    assert "the external test wbc" in sentence
    assert comparison_sentence(told.model_copy(update={"same_start": True})) is None
    assert comparison_sentence(None) is None
