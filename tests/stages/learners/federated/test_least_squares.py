"""Private least squares against scikit-learn's ridge regression, and the sums of clients against those of all images."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from stages.learners.federated.least_squares import Sums, noisy_sums, projected, projection, solve
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
    reach = 6 * sums[0].sigma * np.sqrt(3) / 90
    np.testing.assert_allclose(squares, features.T @ features / 90, atol=reach)
    np.testing.assert_allclose(products, features.T @ np.eye(3)[labels] / 90, atol=reach)


def test_the_smaller_epsilon_the_further_from_the_truth() -> None:
    features, labels = make(400)
    hot = np.eye(3)[labels]
    exact = solve(features.T @ features / 400, features.T @ hot / 400, 0.0)
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
