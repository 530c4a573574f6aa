"""Rates of a confusion matrix: those of scikit-learn, and the tables that paper A prints."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from stages.confusion import RATES, average_rates, class_rates, one_against_rest

# Maaliw et al. 2022, Table IV: normal, L1, L2, L3, rows true; and what their Table III prints of the same networks.
TABLE_IV = {
    "InceptionResNetV2": [[36, 1, 0, 0], [1, 35, 2, 0], [0, 2, 34, 1], [0, 0, 1, 37]],
    "Xception": [[34, 3, 0, 0], [3, 33, 2, 0], [0, 2, 34, 1], [0, 0, 4, 34]],
    "InceptionV3": [[33, 4, 0, 0], [3, 32, 3, 0], [0, 2, 33, 2], [0, 0, 5, 33]],
}
TABLE_III = {
    "InceptionResNetV2": (0.9467, 0.9467, 0.9466, 0.9468),
    "Xception": (0.9000, 0.9024, 0.9000, 0.9005),
    "InceptionV3": (0.8733, 0.8766, 0.8736, 0.8741),
}


def images(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    true, said = (axis.ravel() for axis in np.indices(confusion.shape))
    return np.repeat(true, confusion.ravel()), np.repeat(said, confusion.ravel())


@pytest.mark.parametrize("network", TABLE_IV)
def test_table_iv_of_the_paper_gives_its_table_iii(network: str) -> None:
    confusion = np.array(TABLE_IV[network])
    macro, weighted = (average_rates(confusion)[kind] for kind in ("macro", "weighted"))
    printed = TABLE_III[network]
    assert confusion.trace() / confusion.sum() == pytest.approx(printed[0], abs=5e-5)
    # Xception's precision and recall are the weighted averages, InceptionV3's the macro ones; the best row is rounded loosely.
    for name, value in zip(("precision", "recall", "f1"), printed[1:], strict=True):
        found = weighted[name] if network == "Xception" else macro[name]
        assert found == pytest.approx(value, abs=2e-4 if network == "InceptionResNetV2" else 5e-5), name
    assert weighted["recall"] == pytest.approx(confusion.trace() / confusion.sum())


def test_one_class_of_table_iv_worked_by_hand() -> None:
    confusion = np.array(TABLE_IV["InceptionResNetV2"])
    rates = class_rates(confusion)
    # L2: 34 found, 3 missed, 3 called so that are not, 110 of all others not called so.
    by_hand = {"precision": 34 / 37, "recall": 34 / 37, "specificity": 110 / 113, "f1": 34 / 37, "accuracy": 144 / 150}  # fmt: skip
    assert set(by_hand) == set(RATES)
    for name, value in by_hand.items():
        assert rates[name][2] == pytest.approx(value), name
    assert one_against_rest(confusion, 2).tolist() == [[34, 3], [3, 110]]


counts = st.integers(2, 6).flatmap(
    lambda k: st.lists(st.lists(st.integers(0, 9), min_size=k, max_size=k), min_size=k, max_size=k)
)


@settings(deadline=None, max_examples=60)
@given(counts)
def test_every_rate_is_that_of_scikit_learn(table: list[list[int]]) -> None:
    confusion = np.array(table)
    np.fill_diagonal(confusion, confusion.diagonal() + 1)  # every class has an image
    true, said = images(confusion)
    rates, averages = class_rates(confusion), average_rates(confusion)
    for k in range(len(confusion)):
        own, called = true == k, said == k
        expected = {
            "precision": oracle.precision_score(own, called, zero_division=0),
            "recall": oracle.recall_score(own, called),
            "specificity": oracle.recall_score(~own, ~called),
            "f1": oracle.f1_score(own, called),
            "accuracy": oracle.accuracy_score(own, called),
        }
        assert {name: rates[name][k] for name in RATES} == pytest.approx(expected)
        assert np.array_equal(
            one_against_rest(confusion, k), oracle.confusion_matrix(own, called, labels=[True, False])
        )
    for kind in ("macro", "weighted"):
        found = oracle.precision_recall_fscore_support(true, said, average=kind, zero_division=0)
        assert [averages[kind][name] for name in ("precision", "recall", "f1")] == pytest.approx(found[:3])
    assert averages["weighted"]["recall"] == pytest.approx(oracle.accuracy_score(true, said))
    assert averages["macro"]["recall"] == pytest.approx(oracle.balanced_accuracy_score(true, said))


def test_a_class_without_images_is_left_out_and_one_never_predicted_counts() -> None:
    confusion = np.array([[4, 0, 0], [2, 0, 0], [0, 0, 0]])
    rates, macro = class_rates(confusion), average_rates(confusion)["macro"]
    assert all(np.isnan(rates[name][2]) for name in RATES)
    assert (rates["precision"][1], rates["f1"][1]) == (0, 0)
    assert macro["recall"] == pytest.approx((1 + 0) / 2)
    assert macro["f1"] == pytest.approx((2 * 4 / (4 + 6) + 0) / 2)
    alone = class_rates(np.array([[3, 0], [0, 0]]))
    assert np.isnan(alone["specificity"][0])
    assert alone["accuracy"][0] == 1
