"""Private least squares: sums over a client's features with noise, told once; the server adds them up and solves.

The strong baseline where epsilon is small: there is one release in place of hundreds of steps. Sufficient statistics with the Gaussian
mechanism: Vu & Slavkovic (2009), Wang (2018, "Revisiting differentially private linear regression").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stages.learners.federated.privacy import analytic_gaussian
from stages.learners.federated.settings import FederateSettings

if TYPE_CHECKING:
    from flwr.serverapp import Grid

    from stages.learners.federated.strategy import Checked

__all__ = [
    "Sums",
    "ask_for_sums",
    "balanced",
    "head_weights",
    "noisy_sums",
    "projected",
    "projection",
    "solve",
]

Floats = npt.NDArray[np.float64]

CONSTANT = 0.5
"""What stands beside an image's features, whose length is such that both together have length 1: it counts the images of a class."""
SHARE = 0.2
"""Of the budget, for the squares; the rest is for the products. Squares are the same for all classes, and bear more noise."""
SENSITIVITY = 1.0
"""How far one image moves both sums together, each scaled by the root of its share."""
_RARE = 1e-3
"""Share below which no class is taken to be."""
SHARPNESS = 10.0
"""What scores are multiplied by before softmax: regression on 0 and 1 gives differences of about 1, which softmax takes for doubt."""


@dataclass(frozen=True)
class Sums:
    """What a client tells.

    Attributes:
        squares: Mean of x x' with noise, (D + 1, D + 1), symmetric.
        products: Mean of x y' with noise, (D + 1, K).
        sigma: Standard deviation of the noise on the sums behind the means, each scaled by the root of its share of the budget.
    """

    squares: Floats
    products: Floats
    sigma: float


def projection(features: int, dimensions: int, seed: int) -> Floats:
    """Return random orthonormal rows (D, F), the same for all clients; all features where D is not below F."""
    if dimensions >= features:
        return np.eye(features)
    drawn = np.random.default_rng([seed, 3]).standard_normal((features, dimensions))
    return np.linalg.qr(drawn)[0].T


def noisy_sums(
    features: Floats,
    labels: npt.NDArray[np.int64],
    classes: int,
    settings: FederateSettings,
    seed: int,
    noise: Sequence[int],
) -> Sums:
    """Return the sums of one client.

    Args:
        features: (N, F), of length 1 or any.
        labels: (N,).
        classes: K.
        settings: Give epsilon, delta and the width of the projection.
        seed: Of the projection, the same for all clients.
        noise: Seeds of the noise, the client's own.
    """
    rows = with_constant(projected(features, settings.dimensions, seed))
    hot = np.eye(classes)[labels]
    sigma = analytic_gaussian(settings.epsilon, settings.delta, SENSITIVITY)
    random = np.random.default_rng([*noise, 4])
    width = rows.shape[1]
    upper = np.triu(random.normal(0, sigma / np.sqrt(SHARE), (width, width)))
    squares = rows.T @ rows + upper + np.triu(upper, 1).T
    products = rows.T @ hot + random.normal(0, sigma / np.sqrt(1 - SHARE), (width, classes))
    return Sums(squares / len(rows), products / len(rows), sigma)


def with_constant(features: Floats) -> Floats:
    """Return rows (N, D + 1) of length 1 at most: features (N, D), and a constant behind them."""
    bounded = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1.0)
    beside = np.full((len(features), 1), CONSTANT)
    rows: Floats = np.concatenate([bounded * np.sqrt(1 - CONSTANT**2), beside], axis=1)
    return rows


def projected(features: Floats, dimensions: int, seed: int) -> Floats:
    """Return features (N, D) of length about 1, projected at random from features (N, F) of any length."""
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    rows = projection(features.shape[1], dimensions, seed)
    scaled: Floats = unit @ rows.T * np.sqrt(features.shape[1] / len(rows))
    return scaled


def solve(squares: Floats, products: Floats, noise: float) -> Floats:
    """Return weights (D, K) of ridge regression.

    Args:
        squares: (D, D), symmetric, with noise.
        products: (D, K).
        noise: Standard deviation in `squares`; the ridge is the length that such noise has in its worst direction, 2 noise sqrt(D).
    """
    width = len(squares)
    ridge = 2 * noise * np.sqrt(width) + 1e-6
    values, vectors = np.linalg.eigh(squares)
    # The true sums have no negative eigenvalue: what noise has made one is taken back.
    values = np.maximum(values, 0) + ridge
    weights: Floats = (vectors / values) @ (vectors.T @ products)
    return weights


def balanced(weights: Floats, products: Floats, noise: float) -> Floats:
    """Return weights (D + 1, K) under which rare classes are not lost: each divided by the root of how often its class is.

    Half-way between least squares, which rather says what is frequent, and linear discriminants of equal priors, which trust the few
    images of a rare class as much as the many of another. A class that is lost in the noise is taken for as frequent as the noise is.

    Args:
        weights: Of `solve`.
        products: With noise; its last row is `CONSTANT` times the share of every class.
        noise: Standard deviation in `products`.
    """
    shares = np.maximum(products[-1] / CONSTANT, max(noise / CONSTANT, _RARE))
    found: Floats = weights / np.sqrt(shares * len(shares))
    return found


def ask_for_sums(grid: Grid, strategy: Checked, sigma: float) -> Floats:
    """Have all clients tell their sums once, and return the weights (D, K).

    Args:
        grid: Reaches the clients.
        strategy: Asks and averages, weighted by images.
        sigma: Standard deviation of the noise on every client's sums.

    Raises:
        ModelError: If no client can be used.
    """
    from flwr.app import ArrayRecord, ConfigRecord

    asked = strategy.configure_train(1, ArrayRecord(), ConfigRecord(), grid)
    averaged, _ = strategy.aggregate_train(1, grid.send_and_receive(asked))
    assert averaged is not None  # noqa: S101 - a round without an answer has raised
    told = strategy.images.values()
    noise = sigma * np.sqrt(len(told)) / sum(told)
    squares, products = (averaged[name].numpy().astype(np.float64) for name in ("squares", "products"))
    weights = solve(squares, products, noise / np.sqrt(SHARE))
    return balanced(weights, products, noise / np.sqrt(1 - SHARE))


def head_weights(weights: Floats, features: int, seed: int) -> tuple[Floats, Floats]:
    """Return weights (K, F) and bias (K,) of a dense layer on features of length 1: projection, solution and sharpness in one.

    Args:
        weights: Of `balanced`, (D + 1, K).
        features: F.
        seed: Of the projection.
    """
    rows = projection(features, len(weights) - 1, seed)
    scale = SHARPNESS * np.sqrt((1 - CONSTANT**2) * features / len(rows))
    whole: Floats = scale * (weights[:-1].T @ rows)
    bias: Floats = SHARPNESS * CONSTANT * weights[-1]
    return whole, bias
