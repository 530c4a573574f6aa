"""Outlines of nuclei: round, cleft, lobed and kidney-shaped."""

import numpy as np
import numpy.typing as npt

from stages.data.smears.recipes import Recipe
from stages.data.smears.shapes import Notch, Outline, chain_distance, outline_distance, wobbly

Array = npt.NDArray[np.float32]
Disc = tuple[float, float, float]


def nucleus_distance(
    rng: np.random.Generator, recipe: Recipe, cell_radius: float, x: Array, y: Array, scale: float
) -> Array:
    """Draw a nucleus at random and measure the distance to its outline.

    Args:
        rng: Source of randomness.
        recipe: Morphology of the cell.
        cell_radius: Mean radius of the cell in pixels.
        x: (H, W) float32 horizontal pixel offsets from the cell's centre.
        y: (H, W) float32 vertical pixel offsets from the cell's centre.
        scale: Pixels in a micrometre.

    Returns:
        (H, W) float32, negative inside.
    """
    radius = cell_radius * float(np.sqrt(rng.uniform(*recipe.nuclear_share)))
    if recipe.nucleus == "lobed":
        lobes = (
            2
            if recipe.granules == "eosin"
            else int(rng.choice((1, 2, 3, 4, 5), p=(0.12, 0.18, 0.36, 0.26, 0.08)))
        )
        discs = _band(rng, radius) if lobes == 1 else _lobes(rng, radius, lobes)
        return chain_distance(_fitted(discs, 0.93 * cell_radius), x, y, 0.3 * scale)
    if recipe.nucleus == "kidney":
        return chain_distance(_fitted(_kidney(rng, radius), 0.95 * cell_radius), x, y, 0.5 * scale)
    outline = wobbly(rng, radius, recipe.nuclear_wobble, float(rng.uniform(1.0, 1.14)))
    if recipe.nucleus == "cleft":
        outline = _cleft(rng, outline)
    # Nuclei seldom sit in the middle: one side shows the crescent of cytoplasm.
    slack, turn = (cell_radius - radius) * float(rng.uniform(0.1, 0.95)), float(rng.uniform(0, 2 * np.pi))
    return outline_distance(
        outline, x - np.float32(slack * np.cos(turn)), y - np.float32(slack * np.sin(turn))
    )


def _cleft(rng: np.random.Generator, outline: Outline) -> Outline:
    first, count = float(rng.uniform(0, 2 * np.pi)), int(rng.choice((1, 2), p=(0.6, 0.4)))
    notches = tuple(
        Notch(
            first + number * float(rng.uniform(1.8, 3.4)),
            float(rng.uniform(0.3, 0.65)),
            float(rng.uniform(0.12, 0.3)),
        )
        for number in range(count)
    )
    aspect = outline.aspect * float(rng.uniform(1.0, 1.25))
    radius = outline.radius * (1 + 0.06 * count)
    return Outline(radius, aspect, outline.angle, outline.amplitudes, outline.phases, notches)


def _lobes(rng: np.random.Generator, radius: float, count: int) -> list[Disc]:
    # The lobes walk along a bent path, mostly turning one way: C, U, S and E forms come out by themselves.
    lobe = radius * 0.92 / float(np.sqrt(count))
    heading, bend = float(rng.uniform(0, 2 * np.pi)), float(rng.choice((-1, 1)) * rng.uniform(0.5, 1.5))
    x, y, discs = 0.0, 0.0, []
    for number in range(count):
        size = lobe * float(rng.uniform(0.85, 1.15))
        if number:
            step = lobe * float(rng.uniform(1.75, 2.25))
            heading += bend * float(rng.uniform(0.5, 1.4)) * (-1 if rng.random() < 0.15 else 1)
            ahead = x + step * float(np.cos(heading)), y + step * float(np.sin(heading))
            discs += _bridge((x, y), ahead, lobe * float(rng.uniform(0.15, 0.5)))
            x, y = ahead
        discs += _oval(rng, (x, y), size)
    return discs


def _oval(rng: np.random.Generator, centre: tuple[float, float], size: float) -> list[Disc]:
    turn, step = float(rng.uniform(0, 2 * np.pi)), size * float(rng.uniform(0.1, 0.45))
    dx, dy = step * float(np.cos(turn)), step * float(np.sin(turn))
    return [(centre[0] - dx, centre[1] - dy, size * 0.9), (centre[0] + dx, centre[1] + dy, size * 0.9)]


def _bridge(start: tuple[float, float], end: tuple[float, float], radius: float) -> list[Disc]:
    parts = (0.35, 0.5, 0.65)
    return [
        (start[0] + part * (end[0] - start[0]), start[1] + part * (end[1] - start[1]), radius)
        for part in parts
    ]


def _band(rng: np.random.Generator, radius: float) -> list[Disc]:
    size, heading = radius * float(rng.uniform(0.42, 0.52)), float(rng.uniform(0, 2 * np.pi))
    bend, x, y, discs = float(rng.uniform(0.25, 0.6)), 0.0, 0.0, []
    for _ in range(8):
        discs.append((x, y, size * float(rng.uniform(0.85, 1.1))))
        heading += bend * float(rng.uniform(0.6, 1.3))
        x, y = x + 0.75 * size * float(np.cos(heading)), y + 0.75 * size * float(np.sin(heading))
    return discs


def _kidney(rng: np.random.Generator, radius: float) -> list[Disc]:
    bend, start = float(rng.uniform(1.6, 4.0)), float(rng.uniform(0, 2 * np.pi))
    ring = radius * float(rng.uniform(0.50, 0.66))
    turns = start + np.linspace(0, bend, 6) + rng.normal(0, 0.06, 6)
    sizes = radius * rng.uniform(0.46, 0.60, 6)
    return [
        (ring * float(np.cos(t)), ring * float(np.sin(t)), float(s))
        for t, s in zip(turns, sizes, strict=True)
    ]


def _fitted(discs: list[Disc], reach: float) -> list[Disc]:
    # Centre the chain, then pull it in where it would leave the cell; sizes stay, so that the area does.
    cx, cy = (float(np.mean([disc[axis] for disc in discs])) for axis in (0, 1))
    spread = max(float(np.hypot(x - cx, y - cy)) / max(reach - size, 1e-3) for x, y, size in discs)
    shrink = 1 / max(spread, 1.0)
    return [((x - cx) * shrink, (y - cy) * shrink, size) for x, y, size in discs]
