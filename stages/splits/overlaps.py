"""Fields of view that share cells because the stage moved less than a field between two shots.

Such pairs are no near-duplicates (as pictures they differ), yet a network that trained on one has seen the cells of the
other. File numbers do not give them away: in the Taleqani set a third of them are not neighbours.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import numpy.typing as npt
from scipy import fft

__all__ = ["MOST", "overlapping"]

MOST = 6000
_COARSE = 32
_COARSE_BLUR = 1.5
_PEAK = 0.36
_COARSE_SCORE = 0.45
_FINE = 64
_SHARED = 0.25
_SCORES = ((3.0, 0.7), (1.5, 0.65))  # blur that detail is what is left above, least correlation
_PLAIN = 1e-3
_BATCH = 256

Pairs = list[tuple[int, int]]
Array = npt.NDArray[np.float32]


def overlapping(thumbnails: npt.NDArray[np.uint8]) -> Pairs:
    """Return pairs (i, j), i < j, of images that show one place of a slide, shifted against each other.

    Every pair is cross-correlated at 32x32 px, all shifts at once by the Fourier transform (Lewis 1995). Where a peak
    stands out, the rectangles that both would share are compared: their colour detail must correlate at 0.45 or more at
    that size, and at 64x64 px at 0.7 or more, of which the finer half at 0.65 or more. Where both share half of the image
    or more next to none is missed; below that a few in a hundred are, and below a quarter none is looked for.

    The thresholds are measured. Of 3 million pairs of Taleqani fields, chance reaches 0.42, and some 430 pairs, all of one
    class, lie above 0.7. Look-alike single cells on plain ground (Zheng 2018) reach 0.79, but 0.62 in the finer half,
    which Taleqani pairs seldom miss (1 in 100).

    Args:
        thumbnails: (N, S, S, 3) uint8 RGB, upright: a camera does not turn between two shots. Time grows with the
            square of N; `MOST` is what takes about half a minute.
    """
    if len(thumbnails) < 2:
        return []
    return [
        (i, j)
        for i, j, y, x in _candidates(thumbnails)
        if all(_score(thumbnails[i], thumbnails[j], y, x, blur) >= least for blur, least in _SCORES)
    ]


def _candidates(thumbnails: npt.NDArray[np.uint8]) -> Iterator[tuple[int, int, int, int]]:
    """Yield (i, j, y, x): image i, moved by (y, x) px of the fine size, may cover image j."""
    spectra = fft.rfft2(np.stack([_grey_detail(image) for image in thumbnails]))
    colour = np.stack([_detail(_square(image, _COARSE), _COARSE_BLUR) for image in thumbnails])
    shift = np.minimum(np.arange(_COARSE), _COARSE - np.arange(_COARSE))
    shared = np.outer(_COARSE - shift, _COARSE - shift) / _COARSE**2
    # A shared rectangle of area a holds the fraction a of the energy of both; dividing by its root lets small ones pass
    # without giving their chance peaks full weight.
    weight = (1 / np.sqrt(np.maximum(shared, _SHARED))).astype(np.float32)
    half, step = _COARSE // 2, _FINE // _COARSE

    def search(i: int) -> list[tuple[int, int, int, int]]:
        found = []
        for start in range(i + 1, len(spectra), _BATCH):
            others = spectra[start : start + _BATCH] * spectra[i].conj()
            surface = fft.irfft2(others, s=(_COARSE, _COARSE), overwrite_x=True) * weight
            peaks = surface.reshape(len(others), -1)
            for row in np.flatnonzero(peaks.max(axis=1) >= _PEAK):
                j = start + int(row)
                at = divmod(int(peaks[row].argmax()), _COARSE)
                y, x = ((place + half) % _COARSE - half for place in at)
                if _correlation(_rectangle(colour[j], y, x), _rectangle(colour[i], -y, -x)) >= _COARSE_SCORE:
                    found.append((i, j, y * step, x * step))
        return found

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(search, range(len(spectra) - 1)):
            yield from found


def _score(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8], y: int, x: int, blur: float) -> float:
    """Return the best correlation of the shared rectangles within a coarse pixel of the shift (y, x)."""
    here, there = (_detail(_square(image, _FINE), blur) for image in (first, second))
    margin = _FINE // _COARSE
    template = _rectangle(there, y, x)[margin:-margin, margin:-margin]
    if float(template.std()) < _PLAIN:  # OpenCV scores plain ground as a perfect match
        return 0.0
    return float(
        cv2.matchTemplate(
            np.ascontiguousarray(_rectangle(here, -y, -x)),
            np.ascontiguousarray(template),
            cv2.TM_CCOEFF_NORMED,
        ).max()
    )


def _rectangle(image: Array, y: int, x: int) -> Array:
    """Return the part of a square image that its copy, moved by (y, x), covers."""
    side = len(image)
    return image[max(0, y) : side + min(0, y), max(0, x) : side + min(0, x)]


def _correlation(first: Array, second: Array) -> float:
    one, two = first - first.mean((0, 1)), second - second.mean((0, 1))
    size = float(np.sqrt((one * one).sum() * (two * two).sum()))
    # Without detail there is nothing to recognise: plain ground equals plain ground everywhere.
    return float((one * two).sum()) / size if size > 0 else 0.0


def _square(image: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    if image.shape[:2] == (side, side):
        return image
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def _detail(image: npt.NDArray[np.uint8], blur: float) -> Array:
    pixels = image.astype(np.float32)
    return np.asarray(pixels - cv2.GaussianBlur(pixels, (0, 0), blur), np.float32)


def _grey_detail(image: npt.NDArray[np.uint8]) -> Array:
    grey = np.asarray(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY), np.uint8)
    detail = _detail(_square(grey, _COARSE), _COARSE_BLUR)
    detail -= detail.mean()
    return detail / max(float(np.linalg.norm(detail)), 1e-6)
