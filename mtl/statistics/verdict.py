"""A test's result in one plain sentence."""

from __future__ import annotations

import numpy as np

from mtl.statistics._checks import fraction
from mtl.statistics._errors import expected
from mtl.statistics._result import TestResult
from mtl.statistics.power import Power

__all__ = ["verdict_of"]

_LEVEL = 0.05


def verdict_of(
    result: TestResult,
    first_name: str,
    second_name: str,
    *,
    points: float = 100.0,
    adjusted_p: float | None = None,
    power: Power | None = None,
) -> str:
    """Return what a test of two methods has shown, at the 5 % level.

    Source: none; the house's wording. "No difference shown" is never "no difference": hence the interval and the power.

    Args:
        result: Of a test with a difference and an interval.
        first_name: Of the first method.
        second_name: Of the second.
        points: Points in one unit of the score: 100 for scores from 0 to 1, 1 for scores in per cent.
        adjusted_p: p adjusted for several comparisons (`holm`), which then decides.
        power: Of the comparison, said where no difference is shown.

    Raises:
        StatisticsError: If `points` is not positive or `adjusted_p` not in [0, 1].
    """
    if not 0 < points < float("inf"):
        raise expected("points", "above 0", points, "pass 100 for scores from 0 to 1")
    if adjusted_p not in (None, 0, 1):
        fraction(float(adjusted_p or 0), "adjusted_p")
    unshown = f"No difference shown between {first_name} and {second_name}"
    if not np.isfinite(result.p):
        return f"{unshown}: {_points((result.difference,), points)[0]} points, but {_lower(result.note)}"
    if result.note.startswith("All differences are zero"):
        return f"{unshown}: all {result.n} differences are zero"
    p = result.p if adjusted_p is None else adjusted_p
    label = "corrected p" if result.name.startswith("corrected") else f"{result.name} p"
    label += "" if adjusted_p is None else " (Holm-adjusted)"
    sign = 1.0 if p >= _LEVEL or result.difference >= 0 else -1.0
    ends = sorted((sign * result.low, sign * result.high))
    difference, low, high = _points((sign * result.difference, *ends), points)
    interval = f", 95 % CI [{low}, {high}]" if np.isfinite(ends).all() else ""
    numbers = f"{difference} points{interval}, {label} {_p_text(p)}"
    if p < _LEVEL:
        winner, loser = (first_name, second_name) if sign > 0 else (second_name, first_name)
        return f"{winner} beats {loser} by {numbers}"
    return f"{unshown}: {numbers}{'' if power is None else _power_text(power, points)}"


def _power_text(power: Power, points: float) -> str:
    share = f"{100 * power.power:.0f} %"
    asked = f"{power.difference * points:g}"
    unit = "point" if asked == "1" else "points"
    said = f"; power to show {asked} {unit} is {share}"
    target = f"{100 * power.target:.0f} %"
    if power.repeats_needed is None:
        return f"{said}, and no number of repeats lifts it to {target}"
    if power.repeats_needed > power.repeats:
        return f"{said}, {target} needs {power.repeats_needed} repeats"
    return said


def _points(values: tuple[float, ...], points: float) -> list[str]:
    """Return numbers in points, with as many decimals (1 to 4) as keep what is not zero from reading zero."""
    shown = [value * points for value in values]
    real = [value for value in shown if np.isfinite(value) and abs(value) > 1e-12 * points]
    decimals = next((d for d in (1, 2, 3) if all(abs(value) >= 0.5 * 10.0**-d for value in real)), 4)
    return [f"{round(value, decimals) + 0.0:.{decimals}f}" for value in shown]


def _p_text(p: float) -> str:
    """Return "= 0.02", with more digits where two would move p across 5 %; "< 0.001" below that."""
    if p < 0.001:
        return "< 0.001"
    for digits in (2, 3, 4, 5):
        text = f"{p:.{digits}g}"
        if (float(text) < _LEVEL) == (p < _LEVEL):
            break
    return f"= {text}"


def _lower(note: str) -> str:
    return note[:1].lower() + note[1:].rstrip(".")
