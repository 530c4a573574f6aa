"""Private least squares against scikit-learn's ridge regression, and the sums of clients against those of all images."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from stages.learners.federated.least_squares import (
    CONSTANT,
    SENSITIVITY,
    SHARE,
    SHARPNESS,
    Sums,
    balanced,
    head_weights,
    noisy_sums,
    projected,
    projection,
    solve,
    with_constant,
)
from stages.learners.federated.settings import FederateSettings


def make(count: int = 90, width: int = 8) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    labels = random.integers(0, 3, count)
    features = random.normal(size=(count, width)) + 2 * np.eye(width)[labels]
    return features / np.linalg.norm(features, axis=1, keepdims=True), labels


def told(features: np.ndarray, labels: np.ndarray, noise: int, **more: float) -> Sums:
    settings = FederateSettings.model_validate({"dp": "least-squares", **more})
    return noisy_sums(features, labels, 3, settings, 0, (noise,))


@pytest.mark.parametrize("noise", [0.0, 0.01, 2.0])
def test_without_noise_in_the_sums_it_is_scikit_learns_ridge(noise: float) -> None:
    features, labels = make()
    hot = np.eye(3)[labels]
    ridge = Ridge(alpha=2 * noise * np.sqrt(8) + 1e-6, fit_intercept=False, solver="cholesky").fit(
        features, hot
    )
    np.testing.assert_allclose(
        solve(features.T @ features, features.T @ hot, noise), ridge.coef_.T, rtol=1e-7
    )


def test_clients_of_unequal_sizes_add_up_to_all_images() -> None:
    features, labels = make()
    parts = [slice(0, 10), slice(10, 30), slice(30, 90)]
    # So much may be spent that next to no noise is left; what each tells is a mean, weighted by its images.
    sums = [told(features[part], labels[part], 7, epsilon=1000.0, delta=0.99) for part in parts]
    weights = np.array([10, 20, 60]) / 90
    squares = sum(weight * one.squares for weight, one in zip(weights, sums, strict=True))
    products = sum(weight * one.products for weight, one in zip(weights, sums, strict=True))
    reach = 6 * sums[0].sigma / np.sqrt(SHARE) * np.sqrt(3) / 90
    rows = with_constant(features)
    np.testing.assert_allclose(squares, rows.T @ rows / 90, atol=reach)
    np.testing.assert_allclose(products, rows.T @ np.eye(3)[labels] / 90, atol=reach)


def test_one_image_moves_both_sums_by_no_more_than_the_noise_is_made_for() -> None:
    random = np.random.default_rng(2)
    for row in with_constant(random.normal(size=(50, 6)) * random.uniform(0, 3, (50, 1))):
        square, product = np.outer(row, row), np.outer(row, np.eye(3)[1])
        moved = SHARE * (square**2).sum() + (1 - SHARE) * (product**2).sum()
        assert np.sqrt(moved) <= SENSITIVITY + 1e-12


def test_a_rare_class_is_found_where_least_squares_lose_it() -> None:
    random = np.random.default_rng(4)
    labels = np.repeat([0, 1, 2], [400, 400, 12])
    features = random.normal(size=(812, 6)) * 0.8 + 2 * np.eye(6)[labels]
    rows = with_constant(features / np.linalg.norm(features, axis=1, keepdims=True))
    squares, products = rows.T @ rows / 812, rows.T @ np.eye(3)[labels] / 812
    np.testing.assert_allclose(products[-1] / CONSTANT, np.bincount(labels) / 812)
    weights = solve(squares, products, 1e-4)
    before, after = ((rows @ one).argmax(axis=1) for one in (weights, balanced(weights, products, 0.0)))
    assert (after[labels == 2] == 2).mean() > (before[labels == 2] == 2).mean()
    lost = balanced(weights, products * [1, 1, 0], 0.05)  # less than the noise, or nothing at all
    assert np.isfinite(lost).all()


def test_the_dense_layer_says_what_the_sums_were_solved_for() -> None:
    features, _ = make(20)
    weights = np.random.default_rng(3).normal(size=(5, 3))
    matrix, bias = head_weights(weights, 8, 7)
    said = features @ matrix.T + bias
    beside = np.concatenate(
        [projected(features, 4, 7) * np.sqrt(1 - CONSTANT**2), np.full((20, 1), CONSTANT)], 1
    )
    np.testing.assert_allclose(said, SHARPNESS * beside @ weights)


def test_the_smaller_epsilon_the_further_from_the_truth() -> None:
    features, labels = make(400)
    rows, hot = with_constant(features), np.eye(3)[labels]
    exact = solve(rows.T @ rows / 400, rows.T @ hot / 400, 0.0)
    errors = []
    for epsilon in (1000.0, 8.0, 1.0, 0.1):
        away = []
        for noise in range(8):
            one = told(features, labels, noise, epsilon=epsilon)
            away.append(np.linalg.norm(solve(one.squares, one.products, one.sigma / 400) - exact))
        errors.append(float(np.mean(away)))
    assert errors == sorted(errors)
    assert errors[0] < 0.2 * errors[-1]


def test_noise_that_makes_squares_negative_does_not_blow_up() -> None:
    random = np.random.default_rng(0)
    upper = np.triu(random.normal(0, 5, (6, 6)))
    noisy = np.eye(6) + upper + np.triu(upper, 1).T
    assert np.linalg.eigvalsh(noisy).min() < 0
    products = random.normal(size=(6, 3))
    found = solve(noisy, products, 5.0)
    assert np.linalg.norm(found) <= np.linalg.norm(products) / (2 * 5.0 * np.sqrt(6))


def test_the_projection_is_the_same_for_all_and_keeps_lengths() -> None:
    features = np.random.default_rng(1).normal(size=(500, 64))
    np.testing.assert_array_equal(projection(64, 16, 3), projection(64, 16, 3))
    assert not np.allclose(projection(64, 16, 3), projection(64, 16, 4))
    lengths = np.linalg.norm(projected(features, 16, 3), axis=1)
    assert lengths.mean() == pytest.approx(1, abs=0.05)
    np.testing.assert_array_equal(projection(16, 64, 3), np.eye(16))


def test_features_of_length_nought_are_no_fault() -> None:
    features, labels = make(10)
    features[3] = 0
    assert np.isfinite(told(features, labels, 1).squares).all()
