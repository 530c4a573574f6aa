"""Rendered fields with their masks, more varied than the default slides: what segmentation networks learn from."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from stages.data.smears.field import render_field
from stages.data.smears.slides import Slide, make_slide

_DIAGNOSES = {"normal": 0.55, "L1": 0.15, "L2": 0.15, "L3": 0.15}

Bytes = npt.NDArray[np.uint8]


def render_masked(
    count: int,
    seed: int,
    *,
    side: int = 320,
    pixels_per_um: tuple[float, float] = (3.3, 9.5),
    told: Callable[[int, int], None] | None = None,
) -> tuple[Bytes, Bytes]:
    """Render fields, each of a slide of its own.

    Args:
        count: Fields N.
        seed: Seed of everything.
        side: Height and width S of a field in pixels.
        pixels_per_um: Smallest and largest magnification, drawn evenly in its logarithm. A white cell of 12 um is 40 to 114
            pixels across.
        told: Called with (fields done, N) after each.

    Returns:
        (N, S, S, 3) uint8 RGB and (N, S, S) uint8 labels: 0 background, 1 cytoplasm, 2 nucleus.
    """
    images = np.empty((count, side, side, 3), np.uint8)
    labels = np.empty((count, side, side), np.uint8)
    rng = np.random.default_rng([seed, 77])
    low, high = (math.log(limit) for limit in pixels_per_um)
    for number in range(count):
        slide = _varied(make_slide(seed, number), rng)
        scale = math.exp(rng.uniform(low, high))
        diagnosis = str(rng.choice(list(_DIAGNOSES), p=list(_DIAGNOSES.values())))
        field = render_field(diagnosis, slide, number, side, side, scale)
        images[number] = field.image
        labels[number] = field.cytoplasm + np.uint8(2) * field.nucleus
        if told is not None:
            told(number + 1, count)
    return images, labels


def _varied(slide: Slide, rng: np.random.Generator) -> Slide:
    # Real fields are often more crowded than the default slides: red cells touch white ones everywhere.
    return replace(slide, red_cover=float(rng.uniform(0.15, 0.75)), overlap=float(rng.uniform(0.0, 0.5)))
