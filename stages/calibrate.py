"""How sure a model may be, found on the validation part: a temperature, sets of classes, when to be silent, what is foreign.

- **Temperature** (Guo et al. 2017): probabilities are raised to 1/T and divided by their sum, which for a softmax or a sigmoid is the
  same as dividing logits by T. A weak prior on log T keeps a validation part without mistakes from asking for endless certainty.
- **Sets** (class-conditional split conformal; Vovk 2012): a class is in the set of an image if its probability is at least what 90 % of
  validation images of that class reach. Images of one patient or slide are alike, so groups are what is counted (hierarchical conformal
  prediction: Lee, Barber & Willett 2023): each weighs the same, and of a class there must be nine.
- **Silence**: the least confidence from which on 95 % of validation images are right.
- **Foreign images**: the Mahalanobis distance to the nearest class of the training part (Lee et al. 2018), of L2-normalised features
  (Mueller & Hein 2025) or of 12 statistics of colour, farther than 99.5 % of validation images. A network that was trained to tell
  classes apart has forgotten much of what tells a smear from a cat; colour has not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from segmentation.files import write_tensors
from segmentation.settings import Settings
from stages.errors import ModelError

__all__ = [
    "LEVEL",
    "Accepted",
    "Calibration",
    "Certainty",
    "Surroundings",
    "at_temperature",
    "fit_certainty",
    "unit",
]

LEVEL = 0.9
"""Part of the images of every class whose set shall hold that class."""
_RIGHT = 0.95
"""Part of the answers that shall be right."""
_KNOWN = 0.995
"""Part of the validation images that is not called foreign, by features and by colour each."""
_AXES = 128
_FILE = "surroundings.safetensors"
_LEAST = 1e-12
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int64]


class Accepted(Settings):
    """From which probability on a class is in the set.

    Attributes:
        least: That probability; 0 where too few images are known: the class is in every set.
        groups: Validation groups with images of the class.
        images: Validation images of it.
        unit: What was counted: `groups`; `images` where there are fewer than nine groups, which promises less; `none` where
            there are fewer than nine images.
    """

    least: float
    groups: int
    images: int
    unit: Literal["groups", "images", "none"]


class Certainty(Settings):
    """What `model.json` holds of it.

    Attributes:
        temperature: Above 1 where the model was too sure of itself.
        accepted: By class.
        unsure_below: Answers that are less probable are unsure.
        farthest: Largest distance of an image that is like the training data, by what is measured.
        images: Of the validation part.
        groups: That they are in.
    """

    temperature: float
    accepted: tuple[Accepted, ...]
    unsure_below: float
    farthest: dict[str, float]
    images: int
    groups: int


@dataclass(frozen=True)
class Surroundings:
    """Where the training data lie among all vectors of a kind.

    Attributes:
        means: Of each class that has images, (C, F).
        axes: Of the covariance that all classes share, the longest first, (A, F).
        spreads: Variance along each, (A,), and the mean of the others, so (A + 1,).
    """

    means: Floats
    axes: Floats
    spreads: Floats

    @classmethod
    def of(cls, features: Floats, labels: Labels) -> Self:
        """Measure training vectors (N, F) of classes (N,); the covariance is shrunk as Ledoit & Wolf (2004) do."""
        from sklearn.covariance import ledoit_wolf

        present, which = np.unique(labels, return_inverse=True)
        means = np.stack([features[which == place].mean(axis=0) for place in range(len(present))])
        covariance, _ = ledoit_wolf(features - means[which], assume_centered=True)
        width = covariance.shape[0]
        kept = min(_AXES, width)
        # All of them: LAPACK's search for a few fails on features that hardly vary.
        spreads, axes = (part[..., width - kept :] for part in np.linalg.eigh(covariance))
        rest = (np.trace(covariance) - spreads.sum()) / max(width - kept, 1)
        found = np.maximum([*spreads[::-1], rest if width > kept else 1.0], _LEAST)
        return cls(means, axes.T[::-1].copy(), found)

    def distances(self, features: Floats) -> Floats:
        """Return how far vectors (N, F) lie from the nearest class, (N,)."""
        best = np.full(len(features), np.inf)
        for mean in self.means:
            off = features - mean
            along = off @ self.axes.T
            beside = np.maximum((off**2).sum(axis=1) - (along**2).sum(axis=1), 0)
            if len(self.axes) == self.means.shape[1]:
                beside[:] = 0
            best = np.minimum(best, (along**2 / self.spreads[:-1]).sum(axis=1) + beside / self.spreads[-1])
        found: Floats = np.sqrt(best)
        return found


@dataclass(frozen=True)
class Calibration:
    """How sure a model may be; see the module.

    Attributes:
        certainty: What was found.
        surroundings: Where the training data lie, by what is measured.
    """

    certainty: Certainty
    surroundings: Mapping[str, Surroundings]

    def calibrated(self, probabilities: Floats) -> Floats:
        """Return probabilities (N, K) at the temperature, each row summing to 1; the most probable class stays."""
        return at_temperature(probabilities, self.certainty.temperature)

    def sets(self, calibrated: Floats) -> Bools:
        """Return which classes are in the set of each image, (N, K), of calibrated probabilities; the most probable always is."""
        within: Bools = calibrated >= np.array([one.least for one in self.certainty.accepted])
        within[np.arange(len(calibrated)), calibrated.argmax(axis=1)] = True
        return within

    def unsure(self, calibrated: Floats) -> Bools:
        """Return which images should not be answered, (N,), of calibrated probabilities."""
        said: Bools = calibrated.max(axis=1) < self.certainty.unsure_below
        return said

    def distances(self, vectors: Mapping[str, Floats]) -> Floats | None:
        """Return how far images lie from the training data, (N,), in parts of the largest distance that is known; the largest kind counts.

        Args:
            vectors: (N, F) of each kind that was measured.

        Returns:
            None where nothing was measured.
        """
        found = [
            around.distances(vectors[name]) / self.certainty.farthest[name]
            for name, around in self.surroundings.items()
        ]
        return np.max(found, axis=0) if found else None

    def save(self, folder: Path) -> None:
        """Write what `model.json` cannot hold.

        Raises:
            WriteError: If it cannot be written.
        """
        import torch

        tensors = {
            f"{kind}.{name}": torch.from_numpy(value)
            for kind, around in self.surroundings.items()
            for name, value in vars(around).items()
        }
        if tensors:
            write_tensors(folder / _FILE, tensors)

    @classmethod
    def load(cls, folder: Path, certainty: Certainty) -> Self:
        """Read what was saved.

        Raises:
            ModelError: If the file is missing or damaged.
        """
        if not certainty.farthest:
            return cls(certainty, {})
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            known = load_file(folder / _FILE)
            names = ("means", "axes", "spreads")
            around = {
                kind: Surroundings(*(known[f"{kind}.{name}"] for name in names))
                for kind in certainty.farthest
            }
            return cls(certainty, around)
        except (OSError, SafetensorError, KeyError) as error:
            raise ModelError(
                f"Expected {folder / _FILE} to be written by this version of mtl, but it cannot be read; do train it again"
            ) from error


def fit_certainty(
    probabilities: Floats,
    labels: Labels,
    groups: Sequence[str],
    distances: Mapping[str, Floats] = MappingProxyType({}),
) -> Certainty:
    """Find how sure a model may be.

    Args:
        probabilities: Of the N validation images, as the model says them, (N, K).
        labels: What they are, (N,).
        groups: Patient, slide or field of each.
        distances: Of each to the training data, (N,), by what is measured.

    Raises:
        ModelError: If there is no image.
    """
    if not len(labels):
        raise ModelError(
            "Expected a validation part to calibrate on, but it has no image; do raise `split.validation`"
        )
    temperature = _temperature(probabilities, labels)
    said = at_temperature(probabilities, temperature)
    own = np.asarray(groups, dtype=str)
    return Certainty(
        temperature=temperature,
        accepted=tuple(
            _accepted(said[labels == k, k], own[labels == k]) for k in range(probabilities.shape[1])
        ),
        unsure_below=_least_confidence(said.max(axis=1), said.argmax(axis=1) == labels),
        farthest={name: float(np.quantile(far, _KNOWN, method="higher")) for name, far in distances.items()},
        images=len(labels),
        groups=len(np.unique(own)),
    )


def at_temperature(probabilities: Floats, temperature: float) -> Floats:
    """Return probabilities (N, K) raised to 1/temperature and divided by their sum; 1/temperature undoes it."""
    logs = np.log(np.maximum(probabilities, _LEAST)) / temperature
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    calibrated: Floats = powers / powers.sum(axis=1, keepdims=True)
    return calibrated


def _temperature(probabilities: Floats, labels: Labels) -> float:
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(labels))

    def loss(logarithm: float) -> float:
        own = at_temperature(probabilities, float(np.exp(logarithm)))[rows, labels]
        return float(-np.log(np.maximum(own, _LEAST)).sum() + logarithm**2 / 2)

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded").x))


def _accepted(own: Floats, groups: npt.NDArray[np.str_]) -> Accepted:
    """Return the least accepted probability of a class, of that probability (N,) of its validation images."""
    _, which, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    told = {"groups": len(sizes), "images": len(own)}
    # One more weighs as much as each: the new patient, of whom nothing is known.
    if len(sizes) / (len(sizes) + 1) >= LEVEL:
        weights = 1 / (len(sizes) + 1) / sizes[which]
        return Accepted(least=_reached(own, weights), unit="groups", **told)
    if len(own) / (len(own) + 1) >= LEVEL:
        weights = np.full(len(own), 1 / (len(own) + 1))
        return Accepted(least=_reached(own, weights), unit="images", **told)
    return Accepted(least=0.0, unit="none", **told)


def _reached(own: Floats, weights: Floats) -> float:
    order = np.argsort(-own, kind="stable")
    enough = np.cumsum(weights[order]) >= LEVEL - 1e-9
    return float(own[order][int(enough.argmax())])


def _least_confidence(confidence: Floats, right: Bools) -> float:
    """Return from which confidence on enough answers are right; never below one half, and 1 where none is enough."""
    steps = np.unique(confidence)
    held = [step for step in steps if right[confidence >= step].mean() >= _RIGHT]
    return float(max(held[0], 0.5)) if held else 1.0


def unit(features: Floats) -> Floats:
    """Return features (N, F) of length 1."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    normalised: Floats = features / np.maximum(lengths, _LEAST)
    return normalised
