"""The noncentral t distribution, for effect sizes and power (`scipy.stats.nct` returns NaN far from its centre)."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import special, stats

from mtl.statistics._checks import Floats

__all__ = ["noncentral_t_cdf"]

_PANELS, _NODES = 60, 20
_FAR = 50.0


def noncentral_t_cdf(value: float, df: float, shift: float) -> float:
    """Return the probability that (Z + shift) / S is at most `value`, Z normal, S^2 chi-square over df.

    The integral over S (over Z where |value| is large, where it is the smoother one) is summed by Gauss-Legendre panels.

    Source: Johnson, Kotz & Balakrishnan (1995), Continuous univariate distributions 2, 31.5.

    Args:
        value: Where the distribution function is asked for.
        df: Degrees of freedom, above 0.
        shift: Noncentrality.
    """
    if value < 0:
        return 1.0 - noncentral_t_cdf(-value, df, -shift)
    if value <= _FAR:
        low, high = float(stats.chi.ppf(1e-15, df)), float(stats.chi.isf(1e-15, df))
        place, weight = _panels()
        chi = low + (high - low) * place
        mass = (high - low) * weight * stats.chi.pdf(chi, df)
        return min(1.0, float((mass * special.ndtr(value * chi / np.sqrt(df) - shift)).sum()))
    place, weight = _panels()
    normal = 20 * place - 10
    mass = 20 * weight * stats.norm.pdf(normal)
    needed = np.maximum(normal + shift, 0.0) / value
    return min(1.0, float((mass * special.gammaincc(df / 2, df * np.square(needed) / 2)).sum()))


@cache
def _panels() -> tuple[Floats, Floats]:
    """Return places in [0, 1] and their weights, which add up to 1."""
    node, weight = np.polynomial.legendre.leggauss(_NODES)
    start = np.arange(_PANELS)[:, None] / _PANELS
    places: Floats = (start + (node + 1) / 2 / _PANELS).ravel()
    weights: Floats = np.tile(weight / 2 / _PANELS, _PANELS)
    return places, weights
