"""The discrete orthonormal Stockwell transform (Stockwell 2007), by Fourier transforms of its bands (Wang & Orchard 2009)."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from stages.classical_settings import ClassicalSettings
from stages.learners.classical.features.view import Floats, View

__all__ = ["bands", "columns", "describe", "dost", "inverse_dost"]

_SIDE = 64
Complex = npt.NDArray[np.complex128]


def columns(_: ClassicalSettings) -> tuple[str, ...]:
    """Return the names of the features."""
    octaves = range(_SIDE.bit_length())
    return tuple(f"octaves {down} and {across}" for down in octaves for across in octaves)


def describe(view: View, _: ClassicalSettings) -> Floats:
    """Return how much lies in every pair of octaves: the log of the mean size of their coefficients, (49,).

    Of the grey image at 64 x 64 px, its mean taken away and what does not count at 0.
    """
    mask = view.mask
    grey = np.where(mask, view.grey - view.grey[mask].mean(), 0.0)
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float64)
    size = np.abs(dost(dost(small).T).T)
    sums, counts = _by_octave(_SIDE)
    means = sums @ size @ sums.T / np.outer(counts, counts)
    found: Floats = np.log1p(means).ravel()
    return found


@cache
def bands(side: int) -> tuple[tuple[int, int], ...]:
    """Return the bands that tile the frequencies of `side` samples: first frequency and how many, from -side/2 up.

    >>> bands(8)
    ((-4, 1), (-3, 2), (-1, 1), (0, 1), (1, 1), (2, 2))
    """
    if side < 2 or side & (side - 1):
        raise ValueError(f"Expected `side` to be a power of 2, but got {side}; do resize first")
    octaves = [(1 << power, 1 << power) for power in range(side.bit_length() - 2)]
    negative = [(1 - first - count, count) for first, count in reversed(octaves)]
    return ((-side // 2, 1), *negative, (0, 1), *octaves)


def dost(signals: npt.NDArray[np.generic]) -> Complex:
    """Return the coefficients of signals (..., N) along their last axis, N a power of 2; orthonormal, so energies are kept.

    Within a band they run over time; bands follow each other as `bands` has them.
    """
    side, tiles = signals.shape[-1], bands(signals.shape[-1])
    spectrum = np.fft.fftshift(np.fft.fft(signals, norm="ortho"), axes=-1)
    found = np.empty_like(spectrum)
    for first, count in tiles:
        part = slice(first + side // 2, first + side // 2 + count)
        found[..., part] = np.fft.ifft(spectrum[..., part], norm="ortho") * _turn(count)
    return found


def inverse_dost(coefficients: Complex) -> Complex:
    """Return the signals (..., N) that `dost` took apart."""
    side = coefficients.shape[-1]
    spectrum = np.empty_like(coefficients)
    for first, count in bands(side):
        part = slice(first + side // 2, first + side // 2 + count)
        spectrum[..., part] = np.fft.fft(coefficients[..., part] / _turn(count), norm="ortho")
    return np.fft.ifft(np.fft.ifftshift(spectrum, axes=-1), norm="ortho")


def _turn(count: int) -> Floats:
    """Stockwell's factor that keeps neighbouring band samples in phase: (-1)^time."""
    return (-1.0) ** np.arange(count)


@cache
def _by_octave(side: int) -> tuple[Floats, Floats]:
    """Return which coefficients are of each octave, (octaves, N) of 0 and 1, and how many; a band and its mirror are one."""
    octave = np.empty(side, np.int64)
    for first, count in bands(side):
        lowest = min(abs(first), abs(first + count - 1))
        octave[first + side // 2 : first + side // 2 + count] = lowest.bit_length()
    chosen = (octave == np.arange(side.bit_length())[:, None]).astype(np.float64)
    return chosen, chosen.sum(axis=1)
