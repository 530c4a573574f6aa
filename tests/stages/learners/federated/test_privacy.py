from __future__ import annotations

import warnings

import numpy as np
import pytest

pytest.importorskip("opacus")

from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from stages.errors import ModelError
from stages.learners.federated.least_squares import (
    CONSTANT,
    SENSITIVITY,
    SHARE,
    SHARPNESS,
    head_weights,
    noisy_sums,
    projected,
    projection,
    solve,
)
from stages.learners.federated.privacy import analytic_gaussian, budget_of, noise_for, spent_by
from stages.learners.federated.settings import FederateSettings


@pytest.mark.parametrize(("noise", "epochs", "printed"), [(1.12, 60, 2.92), (0.6, 30, 9.74), (1.2, 10, 1.20)])
def test_published_epsilons_of_dp_sgd(noise: float, epochs: int, printed: float) -> None:
    # TensorFlow Privacy, tutorials/README.md (047e1ee): MNIST, batches of 256, delta 1e-5, by Mironov's conversion (2017, proposition 3).
    settings = FederateSettings(dp="sgd", rounds=epochs, local_epochs=1, noise=noise, epsilon=10.0)
    budget = budget_of(settings, images=60_000, batch_size=256)
    orders = [1 + x / 10 for x in range(1, 100)] + list(range(12, 64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from opacus.accountants.analysis.rdp import compute_rdp

    steps = budget.steps * epochs
    rdp = compute_rdp(q=budget.rate, noise_multiplier=budget.noise, steps=steps, orders=orders)
    assert np.min(rdp - np.log(1e-5) / (np.array(orders) - 1)) == pytest.approx(printed, rel=0.01)
    # Today's conversion from RDP is tighter, and PRV tighter still.
    prv, ours = (spent_by(kind, budget.noise, budget.rate, steps, 1e-5) for kind in ("prv", "rdp"))
    assert prv < ours < printed


@settings(max_examples=25, deadline=None)
@given(st.floats(0.1, 10), st.floats(1e-8, 1e-3), st.floats(0.1, 10))
def test_the_gaussian_mechanism_spends_its_delta_and_no_more(
    epsilon: float, delta: float, reach: float
) -> None:
    sigma = analytic_gaussian(epsilon, delta, reach)
    # Leak of two Gaussians at distance `reach`, by their log ratio: the definition, integrated in closed form.
    shift = reach / sigma
    leak = norm.sf(epsilon / shift - shift / 2) - np.exp(epsilon) * norm.sf(epsilon / shift + shift / 2)
    assert leak == pytest.approx(delta, rel=1e-6)


def test_noise_is_what_epsilon_needs() -> None:
    noise = noise_for(2.0, 1e-5, 0.05, 200)
    assert 1.98 < spent_by("rdp", noise, 0.05, 200, 1e-5) <= 2.0


def test_a_budget_counts_rounds_that_were_taken_part_in() -> None:
    budget = budget_of(FederateSettings(dp="sgd", rounds=4, local_epochs=2, epsilon=2.0), 500, 50)
    assert budget.steps == 20
    assert budget.rate == 0.1
    for number in (1, 2, 4):
        assert budget.allows(number)
        budget.spend(number)
    assert budget.spent[4][0] < 2.0
    assert budget.spent[1][0] < budget.spent[2][0] < budget.spent[4][0]
    assert budget.allows(5)
    budget.spend(5)
    assert budget.spent[5][0] <= 2.0
    assert not budget.allows(6)


def test_least_squares_without_noise_is_ridge_regression() -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(50, 4)), random.normal(size=(50, 3))
    ridge = 2 * 0.3 * 2 + 1e-6
    expected = np.linalg.solve(x.T @ x + ridge * np.eye(4), x.T @ y)
    np.testing.assert_allclose(solve(x.T @ x, x.T @ y, 0.3), expected, rtol=1e-9)


def test_sums_have_the_noise_that_they_say() -> None:
    told = FederateSettings(dp="least-squares", epsilon=1.0, dimensions=40)
    random = np.random.default_rng(0)
    features, labels = random.normal(size=(100, 60)), random.integers(0, 3, 100)
    one, other = (noisy_sums(features, labels, 3, told, 0, [noise]) for noise in (1, 2))
    np.testing.assert_array_equal(one.squares, one.squares.T)
    upper = ((one.squares - other.squares) * 100)[np.triu_indices(41)].std() / np.sqrt(2)
    assert upper * np.sqrt(SHARE) == pytest.approx(one.sigma, rel=0.1)
    products = ((one.products - other.products) * 100).std() / np.sqrt(2)
    assert products * np.sqrt(1 - SHARE) == pytest.approx(one.sigma, rel=0.2)
    assert one.sigma == analytic_gaussian(1.0, 1e-5, SENSITIVITY)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 29))
def test_one_image_moves_the_sums_no_further_than_their_sensitivity(seed: int, row: int) -> None:
    random = np.random.default_rng(seed)
    features = random.normal(size=(30, 12)) * random.lognormal(size=(30, 1))
    labels = random.integers(0, 3, 30)
    told = FederateSettings(dp="least-squares", epsilon=1000.0, dimensions=5)
    kept = np.arange(30) != row
    whole, less = (
        noisy_sums(features[part], labels[part], 3, told, 0, [1]) for part in (np.ones(30, bool), kept)
    )
    apart = 30 * whole.squares - 29 * less.squares, 30 * whole.products - 29 * less.products
    # The same noise is in both, and goes away.
    upper = np.triu(apart[0])
    moved = SHARE * (upper**2).sum() + (1 - SHARE) * (apart[1] ** 2).sum()
    assert np.sqrt(moved) <= SENSITIVITY + 1e-9


def test_the_head_says_what_the_solution_says() -> None:
    random = np.random.default_rng(0)
    features, weights = random.normal(size=(7, 20)), random.normal(size=(6, 3))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    dense, bias = head_weights(weights, 20, 4)
    said = np.sqrt(1 - CONSTANT**2) * projected(features, 5, 4) @ weights[:-1] + CONSTANT * weights[-1]
    np.testing.assert_allclose(unit @ dense.T + bias, SHARPNESS * said)
    rows = projection(20, 5, 4)
    np.testing.assert_allclose(rows @ rows.T, np.eye(5), atol=1e-12)


@pytest.mark.parametrize("epsilon", [1e-20, 0.2, 1.0, 4.0])
@pytest.mark.parametrize("delta", [1e-6, 1e-2])
def test_the_gaussian_mechanism_by_numerical_integration(epsilon: float, delta: float) -> None:
    # The definition: delta is the integral of what one density has above e^epsilon times the other.
    sigma = analytic_gaussian(epsilon, delta, 1.5)

    def beyond(x: float) -> float:
        return float(max(norm.pdf(x, 1.5, sigma) - np.exp(epsilon) * norm.pdf(x, 0, sigma), 0.0))

    crossing = epsilon * sigma**2 / 1.5 + 0.75
    leak = quad(
        beyond, crossing, max(crossing, 1.5) + 12 * sigma, points=[1.5 + sigma], limit=500, epsabs=1e-13
    )[0]
    assert leak == pytest.approx(delta, rel=1e-4)


def test_the_gaussian_mechanism_needs_less_than_the_classical_bound() -> None:
    for epsilon in (1e-12, 0.01, 0.5, 1.0):
        classical = np.sqrt(2 * np.log(1.25 / 1e-6)) / epsilon
        assert 0 < analytic_gaussian(epsilon, 1e-6, 1.0) < classical
        assert analytic_gaussian(epsilon, 1e-6, 3.0) == pytest.approx(
            3 * analytic_gaussian(epsilon, 1e-6, 1.0)
        )


@settings(max_examples=5, deadline=None)
@given(st.floats(0.6, 4.0), st.floats(0.01, 0.5), st.integers(1, 300))
def test_more_steps_spend_more_and_more_noise_spends_less(noise: float, rate: float, steps: int) -> None:
    spent = spent_by("rdp", noise, rate, steps, 1e-5)
    assert spent < spent_by("rdp", noise, rate, 2 * steps, 1e-5)
    assert spent_by("rdp", 1.2 * noise, rate, steps, 1e-5) < spent
    assert spent < spent_by("rdp", noise, min(1.0, 1.5 * rate), steps, 1e-5)
    assert spent < spent_by("rdp", noise, rate, steps, 1e-7)


def test_a_smaller_epsilon_asks_for_more_noise() -> None:
    eight, two, one = (
        budget_of(FederateSettings(dp="sgd", rounds=3, local_epochs=1, epsilon=epsilon), 200, 20)
        for epsilon in (8.0, 2.0, 1.0)
    )
    assert eight.noise < two.noise < one.noise
    for budget in (eight, two, one):
        steps = 3 * budget.steps
        spent = spent_by("rdp", budget.noise, budget.rate, steps, budget.delta)
        assert 0.98 * budget.epsilon < spent <= budget.epsilon


def test_a_round_is_spent_once() -> None:
    budget = budget_of(FederateSettings(dp="sgd", rounds=3, local_epochs=1), 200, 20)
    budget.spend(1)
    before = dict(budget.spent)
    budget.spend(1)
    assert budget.spent == before


def test_an_epsilon_that_no_noise_reaches_is_refused() -> None:
    with pytest.raises(ModelError, match="--epsilon"):
        noise_for(0.05, 1e-5, 0.1, 100)


def test_batches_beyond_all_images_hold_all_of_them() -> None:
    budget = budget_of(FederateSettings(dp="sgd", rounds=1, local_epochs=2), 30, 64)
    assert (budget.rate, budget.steps) == (1.0, 2)
