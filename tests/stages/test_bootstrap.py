"""The bootstrap over groups against closed forms and SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as oracle

from stages.bootstrap import bootstrap, group_index, interval_of, resample_weights
from stages.metrics import calibration_error, evaluate, paired_difference

GROUPS = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=30)


def mean_of(values: np.ndarray):  # noqa: ANN201 - a closure of the shape that `bootstrap` takes
    return lambda weights: weights @ values / weights.sum(axis=1)


@given(GROUPS)
def test_groups_are_numbered_by_name(groups: list[str]) -> None:
    index = group_index(groups, len(groups))
    names = sorted(set(groups))
    assert [names[number] for number in index] == groups
    np.testing.assert_array_equal(group_index(None, len(groups)), np.arange(len(groups)))


@given(GROUPS, st.integers(1, 50), st.integers(0, 99))
def test_whole_groups_are_drawn_as_many_as_there_are(groups: list[str], resamples: int, seed: int) -> None:
    index = group_index(groups, len(groups))
    weights = resample_weights(index, resamples, seed)
    assert weights.shape == (resamples, len(groups))
    count = int(index.max()) + 1
    for row in weights:
        per_group = [set(row[index == number]) for number in range(count)]
        assert all(len(found) == 1 for found in per_group)  # a group's members are drawn together
        assert sum(found.pop() for found in per_group) == count


def test_draws_follow_the_multinomial() -> None:
    weights = resample_weights(np.arange(8), 40_000, 0)
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.02)
    np.testing.assert_allclose(weights.var(axis=0), 7 / 8, atol=0.03)
    covariance = np.cov(weights[:, 0], weights[:, 1])[0, 1]
    assert covariance == pytest.approx(-1 / 8, abs=0.02)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 999))
def test_the_interval_of_a_mean_is_the_normal_one(seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=200)
    found = bootstrap(mean_of(values), np.arange(200), 4000, seed)
    error = values.std() / math.sqrt(200)
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.25 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.25 * error)


def test_a_score_that_is_no_mean_has_scipys_percentiles() -> None:
    values = np.random.default_rng(1).gamma(2.0, size=80)

    def spread(weights: np.ndarray) -> np.ndarray:
        total = weights.sum(axis=1)
        middle = weights @ values / total
        return np.sqrt(weights @ values**2 / total - middle**2)

    found = bootstrap(spread, np.arange(80), 4000, 0)
    theirs = stats.bootstrap((values,), np.std, n_resamples=4000, method="percentile", random_state=0)
    low, high = theirs.confidence_interval
    assert found.value == pytest.approx(values.std())
    assert found.low == pytest.approx(low, abs=0.08 * (high - low))
    assert found.high == pytest.approx(high, abs=0.08 * (high - low))


@pytest.mark.parametrize("copies", [2, 5])
def test_copies_in_one_group_make_no_interval_narrower(copies: int) -> None:
    values = np.random.default_rng(2).normal(size=60)
    alone = bootstrap(mean_of(values), np.arange(60), 2000, 0)
    grouped = bootstrap(mean_of(np.repeat(values, copies)), np.repeat(np.arange(60), copies), 2000, 0)
    assert (grouped.low, grouped.high) == pytest.approx((alone.low, alone.high))
    apart = bootstrap(mean_of(np.repeat(values, copies)), np.arange(60 * copies), 2000, 0)
    ratio = (alone.high - alone.low) / (apart.high - apart.low)
    assert ratio == pytest.approx(math.sqrt(copies), rel=0.1)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=50), st.integers(0, 20))
def test_undefined_resamples_are_left_out(values: list[float], holes: int) -> None:
    finite = np.array(values)
    found = interval_of(0.5, np.concatenate([finite, np.full(holes, np.nan)]))
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(finite, [2.5, 97.5])))


def test_what_is_not_defined_has_no_interval() -> None:
    for value, resampled in ((math.nan, np.ones(5)), (1.0, np.full(5, np.nan)), (1.0, np.zeros(0))):
        found = interval_of(value, resampled)
        assert math.isnan(found.low)
        assert math.isnan(found.high)


# --- scores under weights --------------------------------------------------------------------------------------------


def votes(seed: int, count: int = 60, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    labels[:classes] = np.arange(classes)
    said = random.dirichlet(np.ones(classes), count) + 0.5 * np.eye(classes)[labels]
    return labels, said / said.sum(axis=1, keepdims=True)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 999), st.integers(2, 4))
def test_headlines_are_scikit_learns(seed: int, classes: int) -> None:
    labels, said = votes(seed, classes=classes)
    found = evaluate(labels, said, None, "abcd"[:classes], resamples=10)
    guess = said.argmax(axis=1)
    expected = {
        "accuracy": oracle.accuracy_score(labels, guess),
        "balanced_accuracy": oracle.balanced_accuracy_score(labels, guess),
        "macro_f1": oracle.f1_score(labels, guess, average="macro"),
        "weighted_f1": oracle.f1_score(labels, guess, average="weighted"),
        "macro_auroc": np.mean([oracle.roc_auc_score(labels == k, said[:, k]) for k in range(classes)]),
        "macro_auprc": np.mean(
            [oracle.average_precision_score(labels == k, said[:, k]) for k in range(classes)]
        ),
    }
    for name, value in expected.items():
        assert found.headline[name].value == pytest.approx(value), name
    np.testing.assert_array_equal(found.confusion, oracle.confusion_matrix(labels, guess))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 999))
def test_intervals_hold_scikit_learns_scores_of_resamples(seed: int) -> None:
    labels, said = votes(seed)
    groups = [f"g{number % 12}" for number in range(len(labels))]
    found = evaluate(labels, said, groups, "abc", resamples=40, seed=seed).headline["balanced_accuracy"]
    weights = resample_weights(group_index(groups, len(labels)), 40, seed).astype(int)
    guess = said.argmax(axis=1)
    scores = []
    for row in weights:
        rows = np.repeat(np.arange(len(labels)), row)
        recalls = [np.mean(guess[rows][labels[rows] == k] == k) for k in np.unique(labels[rows])]
        scores.append(np.mean(recalls))
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(scores, [2.5, 97.5])))


def test_a_model_that_knows_its_accuracy_is_calibrated() -> None:
    random = np.random.default_rng(0)
    sure = random.uniform(0.5, 1, 60_000)
    right = random.random(60_000) < sure
    said = np.stack([sure, 1 - sure], axis=1)
    labels = np.where(right, 0, 1)
    assert float(calibration_error(labels, said)[0]) < 0.01
    boast = np.stack([np.full(1000, 0.99), np.full(1000, 0.01)], axis=1)
    truth = np.arange(1000) % 2
    assert float(calibration_error(truth, boast)[0]) == pytest.approx(0.49)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 999), st.sampled_from(["accuracy", "macro_f1", "macro_auroc", "ece"]))
def test_a_model_against_itself_and_swapped(seed: int, metric: str) -> None:
    labels, one = votes(seed)
    _, other = votes(seed + 1)
    same = paired_difference(labels, one, one, None, metric, resamples=50)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    there = paired_difference(labels, one, other, None, metric, resamples=50, seed=3)
    back = paired_difference(labels, other, one, None, metric, resamples=50, seed=3)
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))
