"""What a guarantee costs and what is spent of it, by two accountants."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from functools import cache

from stages.errors import ModelError
from stages.learners.federated.private import private_steps
from stages.learners.federated.settings import FederateSettings

__all__ = ["Budget", "analytic_gaussian", "budget_of", "central_budget", "noise_for", "spent_by"]

_ACCURACY = 0.01
"""How near the epsilon asked for the noise is chosen to come."""
_MOST_NOISE = 1e5
"""RDP counts no epsilon below some 0.1 whatever the noise: its orders are finite."""


@dataclass
class Budget:
    """What one client may spend and has spent; neighbours differ in one image, or, of central privacy, in one client.

    Attributes:
        epsilon: At most, in all.
        delta: Of all of it.
        noise: Noise multiplier.
        rate: Probability of an image to be in a batch, or of a client in a round.
        steps: Of a round.
        spent: (RDP, PRV) epsilon after every round that it took part in, by round.
    """

    epsilon: float
    delta: float
    noise: float
    rate: float
    steps: int
    spent: dict[int, tuple[float, float]] = field(default_factory=dict)

    def allows(self, number: int) -> bool:
        """Say whether the client may take part in a round, counted from 1."""
        return self._after(number) <= self.epsilon * (1 + 1e-9)

    def spend(self, number: int) -> None:
        """Note that it took part in a round."""
        if number not in self.spent:
            steps = self._steps(number)
            self.spent[number] = (
                spent_by("rdp", self.noise, self.rate, steps, self.delta),
                spent_by("prv", self.noise, self.rate, steps, self.delta),
            )

    def _after(self, number: int) -> float:
        return spent_by("rdp", self.noise, self.rate, self._steps(number), self.delta)

    def _steps(self, number: int) -> int:
        return len({*self.spent, number}) * self.steps


def budget_of(settings: FederateSettings, images: int, batch_size: int) -> Budget:
    """Return the budget of a client for DP-SGD.

    Args:
        settings: Of the federation.
        images: In its training part.
        batch_size: On average.
    """
    steps = private_steps(images, batch_size) * settings.local_epochs
    rate = min(1.0, batch_size / images)
    noise = settings.noise or noise_for(settings.epsilon, settings.delta, rate, steps * settings.rounds)
    return Budget(settings.epsilon, settings.delta, noise, rate, steps)


def central_budget(settings: FederateSettings) -> Budget:
    """Return the budget of every client for central privacy: all take part in every round, whose noise is added once.

    Args:
        settings: Of the federation.
    """
    noise = settings.noise or noise_for(settings.epsilon, settings.delta, 1.0, settings.rounds)
    return Budget(settings.epsilon, settings.delta, noise, rate=1.0, steps=1)


@cache
def spent_by(accountant: str, noise: float, rate: float, steps: int, delta: float) -> float:
    """Return the epsilon of DP-SGD.

    Args:
        accountant: `rdp`: Renyi differential privacy (Mironov 2017), an upper bound; `prv`: privacy loss random variables
            (Gopi et al. 2021), tighter, an estimate from above within 0.01.
        noise: Noise multiplier.
        rate: Probability of an image to be in a batch (Poisson sampling).
        steps: Of the optimiser.
        delta: Of all steps together.

    Examples:
        MNIST of TensorFlow Privacy's tutorial: 60,000 images in batches of 256, 60 epochs, noise 1.12. Its table has 2.92, by the
        looser conversion from RDP of its day.

        >>> round(spent_by("rdp", 1.12, 256 / 60000, 14040, 1e-5), 2) < 2.92
        True
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from opacus.accountants import PRVAccountant, RDPAccountant

        counted = {"rdp": RDPAccountant, "prv": PRVAccountant}[accountant]()
        counted.history = [(noise, rate, steps)]
        if accountant == "rdp":
            return float(counted.get_epsilon(delta))
        return float(counted.get_epsilon(delta, eps_error=0.01))


def noise_for(epsilon: float, delta: float, rate: float, steps: int) -> float:
    """Return the smallest noise multiplier from 0.2 on, within a percent, whose RDP epsilon is no more than wanted.

    Raises:
        ModelError: If no noise is enough for the accountant to count so small an epsilon.
    """
    low, high = 0.2, 1.0
    while (least := spent_by("rdp", high, rate, steps, delta)) > epsilon:
        if high > _MOST_NOISE:
            raise ModelError(
                f"Expected `epsilon` to be {least:.3g} or more with delta {delta:g}, the least that the accountant can count, but got {epsilon:g}; "
                "do raise --epsilon or --delta, or use --dp least-squares"
            )
        low, high = high, high * 2
    while high / low > 1 + _ACCURACY / 4:
        middle = math.sqrt(low * high)
        if spent_by("rdp", middle, rate, steps, delta) > epsilon:
            low = middle
        else:
            high = middle
    return high


def analytic_gaussian(epsilon: float, delta: float, sensitivity: float) -> float:
    """Return the standard deviation of the Gaussian mechanism that is (epsilon, delta) private, and no larger than it must be.

    Source: Balle & Wang (2018), ICML, theorem 8: the smallest sigma with
    Phi(D / 2s - e s / D) - exp(e) Phi(-D / 2s - e s / D) <= delta.

    Args:
        epsilon: Above 0.
        delta: Above 0, below 1.
        sensitivity: L2, D.

    Examples:
        >>> round(analytic_gaussian(1.0, 1e-5, 1.0), 2)
        3.73
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    def beyond(log_sigma: float) -> float:
        sigma = math.exp(log_sigma)
        one, other = sensitivity / (2 * sigma), epsilon * sigma / sensitivity
        leak = norm.cdf(one - other) - math.exp(epsilon + norm.logcdf(-one - other))
        return float(leak - delta)

    # The classical bound (Dwork & Roth 2014, theorem A.1) holds up to epsilon 1 and is never below the root.
    classical = math.log(math.sqrt(2 * math.log(1.25 / delta)) / min(epsilon, 1.0))
    centre = math.log(sensitivity)
    return math.exp(float(brentq(beyond, centre - 12, centre + max(classical, 0) + 1, xtol=1e-12)))
