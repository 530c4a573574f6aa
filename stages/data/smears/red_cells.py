"""Red cells, platelets, smudges and dirt."""

import numpy as np
import numpy.typing as npt

from stages.data.smears.canvas import Canvas
from stages.data.smears.noise import texture
from stages.data.smears.shapes import Outline, coverage, intersect, outline_distance, wobbly
from stages.data.smears.slides import STAINS, Slide

Array = npt.NDArray[np.float32]
Spot = tuple[float, float, float]

_HAEMOGLOBIN, _CHROMATIN, _THIAZINE, _, _AZUROPHIL = range(len(STAINS))
_KINDS = ("disc", "oval", "tear", "crenated", "target", "sphere")


def place_red(rng: np.random.Generator, slide: Slide, shape: tuple[int, int], scale: float) -> list[Spot]:
    """Choose where red cells lie.

    Args:
        rng: Source of randomness.
        slide: Cover, size, overlap and rouleaux.
        shape: (H, W) of the field in pixels.
        scale: Pixels in a micrometre.

    Returns:
        (x, y, radius) of each in pixels, some of them partly outside.
    """
    height, width = shape
    margin = slide.red_radius * scale
    area = (height + 2 * margin) * (width + 2 * margin)
    # Density drifts within a smear, so a field strays from its slide's mean.
    cover = slide.red_cover * float(np.exp(rng.normal(0, 0.22)))
    wanted = int(cover * area / (np.pi * margin**2))
    placed = np.zeros((wanted, 3))
    count = 0
    for _ in range(4 * wanted + 8):
        if count >= wanted:
            break
        radius = margin * max(float(rng.normal(1, slide.red_spread)), 0.6)
        if count and rng.random() < slide.rouleaux:
            anchor = placed[rng.integers(count)]
            turn, step = rng.uniform(0, 2 * np.pi), radius * rng.uniform(0.7, 1.4)
            placed[count] = (anchor[0] + step * np.cos(turn), anchor[1] + step * np.sin(turn), radius)
            count += 1
            continue
        x, y = rng.uniform(-margin, width + margin), rng.uniform(-margin, height + margin)
        gaps = np.hypot(placed[:count, 0] - x, placed[:count, 1] - y) - placed[:count, 2] - radius
        if not count or gaps.min() > -slide.overlap * 2 * margin * rng.random():
            placed[count] = (x, y, radius)
            count += 1
    return [(float(x), float(y), float(radius)) for x, y, radius in placed[:count]]


def paint_red(canvas: Canvas, rng: np.random.Generator, slide: Slide, spot: Spot) -> None:
    """Paint one red cell; white cells push it aside.

    Args:
        canvas: Sheet to paint on, with its white cells already there.
        rng: Source of randomness.
        slide: Shape and colour of the slide's red cells.
        spot: (x, y, radius) in pixels.
    """
    x, y, radius = spot
    scale = canvas.pixels_per_um
    window = canvas.window(x, y, radius * 1.6 + scale)
    if window is None:
        return
    place = window.place
    kind = str(rng.choice(_KINDS[1:])) if rng.random() < slide.red_odd else "disc"
    distance = outline_distance(_red_outline(rng, kind, radius), window.x, window.y)
    distance = intersect(distance, 0.15 * scale - canvas.white_distance[place], 1.2 * scale)
    inside = coverage(distance, max(slide.sharpness * scale, 1.0))
    thickness = _thickness(rng, slide, kind, 1 + distance / np.float32(radius))
    body = inside * thickness
    amount = np.float32(rng.normal(1.0, 0.10)) * (1 - np.float32(slide.ghost))
    rim = inside * np.exp(-(((distance + 0.25 * scale) / np.float32(0.25 * scale)) ** 2))
    own = amount * body + np.float32(0.08 + 0.35 * slide.ghost) * rim
    below = canvas.stains[(_HAEMOGLOBIN, *place)]
    # Cells that overlap are squeezed thin there, so the sum is darker than one cell but less than two.
    below += own - np.float32(0.6) * np.minimum(own, below)
    canvas.path[place] += np.float32(0.8) * inside * (np.float32(0.4) + np.float32(0.6) * thickness)
    canvas.red_cells[place] |= distance < 0


def _red_outline(rng: np.random.Generator, kind: str, radius: float) -> Outline:
    aspect = {"oval": float(rng.uniform(1.25, 1.7)), "tear": 1.25}.get(kind, float(rng.uniform(1.0, 1.14)))
    if kind == "crenated":
        order = int(rng.integers(9, 14))
        amplitudes = [0.01] * 13
        amplitudes[order - 2] = 0.045
        return Outline(
            radius * 0.95,
            aspect,
            float(rng.uniform(0, 6.3)),
            tuple(amplitudes),
            tuple(rng.uniform(0, 6.3, 13).tolist()),
        )
    outline = wobbly(rng, radius * (0.88 if kind == "sphere" else 1.0), 0.028, aspect)
    if kind == "tear":
        # Harmonics in step with the long axis make one end pointed.
        return Outline(radius * 0.9, aspect, outline.angle, (0.10, 0.09, 0.06, 0.03), (0.0, 0.0, 0.0, 0.0))
    return outline


def _thickness(rng: np.random.Generator, slide: Slide, kind: str, r: Array) -> Array:
    # In plasma a red cell is biconcave (Evans & Fung, Microvasc. Res. 4, 1972); drying flattens it, so a disc with a
    # pit of random depth and width comes nearer to a smear than their profile.
    inner = np.clip(r, 0, 1)
    dome = np.sqrt(np.maximum(1 - inner**4, 0.02))
    depth = slide.pallor * float(rng.uniform(0.6, 1.1)) * (0.1 if kind == "sphere" else 1.0)
    reach = float(rng.uniform(0.38, 0.62))
    pit = 1 / (1 + np.exp((inner - np.float32(reach)) / np.float32(0.09)))
    profile = (np.float32(0.55) + np.float32(0.45) * dome) * (1 - np.float32(0.92 * depth) * pit)
    if kind == "target":
        profile = profile + np.float32(0.5 * depth) * np.exp(-((inner / 0.22) ** 2))
    return np.asarray(profile, dtype=np.float32)


def paint_platelet(canvas: Canvas, rng: np.random.Generator, slide: Slide, spot: Spot) -> None:
    """Paint one platelet: a pale ragged body with a granular centre.

    Args:
        canvas: Sheet to paint on.
        rng: Source of randomness.
        slide: Sharpness.
        spot: (x, y, radius) in pixels.
    """
    x, y, radius = spot
    scale = canvas.pixels_per_um
    window = canvas.window(x, y, radius * 2 + scale)
    if window is None or _on_white(canvas, x, y):
        return
    outline = wobbly(rng, radius, 0.16, float(rng.uniform(1.0, 1.5)))
    distance = outline_distance(outline, window.x, window.y)
    inside = coverage(distance, max(1.6 * slide.sharpness * scale, 1.0))
    grains = np.clip(1 + texture(rng, "grain", window.shape, scale) * np.float32(0.7), 0, 2.2)
    centre = np.clip(-distance / np.float32(0.7 * radius), 0, 1)
    canvas.stains[(_THIAZINE, *window.place)] += inside * np.float32(rng.uniform(0.2, 0.5))
    canvas.stains[(_AZUROPHIL, *window.place)] += inside * grains * centre * np.float32(rng.uniform(0.4, 1.2))
    canvas.path[window.place] += np.float32(0.4) * inside


def _on_white(canvas: Canvas, x: float, y: float) -> bool:
    height, width = canvas.shape
    inside = 0 <= x < width and 0 <= y < height
    return inside and bool(canvas.white_distance[int(y), int(x)] < 0)


def paint_smudge(canvas: Canvas, rng: np.random.Generator, spot: Spot) -> None:
    """Paint one burst nucleus: a pale frayed cloud that belongs to no mask.

    Args:
        canvas: Sheet to paint on.
        rng: Source of randomness.
        spot: (x, y, radius) in pixels.
    """
    x, y, radius = spot
    scale = canvas.pixels_per_um
    window = canvas.window(x, y, radius * 2)
    if window is None:
        return
    distance = outline_distance(wobbly(rng, radius, 0.2, 1.4), window.x, window.y)
    frayed = distance + np.float32(0.16 * radius) * (
        texture(rng, "cloud", window.shape, scale) + texture(rng, "bend", window.shape, scale)
    )
    free = coverage(0.3 * scale - canvas.white_distance[window.place], 0.4 * scale)
    inside = coverage(frayed, 0.7 * radius) * free
    strands = np.clip(1 + np.float32(0.25) * texture(rng, "clump", window.shape, scale), 0.2, 2)
    canvas.stains[(_CHROMATIN, *window.place)] += inside * strands * np.float32(rng.uniform(0.12, 0.35))


def paint_dirt(canvas: Canvas, rng: np.random.Generator, spot: Spot) -> None:
    """Paint one grain of stain precipitate.

    Args:
        canvas: Sheet to paint on.
        rng: Source of randomness.
        spot: (x, y, radius) in pixels.
    """
    x, y, radius = spot
    window = canvas.window(x, y, radius * 2 + 2)
    if window is None:
        return
    inside = coverage(
        outline_distance(wobbly(rng, radius, 0.15, 1.2), window.x, window.y), max(0.6 * radius, 1.0)
    )
    canvas.stains[(_CHROMATIN, *window.place)] += inside * np.float32(rng.uniform(0.3, 1.0))
