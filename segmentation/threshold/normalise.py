"""Illumination and colour made alike across smears: grey-world, flat field, Reinhard, Macenko.

All take and return (H, W, 3) uint8 RGB. Each moves an image to values that can be measured on other images (`measure`) and pooled
(`pool`), or to values of its own.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from segmentation.errors import ParameterError
from segmentation.threshold.image import Floats, RGBImage, background_colour, check_image

__all__ = [
    "NORMALISERS",
    "flat_field",
    "grey_world",
    "macenko",
    "measure",
    "move",
    "normalise",
    "pool",
    "reinhard",
    "stain_vectors",
]

Matrix = npt.NDArray[np.float64]

_REINHARD: Final = np.array([81.0, 5.0, -1.5, 11.6, 8.9, 12.7])
"""CIELAB means and deviations of a smear: rounded averages over 45 fields and crops of BCCD, Taleqani and PBC."""

_MACENKO: Final = np.array([0.5626, 0.7201, 0.4062, 0.2159, 0.8012, 0.5581, 1.9705, 1.0308])
"""Reference of Macenko et al. 2009, as published with their method: haematoxylin-like and eosin-like, and 99th percentiles."""

_LEAST_STAIN = 0.15
_LEAST_STRENGTH = 0.05  # optical density below which a stain is as good as absent, and would be blown up
_SAME_STAIN = (
    0.995  # cosine above which two stains are one and its noise; smears of five laboratories lie below 0.99
)
_DARK = 16  # mean grey level of an image that shows no light, and so no stain
_ANGLE = 1.0  # percentile of the angle that is an end
_DENSITY: Final = -np.log((np.arange(256) + 1.0) / 241)


def grey_world(image: RGBImage, target: Matrix | None = None) -> RGBImage:
    """Return the image with channels scaled so that their means agree (Buchsbaum 1980), or are the target's (3,)."""
    means = _channel_means(image)
    wanted = np.full(3, means.mean()) if target is None else target
    gains = wanted / np.maximum(means, 1e-6)
    levels = _bytes(np.arange(256)[:, None] * gains)
    return np.stack([cv2.LUT(image[..., channel], levels[:, channel]) for channel in range(3)], axis=-1)


def flat_field(image: RGBImage, target: Matrix | None = None) -> RGBImage:
    """Return the image divided by its own slowly varying glass, which becomes white, or the target's colour (3,).

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
    wanted = np.full(3, 255.0) if target is None else target
    return _bytes(image / np.maximum(glass.astype(np.float64), 1) * wanted)


def reinhard(image: RGBImage, target: Matrix | None = None) -> RGBImage:
    """Return the image with mean and deviation of each CIELAB channel moved to the target's (Reinhard et al. 2001).

    Args:
        image: (H, W, 3) uint8 RGB.
        target: Three means, three deviations (6,); None takes those of many smears.
    """
    lab = _lab(image)
    mean, std = np.split(_lab_moments(lab), 2)
    wanted_mean, wanted_std = np.split(_REINHARD if target is None else target, 2)
    # A flat channel is put where the target's mean lies.
    gain = np.where(std < 1e-6, 0, wanted_std / np.maximum(std, 1e-6))
    moved = (lab - mean.astype(np.float32)) * gain.astype(np.float32) + wanted_mean.astype(np.float32)
    rgb = cv2.cvtColor(moved, cv2.COLOR_LAB2RGB)
    return _bytes(rgb * np.float32(255))


def macenko(image: RGBImage, target: Matrix | None = None) -> RGBImage:
    """Return the image with its two stains replaced by the target's (Macenko et al. 2009).

    An image without two stains (blank, black, grey) comes back as it is.

    Args:
        image: (H, W, 3) uint8 RGB.
        target: Two optical densities of three, and two strengths (8,); None takes the published ones.
    """
    own = stain_vectors(image)
    if own is None:
        return image.copy()
    _, strengths, amounts = own
    wanted = _MACENKO if target is None else target
    density = (amounts * (wanted[6:] / strengths)) @ wanted[:6].reshape(2, 3)
    return _bytes(241 * np.exp(-density).reshape(image.shape) - 1)


def stain_vectors(image: RGBImage) -> tuple[Matrix, Matrix, Matrix] | None:
    """Return two stains, their strengths, and how much of each a pixel holds.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        Unit optical densities (2, 3), the bluer stain first; 99th percentiles of amounts (2,); amounts (H * W, 2).
        None if the image is black or holds fewer than three stained colours, or if two stains are one or one is as good as absent.
    """
    if image.mean() < _DARK:
        return None
    density = _DENSITY[image.reshape(-1, 3)]
    stained = density[(density >= _LEAST_STAIN).all(axis=1)]
    if not _three_colours(stained):
        return None
    _, vectors = np.linalg.eigh(np.cov(stained.T))
    second, main = vectors[:, 1], vectors[:, 2] * np.sign(vectors[:, 2].sum() or 1)
    angles = np.arctan2(stained @ second, stained @ main)
    ends = np.percentile(angles, [_ANGLE, 100 - _ANGLE])
    one, other = (np.cos(angle) * main + np.sin(angle) * second for angle in ends)
    stains = np.array([one, other] if one[0] > other[0] else [other, one])
    if stains[0] @ stains[1] > _SAME_STAIN:
        return None
    amounts: Matrix = density @ np.linalg.pinv(stains)
    strengths = np.percentile(amounts, 99, axis=0)
    return (stains, strengths, amounts) if strengths.min() >= _LEAST_STRENGTH else None


NORMALISERS: Mapping[str, Callable[[RGBImage, Matrix | None], RGBImage]] = MappingProxyType(
    {"grey-world": grey_world, "flat-field": flat_field, "reinhard": reinhard, "macenko": macenko}
)
"""Every normaliser by its name."""


def measure(image: npt.NDArray[Any], name: str) -> Matrix | None:
    """Return what a normaliser would move other images to so that they are like this one.

    Args:
        image: (H, W, 3) uint8 RGB.
        name: A key of `NORMALISERS`.

    Returns:
        Mean of channels (`grey-world`, 3), colour of the glass (`flat-field`, 3), means and deviations in CIELAB (`reinhard`, 6),
        stains and strengths (`macenko`, 8). None if the image does not show two stains.
    """
    checked = check_image(image)
    _known(name)
    if name == "grey-world":
        return _channel_means(checked)
    if name == "flat-field":
        return background_colour(checked).astype(np.float64)
    if name == "reinhard":
        return _lab_moments(_lab(checked))
    found = stain_vectors(checked)
    return None if found is None else np.concatenate([found[0].ravel(), found[1]])


def pool(measured: Sequence[Matrix], name: str) -> Matrix:
    """Return one target of many images: the mean, of Macenko's values the median with stains of unit length.

    Args:
        measured: Of each image, as `measure` gives it; one or more.
        name: A key of `NORMALISERS`.
    """
    rows = np.stack(measured)
    if name != "macenko":
        mean: Matrix = rows.mean(axis=0)
        return mean
    target: Matrix = np.median(rows, axis=0)
    stains = target[:6].reshape(2, 3)
    target[:6] = (stains / np.linalg.norm(stains, axis=1, keepdims=True)).ravel()
    return target


def move(image: npt.NDArray[Any], name: str, target: Matrix | None = None) -> RGBImage:
    """Return the image moved to a target of `measure` or `pool`; None takes stored values or the image's own.

    Args:
        image: (H, W, 3) uint8 RGB.
        name: A key of `NORMALISERS`.
        target: Values of this normaliser.
    """
    _known(name)
    return NORMALISERS[name](check_image(image), target)


def normalise(image: npt.NDArray[Any], name: str, reference: npt.NDArray[Any] | None = None) -> RGBImage:
    """Return the image with illumination or colour normalised.

    Args:
        image: (H, W, 3) uint8 RGB.
        name: A key of `NORMALISERS`.
        reference: An image to be like, (H, W, 3) uint8 RGB of any size; None takes stored values or the image's own.
    """
    target = None if reference is None else measure(reference, name)
    if reference is not None and target is None:
        raise ParameterError(
            "Expected `reference` to show two stains, but got an image of fewer; choose a field with cells."
        )
    return move(image, name, target)


def _known(name: str) -> None:
    if name not in NORMALISERS:
        near = difflib.get_close_matches(name, NORMALISERS, 1)
        hint = f"did you mean {near[0]}?" if near else "choose one of them."
        raise ParameterError(
            f"Expected `name` to be one of {', '.join(NORMALISERS)}, but got {name!r}; {hint}"
        )


def _channel_means(image: RGBImage) -> Matrix:
    means: Matrix = image.reshape(-1, 3).mean(axis=0)
    return means


def _three_colours(colours: Matrix) -> bool:
    """Say whether rows hold three or more different colours."""
    for _ in range(2):
        if not len(colours):
            return False
        colours = colours[(colours != colours[0]).any(axis=1)]
    return len(colours) > 0


def _lab(image: RGBImage) -> Floats:
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return lab.astype(np.float32, copy=False)


def _lab_moments(lab: Floats) -> Matrix:
    moments: Matrix = np.concatenate(cv2.meanStdDev(lab)).ravel().astype(np.float64)
    return moments


def _bytes(values: npt.NDArray[Any]) -> RGBImage:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
