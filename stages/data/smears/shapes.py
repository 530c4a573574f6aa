"""Signed distances of soft biological outlines: negative inside, in pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

_ANGLES = 1024
_THETA = np.arange(_ANGLES) * (2 * np.pi / _ANGLES)
_ORDERS = np.arange(2, 18)[:, None]
_COSINES, _SINES = np.cos(_ORDERS * _THETA), np.sin(_ORDERS * _THETA)


@dataclass(frozen=True)
class Notch:
    """A wedge cut into an outline, as in a cleft nucleus.

    Attributes:
        angle: Where it lies, radians.
        depth: Part of the radius that is taken away, 0 to 1.
        width: Standard deviation of the wedge, radians.
    """

    angle: float
    depth: float
    width: float


@dataclass(frozen=True)
class Outline:
    """A closed outline around a centre: an ellipse with Fourier perturbations and notches.

    Attributes:
        radius: Mean radius in pixels.
        aspect: Long axis over short axis, at least 1; the area is kept.
        angle: Direction of the long axis, radians.
        amplitudes: Relative amplitude of each harmonic, from order 2 on.
        phases: Phase of each harmonic, radians.
        notches: Wedges cut into it.
    """

    radius: float
    aspect: float
    angle: float
    amplitudes: tuple[float, ...] = ()
    phases: tuple[float, ...] = ()
    notches: tuple[Notch, ...] = ()

    def table(self) -> Array:
        """Radius over `_ANGLES` equal angles."""
        edge = np.ones(_ANGLES)
        if self.amplitudes:
            sizes, phases, last = np.asarray(self.amplitudes), np.asarray(self.phases), len(self.amplitudes)
            edge += (sizes * np.cos(phases)) @ _COSINES[:last] - (sizes * np.sin(phases)) @ _SINES[:last]
        for notch in self.notches:
            turn = (_THETA - notch.angle + np.pi) % (2 * np.pi) - np.pi
            edge *= 1 - notch.depth * np.exp(-((turn / notch.width) ** 2))
        edge *= self.radius
        return edge.astype(np.float32)


def wobbly(
    rng: np.random.Generator, radius: float, wobble: float, aspect: float = 1.0, orders: int = 6
) -> Outline:
    """Draw an outline at random; low harmonics weigh most, as surface tension makes them.

    Args:
        rng: Source of randomness.
        radius: Mean radius in pixels.
        wobble: Relative amplitude of the whole perturbation (0.02 smooth, 0.1 irregular).
        aspect: Long axis over short axis.
        orders: Number of harmonics.

    Returns:
        The outline.
    """
    scale = wobble / np.arange(2, orders + 2) ** 0.8
    return Outline(
        radius=radius,
        aspect=aspect,
        angle=float(rng.uniform(0, 2 * np.pi)),
        amplitudes=tuple((rng.standard_normal(orders) * scale).tolist()),
        phases=tuple(rng.uniform(0, 2 * np.pi, orders).tolist()),
    )


def outline_distance(outline: Outline, x: Array, y: Array) -> Array:
    """Radial distance to an outline centred at the origin.

    Args:
        outline: The outline.
        x: (H, W) float32 horizontal pixel offsets from the centre.
        y: (H, W) float32 vertical pixel offsets from the centre.

    Returns:
        (H, W) float32, negative inside.
    """
    stretch = float(np.sqrt(outline.aspect))
    cosine, sine = float(np.cos(outline.angle)), float(np.sin(outline.angle))
    along = (x * cosine + y * sine) / stretch
    across = (y * cosine - x * sine) * stretch
    radius, theta = cv2.cartToPolar(along, across)
    index = (theta * (_ANGLES / (2 * np.pi))).astype(np.int32) % _ANGLES
    return np.asarray(radius - outline.table()[index], dtype=np.float32)


def chain_distance(discs: Sequence[tuple[float, float, float]], x: Array, y: Array, blend: float) -> Array:
    """Distance to the smooth union of discs, as lobes joined by bridges.

    Args:
        discs: (x, y, radius) of each disc in pixels.
        x: (H, W) float32 horizontal pixel offsets.
        y: (H, W) float32 vertical pixel offsets.
        blend: Length in pixels over which neighbours melt together.

    Returns:
        (H, W) float32, negative inside.
    """
    total = np.zeros_like(x)
    for cx, cy, radius in discs:
        distance = cv2.magnitude(x - np.float32(cx), y - np.float32(cy)) - np.float32(radius)
        total += cv2.exp(np.clip(distance / np.float32(-blend), -30, 30))
    return np.asarray(-blend * cv2.log(total), dtype=np.float32)


def intersect(first: Array, second: Array, blend: float) -> Array:
    """Smooth intersection (a rounded maximum) of two distances.

    Args:
        first: (H, W) float32 distance.
        second: (H, W) float32 distance.
        blend: Radius in pixels of the rounding.

    Returns:
        (H, W) float32.
    """
    overlap = np.maximum(np.float32(blend) - np.abs(first - second), 0)
    return np.asarray(np.maximum(first, second) + overlap * overlap / np.float32(4 * blend), dtype=np.float32)


def coverage(distance: Array, softness: float) -> Array:
    """Share of a pixel that lies inside: 1 inside, 0 outside, a smooth step of width `softness` pixels."""
    step = np.clip(np.float32(0.5) - distance / np.float32(softness), 0, 1)
    return np.asarray(step * step * (3 - 2 * step), dtype=np.float32)
