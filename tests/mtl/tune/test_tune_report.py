"""The report of a study, from trials that took no time."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import optuna
import pytest

from mtl.config import load_config
from mtl.loading import load_settings
from mtl.progress import Reporter
from mtl.tune.report import RENDERED, write_study_report
from mtl.tune.settings import TuneSettings
from mtl.tune.space import suggest
from mtl.tune.study import open_study
from mtl.tune.worker import work


def report(folder: Path, trials: int, rendered: bool, **given: Any) -> str:
    plan = {"trials": trials, "sampler": "random", "pruner": "none", "storage": str(folder / "s.log")} | given
    settings = load_settings(TuneSettings, "default", {f"tune.{key}": value for key, value in plan.items()})
    experiment, resolved = settings.experiment(), settings.plan()
    study = open_study(folder, resolved, 0)
    study.set_user_attr(RENDERED, rendered)

    def score(trial: optuna.Trial, *_: object) -> tuple[tuple[float, ...], float]:
        values = suggest(trial, resolved.space)
        rate, dropout = values["multi_cell.train.learning_rate"], values["multi_cell.head.dropout"]
        return (0.8 - abs(math.log10(rate) + 3) / 10 - dropout / 10, dropout)[: len(resolved.metrics)], 0.1

    work(study, resolved, score, Reporter(quiet=True))
    write_study_report(study, resolved, experiment, folder)
    return (folder / "report.html").read_text()


@pytest.fixture(autouse=True)
def _style() -> Iterator[None]:
    """Optuna's plots set the style of all figures; ours must not."""
    before = dict(mpl.rcParams)
    yield
    after = dict(mpl.rcParams)
    assert {key: after[key] for key in after if key != "backend"} == {
        key: before[key] for key in before if key != "backend"
    }


def test_ten_trials_have_importances(tmp_path: Path) -> None:
    page = report(tmp_path, 10, rendered=True)
    assert "<h2>Importances (fANOVA)" in page
    assert "No importances" not in page
    assert "Rendered smears, not patient data" in page
    assert "10 of 10 trials done: 10 done" in page
    pictures = re.findall(r'<h2>([^<]+)</h2>\s*<div class="wide"><svg role="img" aria-label="([^"]+)"', page)
    assert [title for title, _ in pictures][-2:] == ["Parallel coordinates", "Slice"]
    assert dict(pictures)["History"] == "macro f1 of 10 trials that are done, and the best so far"
    assert len(pictures) == page.count("<svg")
    assert f"mtl run --config {tmp_path / 'best.yaml'}" in page
    assert load_config(str(tmp_path / "best.yaml")).name == "default-tuned"


def test_few_trials_have_a_sentence_in_place_of_importances_and_no_badge_on_real_data(tmp_path: Path) -> None:
    page = report(tmp_path, 9, rendered=False)
    assert "<h2>Importances" not in page
    assert "No importances (fANOVA): 9 trials are done, and fewer than 10" in page
    assert "Rendered" not in page


def test_two_metrics_have_a_front_and_importances_of_the_first(tmp_path: Path) -> None:
    page = report(tmp_path, 10, rendered=False, metrics="accuracy,ece")
    assert "<h2>Pareto front" in page
    assert "<h2>Importances" in page
