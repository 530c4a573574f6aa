"""Paint one white cell: body, nucleus, chromatin, nucleoli, granules, vacuoles."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.data.smears.canvas import Canvas, Window
from stages.data.smears.noise import texture
from stages.data.smears.nuclei import nucleus_distance
from stages.data.smears.recipes import Recipe
from stages.data.smears.shapes import coverage, intersect, outline_distance, wobbly
from stages.data.smears.slides import STAINS, Slide

Array = npt.NDArray[np.float32]
Span = tuple[float, float]

_, _CHROMATIN, _THIAZINE, _EOSIN, _AZUROPHIL = range(len(STAINS))


@dataclass(frozen=True)
class WhiteCell:
    """One white cell that has its place on the canvas.

    Attributes:
        type: One of `CELL_TYPES`.
        x: Horizontal centre in pixels.
        y: Vertical centre in pixels.
        radius: Mean radius in pixels.
        instance: Number of the cell in the field, from 1.
    """

    type: str
    x: float
    y: float
    radius: float
    instance: int


@dataclass(frozen=True)
class _Brush:
    # What every painting step of one cell needs; bundling it keeps the steps at a readable number of arguments.
    rng: np.random.Generator
    recipe: Recipe
    slide: Slide
    window: Window
    scale: float
    radius: float
    edge: float

    def noise(self, band: str) -> Array:
        return texture(self.rng, band, self.window.shape, self.scale)

    def draw(self, span: Span) -> float:
        return float(self.rng.uniform(*span))


def paint_white(
    canvas: Canvas, rng: np.random.Generator, recipe: Recipe, slide: Slide, cell: WhiteCell
) -> None:
    """Paint one white cell onto the canvas; it yields where an earlier white cell already lies.

    Args:
        canvas: Sheet to paint on.
        rng: Source of randomness.
        recipe: Morphology of the cell.
        slide: Stain and sharpness.
        cell: Type, place and size.
    """
    scale = canvas.pixels_per_um
    window = canvas.window(cell.x, cell.y, cell.radius * 1.5 + 2 * scale)
    if window is None:
        return
    brush = _Brush(rng, recipe, slide, window, scale, cell.radius, max(slide.sharpness * scale, 1.0))
    x, y = _warped(brush)
    aspect = float(rng.uniform(1.0, 1.06 + 3 * recipe.wobble))
    place = window.place
    body = outline_distance(wobbly(rng, cell.radius, recipe.wobble, aspect), x, y)
    body = intersect(body, 0.1 * scale - canvas.white_distance[place], 0.8 * scale)
    nucleus = nucleus_distance(rng, recipe, cell.radius, x, y, scale)
    nucleus = intersect(nucleus, body + np.float32(0.25 * scale), 0.6 * scale)
    inside = coverage(body, brush.edge)
    kernel = coverage(nucleus, brush.edge)
    stains = np.zeros((len(STAINS), *window.shape), np.float32)
    _cytoplasm(brush, stains, body, nucleus, inside * (1 - kernel))
    _chromatin(brush, stains, nucleus, kernel)
    lumen = _vacuoles(brush, body, nucleus)
    stains *= 1 - np.float32(0.85) * lumen
    canvas.stains[(slice(None), *place)] += stains
    canvas.path[place] += (
        inside * (np.float32(0.7) + np.float32(0.3) * kernel) - np.float32(0.4) * lumen * inside
    )
    canvas.white_distance[place] = np.minimum(canvas.white_distance[place], body)
    mine = body < 0
    canvas.instances[place][mine] = cell.instance
    canvas.nucleus[place] |= (nucleus < 0) & mine


def _warped(brush: _Brush) -> tuple[Array, Array]:
    # Cell and nucleus bend together, slowly over the cell; a fine tremble roughens irregular cells alone.
    bend = np.float32((0.10 + 2.5 * brush.recipe.wobble) * brush.scale)
    tremble = np.float32(0.6 * brush.recipe.wobble * brush.scale)
    x = brush.window.x + bend * brush.noise("bend") + tremble * brush.noise("cloud")
    y = brush.window.y + bend * brush.noise("bend") + tremble * brush.noise("cloud")
    return x, y


def _cytoplasm(brush: _Brush, stains: Array, body: Array, nucleus: Array, share: Array) -> None:
    recipe, scale = brush.recipe, brush.scale
    depth = np.clip(-body / np.float32(brush.radius * 0.35), 0, 1)
    blue = brush.draw(recipe.thiazine) * brush.slide.basophilia
    # Ribosomes crowd towards the edge of the cell, and the Golgi zone beside the nucleus stays pale.
    cloud = 1 + np.float32(0.12) * brush.noise("cloud") + np.float32(0.10) * brush.noise("fine")
    rim = np.float32(1.18) - np.float32(0.28) * depth
    if recipe.hof:
        turn = float(brush.rng.uniform(0, 2 * np.pi))
        side = (
            brush.window.x * np.float32(np.cos(turn)) + brush.window.y * np.float32(np.sin(turn))
        ) / brush.radius
        near = np.exp(-np.maximum(nucleus, 0) / np.float32(0.9 * scale))
        rim = rim - np.float32(recipe.hof) * near * np.clip(side + 0.4, 0, 1)
    stains[_THIAZINE] += np.float32(blue) * share * np.clip(cloud * rim, 0.1, None)
    pink = brush.draw(recipe.eosin)
    stains[_EOSIN] += np.float32(pink) * share * np.clip(cloud, 0.2, None)
    if recipe.granules == "neutral":
        grain = np.clip(brush.noise("grain") - 0.6, 0, 2.2)
        stains[_AZUROPHIL] += share * grain * np.float32(brush.rng.uniform(0.05, 0.22))
        stains[_EOSIN] += share * np.clip(brush.noise("fine"), 0, 2) * np.float32(0.10)
    elif recipe.granules == "azurophil":
        stains[_AZUROPHIL] += share * np.clip(brush.noise("grain") - 1.0, 0, 2) * np.float32(0.12)
    elif recipe.granules == "eosin":
        beads = np.clip(brush.noise("fine") * np.float32(0.9) + np.float32(0.5), 0, 1.6)
        stains[_EOSIN] += share * beads * np.float32(brush.rng.uniform(0.35, 0.7))


def _chromatin(brush: _Brush, stains: Array, nucleus: Array, kernel: Array) -> None:
    recipe, scale = brush.recipe, brush.scale
    density = brush.draw(recipe.chromatin) * brush.slide.chromasia
    clump = np.tanh(brush.noise("clump")) + np.float32(0.5) * brush.noise("fine")
    pattern = 1 + np.float32(recipe.fine) * brush.noise("fine") + np.float32(recipe.clump) * clump
    pattern += np.float32(0.06) * brush.noise("cloud") + np.float32(0.05) * brush.noise("grain")
    # A nucleus is a flattened ball: thinner, so paler, towards its edge, but outlined by its membrane.
    dome = np.float32(0.82) + np.float32(0.18) * np.clip(-nucleus / np.float32(brush.radius * 0.45), 0, 1)
    rim = np.exp(-(((nucleus + 0.3 * scale) / np.float32(0.3 * scale)) ** 2))
    amount = np.clip(pattern * dome + np.float32(brush.slide.membrane) * rim, 0.25, 1.6)
    pale = _nucleoli(brush, nucleus)
    stains[_CHROMATIN] += np.float32(density) * kernel * amount * (1 - np.float32(0.55) * pale)
    stains[_THIAZINE] += kernel * (np.float32(0.12) + np.float32(0.5) * pale)


def _nucleoli(brush: _Brush, nucleus: Array) -> Array:
    pale = np.zeros(brush.window.shape, np.float32)
    count = int(brush.rng.integers(brush.recipe.nucleoli[0], brush.recipe.nucleoli[1] + 1))
    for x, y in _spots(brush, nucleus < -1.2 * brush.scale, count):
        outline = wobbly(brush.rng, float(brush.rng.uniform(0.75, 1.25)) * brush.scale, 0.06, 1.2)
        distance = outline_distance(outline, brush.window.x - x, brush.window.y - y)
        pale = np.maximum(pale, coverage(distance, 0.5 * brush.scale))
    return pale


def _vacuoles(brush: _Brush, body: Array, nucleus: Array) -> Array:
    lumen = np.zeros(brush.window.shape, np.float32)
    fewest, most = brush.recipe.vacuoles
    count = int(brush.rng.integers(fewest, most + 1))
    # Most vacuoles lie in the cytoplasm; some lie over the nucleus and show there too.
    over = count // 4 if fewest else 0
    free = (body < -0.5 * brush.scale) & (nucleus > 0.1 * brush.scale)
    spots = _spots(brush, free, count - over) + _spots(brush, nucleus < -0.3 * brush.scale, over)
    for x, y in spots:
        radius = np.float32(brush.rng.uniform(0.35, 0.8) * brush.scale)
        distance = np.hypot(brush.window.x - x, brush.window.y - y) - radius
        lumen = np.maximum(lumen, coverage(distance, 0.3 * brush.scale))
    return lumen


def _spots(brush: _Brush, allowed: npt.NDArray[np.bool_], count: int) -> list[tuple[np.float32, np.float32]]:
    rows, columns = np.nonzero(allowed)
    if not count or not rows.size:
        return []
    picks = brush.rng.integers(rows.size, size=count)
    return [(brush.window.x[0, columns[pick]], brush.window.y[rows[pick], 0]) for pick in picks]
