from __future__ import annotations

import json
import time
from random import Random

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle
from torchmetrics.functional.classification import multiclass_calibration_error

from stages.bootstrap import bootstrap, group_index, resample_weights
from stages.errors import DataError
from stages.metrics import Evaluation, auroc_intervals, calibration_error, evaluate, paired_difference

Labels = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Maaliw et al. 2022, Table IV: InceptionResNetV2 on normal, L1, L2, L3; rows true.
TABLE_IV = np.array([[36, 1, 0, 0], [1, 35, 2, 0], [0, 2, 34, 1], [0, 0, 1, 37]])
FAB = ("normal", "L1", "L2", "L3")


def drawn(n: int, k: int, seed: int = 0, *, ties: bool = False, skill: float = 1.5) -> tuple[Labels, Floats]:
    """Labels and probabilities that know something about them."""
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(k), random.integers(0, k, n - k)])
    logits = random.normal(size=(n, k)) + skill * np.eye(k)[labels]
    if ties:
        logits = np.round(logits)
    powers = np.exp(logits)
    return labels, powers / powers.sum(axis=1, keepdims=True)


def certain(confusion: npt.NDArray[np.int64]) -> tuple[Labels, Floats]:
    """Predictions without doubt that give this confusion matrix."""
    true, said = (axis.ravel() for axis in np.indices(confusion.shape))
    times = confusion.ravel()
    return np.repeat(true, times), np.eye(len(confusion))[np.repeat(said, times)]


def names(k: int) -> tuple[str, ...]:
    return tuple(f"class {index}" for index in range(k))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("k", [2, 3, 8])
def test_every_score_agrees_with_scikit_learn(k: int, ties: bool) -> None:
    labels, probabilities = drawn(300, k, seed=k, ties=ties)
    found = evaluate(labels, probabilities, None, names(k), resamples=10)
    said = probabilities.argmax(axis=1)
    hot = np.eye(k)[labels]
    expected = {
        "accuracy": oracle.accuracy_score(labels, said),
        "balanced_accuracy": oracle.balanced_accuracy_score(labels, said),
        "macro_f1": oracle.f1_score(labels, said, average="macro"),
        "weighted_f1": oracle.f1_score(labels, said, average="weighted"),
        "macro_auroc": np.mean([oracle.roc_auc_score(hot[:, c], probabilities[:, c]) for c in range(k)]),
        "micro_auroc": oracle.roc_auc_score(hot.ravel(), probabilities.ravel()),
        "macro_auprc": oracle.average_precision_score(hot, probabilities, average="macro"),
    }
    for name, value in expected.items():
        assert found.headline[name].value == pytest.approx(value, abs=1e-12), name
    assert np.array_equal(found.confusion, oracle.confusion_matrix(labels, said))
    precision, recall, f1, support = oracle.precision_recall_fscore_support(labels, said)
    for c, row in enumerate(found.per_class):
        assert (row.label, row.n) == (f"class {c}", support[c])
        assert (row.precision, row.recall, row.f1) == pytest.approx((precision[c], recall[c], f1[c]))
        assert row.specificity == pytest.approx(oracle.recall_score(labels != c, said != c))
        assert row.accuracy == pytest.approx(oracle.accuracy_score(labels == c, said == c))
        assert row.auroc == pytest.approx(oracle.roc_auc_score(labels == c, probabilities[:, c]))
        assert row.auprc == pytest.approx(oracle.average_precision_score(labels == c, probabilities[:, c]))


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_calibration_error_agrees_with_torchmetrics(k: int, seed: int) -> None:
    labels, probabilities = drawn(400, k, seed)
    expected = multiclass_calibration_error(
        torch.tensor(probabilities), torch.tensor(labels), num_classes=k, n_bins=15, norm="l1"
    )
    assert calibration_error(labels, probabilities)[0] == pytest.approx(expected.item(), abs=1e-6)


def test_weights_count_an_image_as_often_as_repeating_it() -> None:
    labels, probabilities = drawn(60, 3, ties=True)
    times = np.random.default_rng(0).integers(0, 4, 60)
    again = np.repeat(np.arange(60), times)
    weighted = calibration_error(labels, probabilities, times[None].astype(float))
    assert weighted[0] == pytest.approx(calibration_error(labels[again], probabilities[again])[0])


def test_table_iv_of_the_paper_worked_by_hand() -> None:
    labels, probabilities = certain(TABLE_IV)
    found = evaluate(labels, probabilities, None, FAB, resamples=200)
    assert np.array_equal(found.confusion, TABLE_IV)
    assert (found.n, found.groups) == (150, 150)
    assert found.headline["accuracy"].value == pytest.approx(142 / 150)
    recalls = [36 / 37, 35 / 38, 34 / 37, 37 / 38]
    f1 = [2 * 36 / 74, 2 * 35 / 76, 2 * 34 / 74, 2 * 37 / 76]
    assert found.headline["balanced_accuracy"].value == pytest.approx(np.mean(recalls))
    assert found.headline["macro_f1"].value == pytest.approx(np.mean(f1))
    l1 = found.per_class[1]
    assert (l1.precision, l1.recall, l1.specificity) == pytest.approx((35 / 38, 35 / 38, 109 / 112))
    # Certain and wrong 8 times in 150: all in the last bin, which promises 1 and keeps 142 / 150.
    assert found.headline["ece"].value == pytest.approx(8 / 150)


def test_a_class_without_test_images_is_left_out_of_the_macro_average() -> None:
    labels, probabilities = drawn(90, 3)
    padded = np.column_stack([probabilities, np.zeros(90)])
    whole = evaluate(labels, probabilities, None, names(3), resamples=50)
    found = evaluate(labels, padded, None, names(4), resamples=50)
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "macro_auroc", "macro_auprc"):
        assert found.headline[name] == whole.headline[name]
    absent = found.per_class[3]
    assert absent.n == 0
    assert np.isnan([absent.precision, absent.recall, absent.specificity, absent.f1, absent.auroc]).all()


def test_a_class_that_is_never_predicted_has_precision_0_and_counts() -> None:
    labels = np.array([0, 0, 1, 1])
    found = evaluate(labels, np.tile([0.9, 0.1], (4, 1)), None, names(2), resamples=20)
    assert (found.per_class[1].precision, found.per_class[1].f1) == (0, 0)
    assert found.headline["macro_f1"].value == pytest.approx((2 / 3 + 0) / 2)
    assert found.headline["macro_auroc"].value == 0.5


def test_a_test_part_of_one_class_has_no_roc() -> None:
    found = evaluate(np.zeros(5, int), np.tile([0.8, 0.2], (5, 1)), None, names(2), resamples=20)
    assert np.isnan(found.headline["macro_auroc"].value)
    assert np.isnan(found.per_class[0].specificity)
    assert found.headline["accuracy"].value == 1


def test_json_has_null_for_what_is_not_defined_and_comes_back_the_same() -> None:
    found = evaluate(np.zeros(5, int), np.tile([0.8, 0.2], (5, 1)), None, names(2), resamples=20)
    text = json.dumps(found.to_json(), allow_nan=False)
    assert '"macro_auroc": {"value": null' in text
    again = Evaluation.from_json(json.loads(text))
    assert json.dumps(again.to_json()) == text
    assert isinstance(again.confusion[0], tuple)
    labels, probabilities = drawn(40, 3)
    whole = evaluate(labels, probabilities, None, names(3), resamples=20)
    assert Evaluation.from_json(json.loads(json.dumps(whole.to_json()))) == whole


probable = st.integers(2, 5).flatmap(
    lambda k: st.lists(
        st.tuples(
            st.integers(0, k - 1), st.lists(st.integers(1, 9), min_size=k, max_size=k), st.integers(0, 6)
        ),
        min_size=1,
        max_size=25,
    )
)


@settings(max_examples=60, deadline=None)
@given(probable, st.randoms(use_true_random=False))
def test_scores_are_bounded_and_do_not_depend_on_the_order_of_images(
    rows: list[tuple[int, list[int], int]], shuffler: Random
) -> None:
    def scored(entries: list[tuple[int, list[int], int]]) -> Evaluation:
        powers = np.array([entry[1] for entry in entries], float)
        return evaluate(
            np.array([entry[0] for entry in entries]),
            powers / powers.sum(axis=1, keepdims=True),
            [f"slide {entry[2]}" for entry in entries],
            names(powers.shape[1]),
            resamples=20,
        )

    found = scored(rows)
    for interval in found.headline.values():
        for value in (interval.value, interval.low, interval.high):
            assert np.isnan(value) or -1e-12 <= value <= 1 + 1e-12
        assert np.isnan(interval.low) or interval.low <= interval.high
    mixed = list(rows)
    shuffler.shuffle(mixed)
    other = scored(mixed)
    assert other.confusion == found.confusion
    for name, interval in found.headline.items():
        expected = (interval.value, interval.low, interval.high)
        again = other.headline[name]
        assert (again.value, again.low, again.high) == pytest.approx(expected, nan_ok=True)


def test_renaming_classes_does_not_change_a_score() -> None:
    labels, probabilities = drawn(200, 4)
    order = np.array([2, 0, 3, 1])
    first = evaluate(labels, probabilities, None, names(4), resamples=30)
    other = evaluate(np.argsort(order)[labels], probabilities[:, order], None, names(4), resamples=30)
    for name, interval in first.headline.items():
        assert other.headline[name].value == pytest.approx(interval.value)


def test_whole_groups_are_drawn() -> None:
    index = group_index(["b", "a", "b", "c", "a"], 5)
    weights = resample_weights(index, 500, seed=0)
    assert weights.shape == (500, 5)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert weights[:, 0].mean() == pytest.approx(1, abs=0.1)


def test_the_interval_is_wider_where_images_of_a_group_stand_or_fall_together() -> None:
    labels = np.zeros(200, int)
    right = np.repeat(np.random.default_rng(0).random(20) < 0.8, 10)
    probabilities = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])
    groups = [f"patient {index // 10}" for index in range(200)]
    alone = evaluate(labels, probabilities, None, names(2)).headline["accuracy"]
    grouped = evaluate(labels, probabilities, groups, names(2)).headline["accuracy"]
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)
    assert grouped.value == alone.value


def test_the_interval_covers_the_truth_about_95_times_in_100() -> None:
    # 40 patients of 1 to 9 images; the chance of being right differs between patients and averages 0.8 over images.
    random = np.random.default_rng(0)
    covered = 0
    for trial in range(300):
        sizes = random.integers(1, 10, 40)
        index = np.repeat(np.arange(40), sizes)
        right = random.random(len(index)) < random.beta(8, 2, 40)[index]
        interval = bootstrap(lambda w, r=right: (w @ r) / w.sum(axis=1), index, 400, seed=trial)  # type: ignore[misc]
        covered += interval.low <= 0.8 <= interval.high
    assert 0.90 <= covered / 300 <= 0.98


def test_the_same_seed_gives_the_same_interval() -> None:
    labels, probabilities = drawn(80, 3)
    one, same, other = (evaluate(labels, probabilities, None, names(3), seed=seed) for seed in (0, 0, 1))
    assert one == same
    assert one.headline["accuracy"].low <= one.headline["accuracy"].value <= one.headline["accuracy"].high
    assert one.headline != other.headline


def test_the_paired_difference_is_the_first_minus_the_second_on_the_same_images() -> None:
    labels, weak = drawn(200, 3, skill=0.7)
    _, strong = drawn(200, 3, skill=2.5)
    groups = [str(index // 4) for index in range(200)]
    for metric in ("accuracy", "macro_f1", "macro_auroc"):
        found = paired_difference(labels, strong, weak, groups, metric, resamples=300)
        scores = [
            evaluate(labels, p, None, names(3), resamples=5).headline[metric].value for p in (strong, weak)
        ]
        assert found.value == pytest.approx(scores[0] - scores[1])
        assert 0 < found.low < found.value < found.high
        turned = paired_difference(labels, weak, strong, groups, metric, resamples=300)
        assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))
    none = paired_difference(labels, weak, weak, groups)
    assert (none.value, none.low, none.high) == (0, 0, 0)


def test_pairing_is_narrower_than_two_separate_intervals() -> None:
    labels, first = drawn(300, 3)
    second = 0.9 * first + 0.1 / 3
    second[:20] = second[:20, ::-1]
    apart = [evaluate(labels, p, None, names(3)).headline["accuracy"] for p in (first, second)]
    paired = paired_difference(labels, first, second, None)
    assert paired.high - paired.low < min(one.high - one.low for one in apart)


BAD = [
    ([0, 1], [[0.5, 0.5]], None, r"`probabilities` to be \(2, 2\)"),
    ([0], [[0.2, 0.3, 0.5]], None, r"`probabilities` to be \(1, 2\)"),
    ([], np.zeros((0, 2)), None, "`probabilities`"),
    ([0, 2], [[0.5, 0.5], [0.5, 0.5]], None, "`labels` to be from 0 to 1, but got 0 to 2"),
    ([-1], [[0.5, 0.5]], None, "`labels`"),
    ([0], [[0.6, 0.5]], None, "sum to 1"),
    ([0], [[1.5, -0.5]], None, "not negative"),
    ([0], [[np.nan, 1]], None, "finite"),
    ([0], [[0.5, 0.5]], ["a", "b"], "`groups` to have 1 entries, but got 2"),
]


@pytest.mark.parametrize(("labels", "probabilities", "groups", "said"), BAD)
def test_what_cannot_be_scored_is_refused_in_a_sentence(
    labels: list[int], probabilities: list[list[float]], groups: list[str] | None, said: str
) -> None:
    with pytest.raises(DataError, match=said) as error:
        evaluate(np.array(labels, int), np.array(probabilities, float), groups, names(2))
    assert "; do " in str(error.value)


def test_an_unknown_metric_lists_the_known_ones() -> None:
    labels, probabilities = drawn(20, 2)
    with pytest.raises(DataError, match=r"macro_f1.*'acuracy'"):
        paired_difference(labels, probabilities, probabilities, None, "acuracy")


def test_a_thousand_resamples_of_a_thousand_images_take_seconds() -> None:
    labels, probabilities = drawn(1000, 4)
    begun = time.process_time()
    evaluate(labels, probabilities, [str(index // 10) for index in range(1000)], names(4))
    assert time.process_time() - begun < 10  # about 2 s on an idle core; shared machines stall


def test_the_area_of_every_class_has_the_interval_of_resampled_groups() -> None:
    labels, probabilities = drawn(60, 3, seed=4, ties=True)
    groups = [f"slide {index // 3}" for index in range(60)]
    found = auroc_intervals(labels, probabilities, groups, resamples=50, seed=2)
    weights = resample_weights(group_index(groups, 60), 50, seed=2)
    for k, interval in enumerate(found):
        areas = [oracle.roc_auc_score(labels == k, probabilities[:, k], sample_weight=row) for row in weights]
        low, high = np.percentile(areas, [2.5, 97.5])
        assert interval.value == pytest.approx(oracle.roc_auc_score(labels == k, probabilities[:, k]))
        assert (interval.low, interval.high) == pytest.approx((low, high))


@pytest.mark.parametrize("grouped", [False, True])
def test_an_interval_is_that_of_scoring_every_resample_written_out(grouped: bool) -> None:
    labels, probabilities = drawn(45, 4, seed=3, ties=True)
    groups = [f"slide {index // 3}" for index in range(45)] if grouped else None
    found = evaluate(labels, probabilities, groups, names(4), resamples=40, seed=5)
    rows = [
        np.repeat(np.arange(45), times.astype(int))
        for times in resample_weights(group_index(groups, 45), 40, seed=5)
    ]
    written = [
        evaluate(labels[row], probabilities[row], None, names(4), resamples=1).headline for row in rows
    ]
    for name, interval in found.headline.items():
        low, high = np.percentile([one[name].value for one in written], [2.5, 97.5])
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-9), name
