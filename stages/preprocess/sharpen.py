"""Adaptive unsharpening, our reading of Genovese et al. 2021 (paper E names the method and gives no formula; docs/preprocessing.md).

How sharp an image is, is measured; one that is less sharp than the aim gets as much of its own detail added as brings it there.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["sharpen", "sharpness"]

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
_FLAT = 1.0  # deviation in grey levels below which there is nothing to sharpen


def sharpness(image: Image, sigma: float) -> float:
    """Return the deviation of an image's detail in parts of the deviation of the image; 0 for a blank one.

    Args:
        image: (H, W, 3) uint8 RGB.
        sigma: Of the Gaussian that parts detail from the rest, in px.
    """
    grey = _grey(image)
    spread = float(grey.std())
    detail = grey - _blurred(grey, sigma)
    return _mean(detail, detail) ** 0.5 / spread if spread >= _FLAT else 0.0


def sharpen(image: Image, aim: float, sigma: float, most: float) -> Image:
    """Return the image, as sharp as the aim where an amount up to `most` reaches that; sharper ones as they are.

    With the detail D = L - G * L of the lightness L, every channel gets a * D: unsharp masking. That makes the lightness L + a * D and
    its detail D + a * (D - G * D), so the least a for which the deviation of the detail is `aim` times the deviation of the lightness
    is the root of a quadratic. Rounding and the ends of the grey scale are not counted.

    Args:
        image: (H, W, 3) uint8 RGB.
        aim: What `sharpness` shall be.
        sigma: Of the Gaussian G, in px.
        most: Largest amount a.
    """
    grey = _grey(image)
    if float(grey.std()) < _FLAT:
        return image
    detail = grey - _blurred(grey, sigma)
    amount = _amount(grey, detail, detail - _blurred(detail, sigma), aim, most)
    if amount <= 0:
        return image
    return np.clip(np.rint(image + np.float32(amount) * detail[..., None]), 0, 255).astype(np.uint8)


def _amount(grey: Floats, detail: Floats, finer: Floats, aim: float, most: float) -> float:
    """Return the least a from 0 to `most` with E[(detail + a finer)^2] = aim^2 Var[grey + a detail], else `most`."""
    (light, shared), (_, spread) = np.cov(grey.ravel(), detail.ravel(), bias=True)
    square = _mean(finer, finer) - aim**2 * spread
    linear = _mean(detail, finer) - aim**2 * shared
    rest = _mean(detail, detail) - aim**2 * light
    if rest >= 0:
        return 0.0
    inner = linear**2 - square * rest
    below = linear + np.sqrt(inner) if inner >= 0 else 0.0
    return float(min(-rest / below, most)) if below > 0 else most


def _grey(image: Image) -> Floats:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.float32)


def _blurred(values: Floats, sigma: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)


def _mean(first: Floats, second: Floats) -> float:
    return float(np.mean(first * second, dtype=np.float64))
