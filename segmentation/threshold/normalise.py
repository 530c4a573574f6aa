"""Illumination and colour made alike across smears: grey-world, flat field, Reinhard, Macenko.

All take and return (H, W, 3) uint8 RGB. Reinhard and Macenko move an image towards a reference, or towards stored values of one.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from segmentation.errors import ParameterError
from segmentation.threshold.image import Floats, RGBImage, background_colour, check_image

__all__ = ["NORMALISERS", "flat_field", "grey_world", "macenko", "normalise", "reinhard", "stain_vectors"]

Matrix = npt.NDArray[np.float64]

_REINHARD_MEAN: Final = np.array([81.0, 5.0, -1.5])
_REINHARD_STD: Final = np.array([11.6, 8.9, 12.7])
"""CIELAB means and deviations of a smear: rounded averages over 45 fields and crops of BCCD, Taleqani and PBC."""

_STAINS: Final = np.array([[0.5626, 0.7201, 0.4062], [0.2159, 0.8012, 0.5581]])
_STRENGTHS: Final = np.array([1.9705, 1.0308])
"""Reference of Macenko et al. 2009, as published with their method: haematoxylin-like and eosin-like, and 99th percentiles."""

_LEAST_STAIN = 0.15
_ANGLE = 1.0  # percentile of the angle that is an end


def grey_world(image: RGBImage, reference: RGBImage | None = None) -> RGBImage:
    """Return the image with channels scaled so that their means agree (Buchsbaum 1980), or agree with the reference's."""
    means = image.reshape(-1, 3).mean(axis=0)
    wanted = np.full(3, means.mean()) if reference is None else reference.reshape(-1, 3).mean(axis=0)
    return _bytes(image.astype(np.float64) * (wanted / np.maximum(means, 1e-6)))


def flat_field(image: RGBImage, reference: RGBImage | None = None) -> RGBImage:
    """Return the image divided by its own slowly varying glass, which becomes white, or the reference's glass colour.

    The glass is the upper envelope: a grey closing and blur a quarter of the image wide. Cells larger than that look paler.
    """
    side = max(3, min(image.shape[:2]) // 4 | 1)
    small = max(1, side // 16)
    shape = (max(1, image.shape[1] // small), max(1, image.shape[0] // small))
    coarse = cv2.resize(image, shape, interpolation=cv2.INTER_AREA)
    width = max(3, side // small | 1)
    closed = cv2.morphologyEx(coarse, cv2.MORPH_CLOSE, np.ones((width, width), np.uint8))
    glass = cv2.GaussianBlur(closed, (0, 0), width / 2, borderType=cv2.BORDER_REPLICATE)
    glass = cv2.resize(glass, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
    wanted = np.full(3, 255.0) if reference is None else background_colour(reference).astype(np.float64)
    return _bytes(image / np.maximum(glass.astype(np.float64), 1) * wanted)


def reinhard(image: RGBImage, reference: RGBImage | None = None) -> RGBImage:
    """Return the image with mean and deviation of each CIELAB channel moved to the reference's (Reinhard et al. 2001)."""
    lab = _lab(image)
    mean, std = lab.mean(axis=(0, 1)), lab.std(axis=(0, 1))
    if reference is None:
        wanted_mean, wanted_std = _REINHARD_MEAN, _REINHARD_STD
    else:
        other = _lab(reference)
        wanted_mean, wanted_std = other.mean(axis=(0, 1)), other.std(axis=(0, 1))
    moved = (lab - mean) * (wanted_std / np.maximum(std, 1e-6)) + wanted_mean
    moved[..., std < 1e-6] = wanted_mean[std < 1e-6]
    rgb = cv2.cvtColor(moved.astype(np.float32), cv2.COLOR_LAB2RGB)
    return _bytes(rgb.astype(np.float64) * 255)


def macenko(image: RGBImage, reference: RGBImage | None = None) -> RGBImage:
    """Return the image with its two stains replaced by the reference's (Macenko et al. 2009).

    An image with fewer than two stained colours comes back as it is.
    """
    own = stain_vectors(image)
    if own is None:
        return image.copy()
    _, strengths, amounts = own
    wanted, wanted_strengths = _STAINS, _STRENGTHS
    if reference is not None:
        other = stain_vectors(reference)
        if other is None:
            raise ParameterError(
                "Expected `reference` to show two stains, but got an image of fewer; choose a field with cells."
            )
        wanted, wanted_strengths = other[0], other[1]
    amounts = amounts * (wanted_strengths / np.maximum(strengths, 1e-6))
    density = amounts @ wanted
    return _bytes(241 * np.exp(-density).reshape(image.shape) - 1)


def stain_vectors(image: RGBImage) -> tuple[Matrix, Matrix, Matrix] | None:
    """Return two stains, their strengths, and how much of each a pixel holds.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        Unit optical densities (2, 3), the bluer stain first; 99th percentiles of amounts (2,); amounts (H * W, 2).
        None if the image holds fewer than two stained colours.
    """
    density = -np.log((image.reshape(-1, 3).astype(np.float64) + 1) / 241)
    stained = density[(density >= _LEAST_STAIN).all(axis=1)]
    if len(np.unique(stained, axis=0)) < 3:
        return None
    _, vectors = np.linalg.eigh(np.cov(stained.T))
    second, main = vectors[:, 1], vectors[:, 2] * np.sign(vectors[:, 2].sum() or 1)
    angles = np.arctan2(stained @ second, stained @ main)
    ends = np.percentile(angles, [_ANGLE, 100 - _ANGLE])
    one, other = (np.cos(angle) * main + np.sin(angle) * second for angle in ends)
    stains = np.array([one, other] if one[0] > other[0] else [other, one])
    if np.linalg.matrix_rank(stains, tol=1e-6) < 2:
        return None
    amounts = np.linalg.lstsq(stains.T, density.T, rcond=None)[0].T
    return stains, np.percentile(amounts, 99, axis=0), amounts


NORMALISERS: Mapping[str, Callable[[RGBImage, RGBImage | None], RGBImage]] = MappingProxyType(
    {"grey-world": grey_world, "flat-field": flat_field, "reinhard": reinhard, "macenko": macenko}
)
"""Every normaliser by its name."""


def normalise(image: npt.NDArray[Any], name: str, reference: npt.NDArray[Any] | None = None) -> RGBImage:
    """Return the image with illumination or colour normalised.

    Args:
        image: (H, W, 3) uint8 RGB.
        name: A key of `NORMALISERS`.
        reference: An image to be like, (H, W, 3) uint8 RGB of any size; None takes stored values.
    """
    if name not in NORMALISERS:
        near = difflib.get_close_matches(name, NORMALISERS, 1)
        hint = f"did you mean {near[0]}?" if near else "choose one of them."
        raise ParameterError(
            f"Expected `name` to be one of {', '.join(NORMALISERS)}, but got {name!r}; {hint}"
        )
    return NORMALISERS[name](check_image(image), None if reference is None else check_image(reference))


def _lab(image: RGBImage) -> Floats:
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return lab.astype(np.float32, copy=False)


def _bytes(values: npt.NDArray[np.float64]) -> RGBImage:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
