"""What is said of a k-fold, against scikit-learn and by hand; what is pooled; the tables of paper A."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from sklearn import metrics as oracle

from mtl.comparison.tables import read_predictions
from mtl.errors import RunError
from mtl.folds.content import FoldsContent, ModelFolds, model_folds
from mtl.folds.pool import Pooled, choose, pool, write_pooled
from mtl.folds.report import folds_html, folds_markdown, write_folds
from mtl.folds.tables import model_tables, overview_tables
from mtl.report.tables import plain
from mtl.runs import Predictions
from stages.bootstrap import group_index, resample_weights

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

FAB = ("normal", "L1", "L2", "L3")
# Maaliw et al. 2022, Table IV: InceptionResNetV2, rows true.
TABLE_IV = np.array([[36, 1, 0, 0], [1, 35, 2, 0], [0, 2, 34, 1], [0, 0, 1, 37]])
HISTORY = (
    {"epoch": 0.0, "train_loss": 1.0, "train_accuracy": 0.5, "validation_loss": 1.1},
    {"epoch": 1.0, "train_loss": 0.6, "train_accuracy": 0.8},
)


def told(labels: Ints, votes: Floats, classes: tuple[str, ...] = FAB, begin: int = 0) -> Predictions:
    names = tuple(f"im/{begin + row}.jpg" for row in range(len(labels)))
    groups = tuple(f"slide {(begin + row) // 3}" for row in range(len(labels)))
    said = tuple(classes[k] for k in votes.argmax(axis=1))
    return Predictions(classes, names, tuple(classes[k] for k in labels), groups, said, votes)


def drawn(count: int, seed: int, k: int = 4) -> tuple[Ints, Floats]:
    random = np.random.default_rng(seed)
    labels = np.arange(count) % k
    powers = np.exp(random.normal(size=(count, k)) + 1.2 * np.eye(k)[labels])
    return labels, powers / powers.sum(axis=1, keepdims=True)


def model(parts: list[Predictions], resamples: int = 100) -> ModelFolds:
    histories = [HISTORY[: 1 + number % 2] for number in range(len(parts))]
    return model_folds("tiny", pool(parts), histories, augmented=True, resamples=resamples, seed=3)


def content(models: tuple[ModelFolds, ...], **changes: object) -> FoldsContent:
    environment = {"date": "2026-01-01", "mtl": "0"}
    whole = FoldsContent("1,2,3", len(models[0].folds), "all-idb1", True, "slide", models, ("A <plain> note.",), "mtl run --folds 3", environment)  # fmt: skip
    return replace(whole, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def three() -> ModelFolds:
    return model([told(*drawn(36 + 4 * fold, fold), begin=100 * fold) for fold in range(3)])


def paper() -> ModelFolds:
    """Table IV as certain predictions, dealt to five folds."""
    true, said = (axis.ravel() for axis in np.indices(TABLE_IV.shape))
    labels, votes = (np.repeat(axis, TABLE_IV.ravel()) for axis in (true, said))
    whole = told(labels, np.eye(4)[votes])
    return model([choose(whole, np.arange(fold, 150, 5)) for fold in range(5)])


def test_every_pooled_score_is_that_of_scikit_learn(three: ModelFolds) -> None:
    predictions = three.pooled.predictions
    truth, said = predictions.truth(), predictions.probabilities.argmax(axis=1)
    table = oracle.precision_recall_fscore_support(truth, said)
    for k, label in enumerate(FAB):
        for place, metric in enumerate(("precision", "recall", "f1")):
            assert three.score("class", metric, label).pooled.value == pytest.approx(table[place][k])
        specificity = oracle.recall_score(truth != k, said != k)
        assert three.score("class", "specificity", label).pooled.value == pytest.approx(specificity)
        accuracy = oracle.accuracy_score(truth == k, said == k)
        assert three.score("class", "accuracy", label).pooled.value == pytest.approx(accuracy)
        area = oracle.roc_auc_score(truth == k, predictions.probabilities[:, k])
        assert three.score("class", "auroc", label).pooled.value == pytest.approx(area)
    for kind in ("macro", "weighted"):
        average = oracle.precision_recall_fscore_support(truth, said, average=kind)
        for place, metric in enumerate(("precision", "recall", "f1")):
            found = three.score(kind, metric).pooled.value  # type: ignore[arg-type]
            assert found == pytest.approx(average[place])
    hot = np.eye(4)[truth]
    for kind in ("micro", "macro"):
        area = oracle.roc_auc_score(hot, predictions.probabilities, average=kind)
        assert three.score(kind, "auroc").pooled.value == pytest.approx(area)  # type: ignore[arg-type]
    ill, called = truth != 0, said != 0
    for metric, score in (
        ("accuracy", oracle.accuracy_score),
        ("precision", oracle.precision_score),
        ("recall", oracle.recall_score),
        ("f1", oracle.f1_score),
    ):
        assert three.score("detection", metric).pooled.value == pytest.approx(score(ill, called))


def test_folds_are_scored_by_themselves_and_their_spread_is_that_of_numpy(three: ModelFolds) -> None:
    predictions = three.pooled.predictions
    truth, said = predictions.truth(), predictions.probabilities.argmax(axis=1)
    rows = [np.flatnonzero(three.pooled.fold == fold) for fold in range(3)]
    assert [len(own) for own in rows] == [36, 40, 44] == [one.n for one in three.folds]
    f1 = [oracle.f1_score(truth[own], said[own], average="macro") for own in rows]
    found = three.score("macro", "f1")
    assert found.folds == pytest.approx(f1)
    assert (found.mean, found.sd) == pytest.approx((np.mean(f1), np.std(f1, ddof=1)))
    recall = [oracle.recall_score(truth[own] == 2, said[own] == 2) for own in rows]
    assert three.score("class", "recall", "L2").folds == pytest.approx(recall)


def test_the_interval_of_an_area_is_drawn_over_groups(three: ModelFolds) -> None:
    predictions = three.pooled.predictions
    truth = predictions.truth() == 1
    weights = resample_weights(group_index(predictions.groups, len(truth)), 100, seed=3)
    areas = [
        oracle.roc_auc_score(truth, predictions.probabilities[:, 1], sample_weight=row) for row in weights
    ]
    found = three.score("class", "auroc", "L1").pooled
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(areas, [2.5, 97.5])))


def test_table_iv_of_the_paper_comes_back_in_its_own_layout() -> None:
    found = paper()
    assert np.array_equal(found.evaluation.confusion, TABLE_IV)
    detection, classification = overview_tables(content((found,)))
    # By hand: 142 of 150 right; 112 of 113 ill ones found and 113 called ill.
    assert classification.rows[0] == ("tiny", "0.9467", "0.9467", "0.9467", "0.9467")
    assert detection.rows[0] == ("tiny", f"{148 / 150:.4f}", *[f"{112 / 113:.4f}"] * 3)
    confusion = next(table for table in model_tables(found) if "Confusion" in table.title)
    assert confusion.header[1:] == FAB
    assert confusion.rows[0] == ("normal", "36 (97.3%)", "1 (2.7%)", "0", "0")
    assert confusion.rows[2] == ("L2", "0", "2 (5.4%)", "34 (91.9%)", "1 (2.7%)")


def test_a_class_absent_from_a_fold_is_left_out_of_it_alone() -> None:
    labels, votes = drawn(40, 0)
    whole = told(labels, votes)
    no_l3, all_l3 = np.flatnonzero(labels != 3)[:15], np.flatnonzero(labels == 3)
    rest = np.setdiff1d(np.arange(40), np.concatenate([no_l3, all_l3[:5]]))
    found = model([choose(whole, rows) for rows in (no_l3, np.concatenate([rest, all_l3[:5]]))])
    assert found.absent == ((1, "L3"),)
    recall = found.score("class", "recall", "L3")
    assert np.isnan(recall.folds[0])
    assert recall.mean == recall.folds[1] == recall.pooled.value
    assert np.isnan(recall.sd)
    truth, said = labels[no_l3], votes[no_l3].argmax(axis=1)
    expected = np.mean([oracle.recall_score(truth == k, said == k) for k in range(3)])
    assert found.score("macro", "recall").folds[0] == pytest.approx(expected)
    assert "–" in plain(model_tables(found)[1])


def test_two_classes_without_a_healthy_one_have_no_detection() -> None:
    labels, votes = drawn(30, 1, 2)
    found = model([told(labels, votes, ("other", "lymphocyte")), told(labels, votes, ("other", "lymphocyte"), 50)])  # fmt: skip
    assert [table.title for table in overview_tables(content((found,)))] == [
        "Classification: 2 classes, 2-fold cross-validation"
    ]
    with pytest.raises(KeyError):
        found.score("detection", "f1")


def test_an_image_that_two_folds_tested_counts_once() -> None:
    first, second = told(*drawn(8, 0)), told(*drawn(8, 1), begin=6)
    found = pool([first, second])
    assert found.again == 2
    assert found.predictions.names == (*first.names, *second.names[2:])
    assert np.array_equal(found.predictions.probabilities[:8], first.probabilities)
    assert found.fold.tolist() == [0] * 8 + [1] * 6


def test_folds_of_other_classes_are_refused() -> None:
    with pytest.raises(RunError, match="same classes"):
        pool([told(*drawn(8, 0)), told(*drawn(8, 0, 2), ("a", "b"))])


def test_the_pooled_table_is_one_that_compare_reads(tmp_path: Path, three: ModelFolds) -> None:
    write_pooled(three.pooled, tmp_path / "p.csv")
    rows = read_predictions(tmp_path / "p.csv").rows
    predictions = three.pooled.predictions
    assert tuple(rows) == predictions.names
    for name, label, group, said, votes in zip(
        predictions.names, predictions.labels, predictions.groups, predictions.predicted, predictions.probabilities, strict=True
    ):  # fmt: skip
        assert rows[name][:3] == (label, said, group)
        assert list(rows[name][3].values()) == pytest.approx(votes)
    first = (tmp_path / "p.csv").read_text().splitlines()
    assert first[0] == "name,label,group,fold,predicted,p_normal,p_L1,p_L2,p_L3"
    assert {line.split(",")[3] for line in first[1:]} == {"1", "2", "3"}


def test_all_files_say_the_same(tmp_path: Path, three: ModelFolds) -> None:
    other = replace(three, backbone="hf-hub:a/b")
    written = write_folds(content((three, other)), tmp_path)
    assert [path.name for path in written.predictions] == [
        "predictions-tiny.csv",
        "predictions-hf-hub_a_b.csv",
    ]
    scores = (tmp_path / "scores.csv").read_text().splitlines()
    f1 = three.score("macro", "f1")
    assert any(
        line.startswith(f"tiny,macro,,f1,{f1.pooled.value:.6f},{f1.pooled.low:.6f}") for line in scores
    )
    report = json.loads((tmp_path / "report.json").read_text())
    row = next(
        one for one in report["models"][1]["scores"] if (one["over"], one["metric"]) == ("macro", "f1")
    )
    assert (row["pooled"], row["mean"], row["sd"]) == pytest.approx((f1.pooled.value, f1.mean, f1.sd))
    assert written.to_json()["report"].endswith("report.html")
    number = f"{f1.pooled.value:.4f}"
    for text in (written.to_text(), (tmp_path / "report.md").read_text(), (tmp_path / "report.html").read_text()):  # fmt: skip
        assert number in text
        assert "rendered smears, not patient data" in text.casefold()
        assert "mean ± SD" in text


@pytest.mark.parametrize("count", [2, 4, 9])
def test_the_page_is_whole_and_loads_nothing(count: int) -> None:
    classes = tuple(f"<b>{k}</b> a long class name" for k in range(count))
    parts = [told(*drawn(40, fold, count), classes, begin=50 * fold) for fold in range(2)]
    page = folds_html(content((model(parts),)))
    assert page.count("<svg") == 3
    assert not re.search(r"(src|href)=[\"'](?!data:|#)", page.split("</style>")[1])
    assert "<b>0" not in page
    assert "training (augmented images)" in page
    assert "A &lt;plain&gt; note." in page
    assert "Rendered smears, not patient data" not in folds_html(content((model(parts),), rendered=False))
    assert "&lt;b>0" in folds_markdown(content((model(parts),)))


def test_pooled_is_a_record_of_arrays_that_fit(three: ModelFolds) -> None:
    assert isinstance(three.pooled, Pooled)
    assert len(three.pooled.fold) == len(three.pooled.predictions.names) == three.evaluation.n == 120
