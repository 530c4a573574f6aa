"""Thresholding: an RGB image in, labels 0 background, 1 cytoplasm, 2 nucleus out. Pure functions, nothing learned."""

from segmentation.threshold.hsv import fit_hsv
from segmentation.threshold.mixer import isolate
from segmentation.threshold.normalise import NORMALISERS, measure, move, normalise, pool
from segmentation.threshold.registry import DEFAULT, METHODS, Method, method, threshold
from segmentation.threshold.watershed import split_touching

__all__ = [
    "DEFAULT",
    "METHODS",
    "NORMALISERS",
    "Method",
    "fit_hsv",
    "isolate",
    "measure",
    "method",
    "move",
    "normalise",
    "pool",
    "split_touching",
    "threshold",
]
