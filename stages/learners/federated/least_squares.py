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

__all__ = ["Sums", "ask_for_sums", "head_weights", "noisy_sums", "projected", "projection", "solve"]

Floats = npt.NDArray[np.float64]

SENSITIVITY = float(np.sqrt(2.0))
"""How far one image of length 1 moves both sums together: each by 1 at most."""
SHARPNESS = 10.0
"""What scores are multiplied by before softmax: regression on 0 and 1 gives differences of about 1, which softmax takes for doubt."""


@dataclass(frozen=True)
class Sums:
    """What a client tells.

    Attributes:
        squares: Mean of x x' with noise, (D, D), symmetric.
        products: Mean of x y' with noise, (D, K).
        sigma: Standard deviation of the noise on the sums behind the means.
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
    rows = projected(features, settings.dimensions, seed)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1.0)
    hot = np.eye(classes)[labels]
    sigma = analytic_gaussian(settings.epsilon, settings.delta, SENSITIVITY)
    random = np.random.default_rng([*noise, 4])
    width = rows.shape[1]
    upper = np.triu(random.normal(0, sigma, (width, width)))
    squares = rows.T @ rows + upper + np.triu(upper, 1).T
    products = rows.T @ hot + random.normal(0, sigma, (width, classes))
    return Sums(squares / len(rows), products / len(rows), sigma)


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
    return solve(
        averaged["squares"].numpy().astype(np.float64), averaged["products"].numpy().astype(np.float64), noise
    )


def head_weights(weights: Floats, features: int, seed: int) -> Floats:
    """Return the weights (K, F) of a dense layer on features of length 1: projection, solution and sharpness in one.

    Args:
        weights: Of `solve`, (D, K).
        features: F.
        seed: Of the projection.
    """
    rows = projection(features, len(weights), seed)
    whole: Floats = SHARPNESS * np.sqrt(features / len(rows)) * (weights.T @ rows)
    return whole
