"""What a comparison says: attack, differences and verdicts, against scikit-learn and made-up votes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

pytest.importorskip("flwr")

from mtl.federate.compare import _judged, _loss, _model, _Raw
from mtl.federate.figures import privacy_figure, rounds_figure
from mtl.federate.settings import FederatedExperiment
from mtl.loading import load_settings
from segmentation.files import write_json
from stages.data.sample import Sample
from stages.learners.model import MODEL_FILE

CLASSES = ("a", "b", "c")
COUNT, TRAIN = 90, 54


def task() -> Any:
    labels = np.arange(COUNT) % 3
    return SimpleNamespace(
        labels=labels, classes=CLASSES, rows={"train": np.arange(TRAIN), "test": np.arange(TRAIN, COUNT)}
    )


def votes(labels: np.ndarray, right: float, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    said = np.where(random.random(len(labels)) < right, labels, (labels + 1) % 3)
    sure = random.uniform(0.5, 0.95, len(labels))
    table = np.repeat((1 - sure)[:, None] / 2, 3, axis=1)
    table[np.arange(len(labels)), said] = sure
    return table


def raw(name: str, right: float, seed: int = 0, epsilon: float | None = None) -> _Raw:
    known = task()
    test, train = (votes(known.labels[known.rows[part]], right, seed) for part in ("test", "train"))
    return _Raw(name, "noisy" if epsilon else "open", epsilon, test, train, 1.5)


def judged(*systems: _Raw) -> Any:
    samples = [
        Sample(Path(f"{row}.png"), f"{row}.png", CLASSES[row % 3], "x", group=f"g{row // 3}")
        for row in range(COUNT)
    ]
    experiment = load_settings(
        FederatedExperiment, "default", {"against": "none", "stages": "1,3"}, ["evaluation.resamples=200"]
    )
    return _judged(systems, task(), SimpleNamespace(samples=samples), experiment)  # type: ignore[arg-type]


def test_attack_and_scores_are_scikit_learns() -> None:
    compared = judged(raw("federated", 0.6), raw("alone", 0.5, 1), raw("centralised", 0.8, 2))
    known = task()
    test, train = known.labels[TRAIN:], known.labels[:TRAIN]
    for one in (raw("federated", 0.6), raw("alone", 0.5, 1), raw("centralised", 0.8, 2)):
        system = compared.named(one.name)
        losses = np.concatenate([_loss(one.train, train), _loss(one.test, test)])
        expected = roc_auc_score(np.repeat([1, 0], [TRAIN, COUNT - TRAIN]), -losses)
        assert system.attack.value == pytest.approx(expected)
        assert system.attack.low <= system.attack.value <= system.attack.high
        found = system.evaluation.headline["macro_f1"].value
        assert found == pytest.approx(f1_score(test, one.test.argmax(axis=1), average="macro"))


def test_differences_are_to_the_federation_and_corrected() -> None:
    compared = judged(
        raw("federated", 0.6), raw("alone", 0.6), raw("centralised", 1.0, 2), raw("worse", 0.1, 3)
    )
    ours = compared.named("federated")
    assert (ours.lead, ours.test, ours.p) == (None, None, None)
    same = compared.named("alone")
    assert same.lead.value == same.lead.low == same.lead.high == 0
    for name in ("centralised", "worse"):
        one = compared.named(name)
        apart = one.evaluation.headline["macro_f1"].value - ours.evaluation.headline["macro_f1"].value
        assert one.lead.value == pytest.approx(apart)
        assert one.p >= one.test.p
    assert compared.named("centralised").lead.low > 0
    assert compared.named("worse").lead.high < 0


def test_verdicts_name_who_loses_and_what_is_not_shown() -> None:
    alone, central = judged(raw("federated", 0.6), raw("alone", 0.6), raw("centralised", 1.0, 2)).verdicts()
    assert alone.startswith("Federated equals local: macro-F1")
    assert alone.endswith("of each client alone.")
    assert central.startswith("Federated loses to centralised: macro-F1")
    assert central.endswith("1.000 of centralised training.")
    told = judged(raw("federated", 0.60), raw("alone", 0.60, 7), raw("centralised", 0.1, 2))
    lead = told.named("alone").lead
    assert lead.low < 0 < lead.high
    assert told.verdicts()[0].endswith("a difference that is not shown: its interval holds 0.")
    assert told.verdicts()[1].startswith("Federated beats centralised")


def test_the_table_is_plain_and_keeps_its_order() -> None:
    compared = judged(
        raw("federated", 0.6),
        raw("alone", 0.5, 1),
        raw("centralised", 0.8, 2),
        raw("sgd, epsilon 2", 0.4, 3, 2.0),
    )
    rows = compared.to_json()
    assert [row["name"] for row in rows] == ["federated", "alone", "centralised", "sgd, epsilon 2"]
    assert [row["epsilon"] for row in rows] == [None, None, None, 2.0]
    assert rows[0]["evaluation"]["n"] == COUNT - TRAIN
    lines = compared.sentences()
    assert [line.split(":")[0] for line in lines[:4]] == [row["name"] for row in rows]
    assert "membership inference AUROC" in lines[0]
    assert "centralised" in privacy_figure(compared)


def test_too_few_groups_are_said() -> None:
    compared = judged(raw("federated", 0.6), raw("alone", 0.5, 1), raw("centralised", 0.8, 2))
    assert compared.caution
    assert compared.caution in compared.sentences()


def test_a_finished_system_is_not_trained_again(tmp_path: Path) -> None:
    (tmp_path / MODEL_FILE).write_text(
        "{}"
    )  # its seconds are not there: the training was stopped behind the model
    made: list[Path] = []
    _, seconds = _model(tmp_path, made.append)
    assert made == [tmp_path]
    assert seconds >= 0
    write_json(tmp_path / "seconds.json", 3.5)
    with pytest.raises(Exception, match=MODEL_FILE):  # now it is read, not trained
        _model(tmp_path, made.append)
    assert made == [tmp_path]


def test_a_curve_without_validation_is_drawn() -> None:
    bare = rounds_figure([{"round": 1.0, "train_loss": 0.5}, {"round": 2.0, "train_loss": 0.4}], 2)
    full = rounds_figure(
        [{"round": 1.0, "train_loss": 0.5, "validation_loss": 0.6, "validation_macro_f1": 0.5}], 1
    )
    assert "macro F1" not in bare
    assert "macro F1" in full
