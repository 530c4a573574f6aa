"""How the probabilities of several models become one: a weighted soft vote, or a stacked logistic regression.

M members say of N images what K classes are worth: `votes` (M, N, K).
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, TypeAdapter, field_validator

from segmentation.settings import Settings

__all__ = ["COMBINATION", "LEAST", "Combination", "Stack", "Vote", "log_probabilities"]

Floats = npt.NDArray[np.float64]

LEAST = 1e-6
"""What a probability counts as at least where its logarithm is taken."""


class Vote(Settings):
    """The mean of the members' probabilities, each with its weight: argmax of sum w_i p_i.

    Source: Patel et al. 2025, eq. 8.

    Examples:
        >>> votes = np.array([[[0.9, 0.1]], [[0.4, 0.6]]])
        >>> Vote(weights=(0.5, 0.5))(votes)
        array([[0.65, 0.35]])
    """

    kind: Literal["vote"] = "vote"
    weights: tuple[Annotated[float, Field(ge=0)], ...]

    @field_validator("weights")
    @classmethod
    def _shares(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        total = sum(value)
        if total <= 0:
            raise ValueError("Expected `weights` to have a positive sum, but got none; do give one above 0")
        # What was saved comes back bit for bit.
        return value if abs(total - 1) < 1e-9 else tuple(weight / total for weight in value)

    def __call__(self, votes: Floats) -> Floats:
        """Return probabilities (N, K) of votes (M, N, K)."""
        return np.tensordot(np.array(self.weights), votes, axes=1)


class Stack(Settings):
    """A logistic regression on the members' log-probabilities.

    Source: Wolpert 1992, stacked generalisation, Neural Networks 5.

    Attributes:
        coefficients: (K, M * K), by class, of member 1's classes first.
        intercept: (K,).
    """

    kind: Literal["stack"] = "stack"
    coefficients: tuple[tuple[float, ...], ...]
    intercept: tuple[float, ...]

    def __call__(self, votes: Floats) -> Floats:
        """Return probabilities (N, K) of votes (M, N, K)."""
        logits = log_probabilities(votes) @ np.array(self.coefficients).T + np.array(self.intercept)
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))


Combination = Annotated[Vote | Stack, Field(discriminator="kind")]
COMBINATION: TypeAdapter[Vote | Stack] = TypeAdapter(Combination)
"""Reads a combination from plain values."""


def log_probabilities(votes: Floats) -> Floats:
    """Return what a stack learns from: the log-probabilities of all members side by side, (N, M * K)."""
    members, count, classes = votes.shape
    logs = np.log(np.clip(votes, LEAST, 1))
    return logs.transpose(1, 0, 2).reshape(count, members * classes)
