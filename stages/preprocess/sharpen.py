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
    return _rms(grey - _blurred(grey, sigma)) / spread if spread >= _FLAT else 0.0


def sharpen(image: Image, aim: float, sigma: float, most: float) -> Image:
    """Return the image, as sharp as the aim where an amount up to `most` reaches that; sharper ones as they are.

    With detail D = L - G * L of the lightness L, all channels get a * D, which makes the detail D + a * (D - G * D): the least a whose
    detail has the deviation asked for is the root of a quadratic.

    Args:
        image: (H, W, 3) uint8 RGB.
        aim: What `sharpness` shall be.
        sigma: Of the Gaussian G, in px.
        most: Largest amount a.
    """
    grey = _grey(image)
    spread = float(grey.std())
    if spread < _FLAT:
        return image
    detail = grey - _blurred(grey, sigma)
    finer = detail - _blurred(detail, sigma)
    amount = _amount(detail, finer, aim * spread, most)
    if amount <= 0:
        return image
    return np.clip(np.rint(image + np.float32(amount) * detail[..., None]), 0, 255).astype(np.uint8)


def _amount(detail: Floats, finer: Floats, aim: float, most: float) -> float:
    """Return the least a from 0 to `most` at which the mean square of detail + a * finer is aim squared, else `most`."""
    square, mixed = float(np.mean(finer * finer)), float(np.mean(detail * finer))
    missing = aim * aim - float(np.mean(detail * detail))
    if missing <= 0:
        return 0.0
    if square <= 0:
        return most
    root = (-mixed + float(np.sqrt(mixed * mixed + square * missing))) / square
    return min(root, most)


def _grey(image: Image) -> Floats:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.float32)


def _blurred(values: Floats, sigma: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values * values)))
