"""Confident learning against the worked example of its paper."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from mtl.clean.suspects import find_suspects
from mtl.errors import MissingExtraError

# Northcutt et al. 2021, figure 1: counts of (given label, likely label) for dog, fox and cow.
JOINT = np.array([[100, 40, 20], [56, 60, 0], [32, 12, 80]])


def worked_example() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, what they really are, and probabilities that are sure of it."""
    given, real = (np.repeat(places, JOINT.ravel()) for places in np.indices(JOINT.shape).reshape(2, -1))
    return given, real, np.full((len(given), 3), 0.05) + 0.85 * np.eye(3)[real]


def test_the_suspects_are_what_lies_off_the_diagonal_of_the_confident_joint() -> None:
    given, real, probabilities = worked_example()
    found = find_suspects(given, probabilities)
    assert len(found.rows) == JOINT.sum() - np.trace(JOINT) == 160
    assert set(found.rows) == set(np.flatnonzero(given != real))
    np.testing.assert_array_equal(found.suggested, real)


def test_the_surest_comes_first() -> None:
    given, real, probabilities = worked_example()
    wrong = np.flatnonzero(given != real)[:3]
    probabilities[wrong[1]] = 0.005 + 0.985 * np.eye(3)[real[wrong[1]]]
    assert find_suspects(given, probabilities).rows[0] == wrong[1]


def test_labels_that_fit_are_not_suspected() -> None:
    labels = np.arange(60) % 3
    assert len(find_suspects(labels, np.full((60, 3), 0.1) + 0.7 * np.eye(3)[labels]).rows) == 0


def test_without_the_extra_it_says_which_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    with pytest.raises(MissingExtraError, match=r"mtl\[clean\]"):
        find_suspects(np.array([0, 1]), np.eye(2))
