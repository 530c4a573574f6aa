"""One field of a smear: lay out cells, paint them, photograph them, and say where everything is."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.data.smears.canvas import Canvas
from stages.data.smears.optics import photograph
from stages.data.smears.recipes import FAB, NORMAL_MIX, RECIPES
from stages.data.smears.red_cells import paint_dirt, paint_platelet, paint_red, paint_smudge, place_red
from stages.data.smears.slides import Slide
from stages.data.smears.white_cells import WhiteCell, paint_white
from stages.errors import DataError

HEIGHTS: tuple[int, int] = (64, 1944)
WIDTHS: tuple[int, int] = (64, 2592)
SCALES: tuple[float, float] = (2.0, 20.0)
CROP = 257  # side of an ALL-IDB2 image in pixels


@dataclass(frozen=True)
class Cell:
    """One white cell in a field.

    Attributes:
        type: One of `CELL_TYPES`.
        centroid: (x, y) in pixels, inside the visible part of the cell.
        box: (x0, y0, x1, y1) in pixels, x1 and y1 excluded.
        instance: Value of the cell in `Field.instances`, from 1.
        nucleus_area: Visible nucleus in pixels.
        area: Visible cell in pixels.
    """

    type: str
    centroid: tuple[float, float]
    box: tuple[int, int, int, int]
    instance: int
    nucleus_area: int
    area: int


@dataclass(frozen=True)
class Field:
    """A rendered field and everything that is known of it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        nucleus: (H, W) bool, nuclei of white cells.
        cytoplasm: (H, W) bool, white cells without their nuclei.
        red_cells: (H, W) bool, red cells, free of white cells.
        instances: (H, W) uint16, 0 background, else `Cell.instance`.
        cells: White cells by instance.
        slide: Name of the slide.
        fab: One of `FAB`.
    """

    image: npt.NDArray[np.uint8]
    nucleus: npt.NDArray[np.bool_]
    cytoplasm: npt.NDArray[np.bool_]
    red_cells: npt.NDArray[np.bool_]
    instances: npt.NDArray[np.uint16]
    cells: tuple[Cell, ...]
    slide: str
    fab: str


def check_frame(height: int, width: int, pixels_per_um: float = 10.0) -> None:
    """Refuse frames that cannot be rendered.

    Args:
        height: Height in pixels.
        width: Width in pixels.
        pixels_per_um: Sampling.

    Raises:
        DataError: If an argument lies outside its limits.
    """
    limits = (("height", height, HEIGHTS), ("width", width, WIDTHS), ("pixels_per_um", pixels_per_um, SCALES))
    for name, value, (low, high) in limits:
        if not low <= value <= high:
            raise DataError(
                f"Expected `{name}` to be {low} to {high}, but got {value}; do choose a value in between."
            )


def render_field(
    fab: str, slide: Slide, seed: int, height: int = 486, width: int = 648, pixels_per_um: float = 10.0
) -> Field:
    """Render one field.

    Args:
        fab: Diagnosis, one of `FAB`; a leukaemic field may hold a few normal cells besides its blasts.
        slide: The slide that the field belongs to.
        seed: Seed of the field, not negative.
        height: 64 to 1944 pixels.
        width: 64 to 2592 pixels.
        pixels_per_um: Sampling, 2 to 20; a smaller frame shows less of the smear, not smaller cells.

    Returns:
        The field; the same arguments always give the same pixels.

    Raises:
        DataError: If an argument is outside its limits.
    """
    check_frame(height, width, pixels_per_um)
    if fab not in FAB:
        raise DataError(
            f"Expected `fab` to be one of {', '.join(FAB)}, but got {fab!r}; do choose one of them."
        )
    if seed < 0:
        raise DataError(f"Expected `seed` to be 0 or more, but got {seed}; do choose another integer.")
    rng = np.random.default_rng([seed, FAB.index(fab), 2])
    canvas = Canvas(height, width, pixels_per_um)
    white = _place_white(rng, fab, (height, width), pixels_per_um)
    for cell in white:
        paint_white(canvas, rng, RECIPES[cell.type], slide, cell)
    for spot in place_red(rng, slide, (height, width), pixels_per_um):
        paint_red(canvas, rng, slide, _aside(spot, white))
    _scatter(canvas, rng, slide)
    image = photograph(rng, slide, canvas.stains, canvas.path, pixels_per_um)
    inside = canvas.instances > 0
    return Field(
        image=image,
        nucleus=canvas.nucleus,
        cytoplasm=inside & ~canvas.nucleus,
        red_cells=canvas.red_cells & ~inside,
        instances=canvas.instances,
        cells=_describe(canvas, white),
        slide=slide.name,
        fab=fab,
    )


def _types(rng: np.random.Generator, fab: str, area: float) -> list[str]:
    # White cells cover about the same part of a field whatever the diagnosis, else counting violet pixels
    # would tell small blasts from large ones.
    kinds = list(NORMAL_MIX) if fab == "normal" else [fab]
    weights = np.asarray([NORMAL_MIX[kind] if fab == "normal" else 1.0 for kind in kinds])
    mean = sum(
        weight * math.pi * RECIPES[kind].radius ** 2 for kind, weight in zip(kinds, weights, strict=True)
    )
    reference = 3150.0
    crowding = float(rng.uniform(0.11, 0.25)) * (max(area, reference) / reference) ** -0.25
    count = round(crowding * area / mean)
    if area >= 0.7 * reference:
        count = max(count, 3)
    drawn = [str(kind) for kind in rng.choice(kinds, size=max(count, 1), p=weights)]
    if fab == "normal":
        return drawn
    bystanders = rng.choice(list(NORMAL_MIX), size=len(drawn), p=list(NORMAL_MIX.values()))
    return [
        str(b) if index and rng.random() < 0.12 else kind
        for index, (kind, b) in enumerate(zip(drawn, bystanders, strict=True))
    ]


def _place_white(rng: np.random.Generator, fab: str, shape: tuple[int, int], scale: float) -> list[WhiteCell]:
    height, width = shape
    types = _types(rng, fab, height * width / scale**2)
    closeness = float(rng.uniform(0.93, 1.15))
    placed: list[WhiteCell] = []
    for kind in types:
        recipe = RECIPES[kind]
        radius = recipe.radius * scale * float(np.exp(rng.normal(0, recipe.spread)))
        for _ in range(60):
            x, y = _somewhere(rng, shape, radius)
            if all(math.hypot(x - o.x, y - o.y) > closeness * (radius + o.radius) for o in placed):
                placed.append(WhiteCell(kind, x, y, radius, len(placed) + 1))
                break
    return placed


def _aside(spot: tuple[float, float, float], white: list[WhiteCell]) -> tuple[float, float, float]:
    # White cells are stiff: a red cell that would lie under one slides to its edge and moulds to it there.
    x, y, radius = spot
    for cell in white:
        dx, dy = x - cell.x, y - cell.y
        gap, distance = cell.radius + 0.8 * radius, max(math.hypot(dx, dy), 1e-6)
        if distance < gap:
            x, y = cell.x + dx / distance * gap, cell.y + dy / distance * gap
    return x, y, radius


def _somewhere(rng: np.random.Generator, shape: tuple[int, int], radius: float) -> tuple[float, float]:
    height, width = shape
    margin = CROP // 2 + 6
    # Whoever photographs a field centres it on cells; most lie where a crop around them fits.
    if rng.random() < 0.75 and height > 2 * margin and width > 2 * margin:
        return float(rng.uniform(margin, width - margin)), float(rng.uniform(margin, height - margin))
    inset = min(0.4 * radius, 0.3 * min(height, width))
    return float(rng.uniform(inset, width - inset)), float(rng.uniform(inset, height - inset))


def _scatter(canvas: Canvas, rng: np.random.Generator, slide: Slide) -> None:
    height, width = canvas.shape
    scale = canvas.pixels_per_um
    thousands = height * width / scale**2 / 1000

    def spots(density: float, low: float, high: float) -> list[tuple[float, float, float]]:
        count = int(rng.poisson(density * thousands))
        return [
            (
                float(rng.uniform(0, width)),
                float(rng.uniform(0, height)),
                float(rng.uniform(low, high)) * scale,
            )
            for _ in range(count)
        ]

    for spot in spots(slide.smudges, 5.0, 9.0):
        paint_smudge(canvas, rng, spot)
    for spot in spots(slide.platelets, 0.8, 1.6):
        paint_platelet(canvas, rng, slide, spot)
    for spot in spots(slide.dirt, 0.1, 0.4):
        paint_dirt(canvas, rng, spot)


def _describe(canvas: Canvas, white: list[WhiteCell]) -> tuple[Cell, ...]:
    cells = []
    for cell in white:
        window = canvas.window(cell.x, cell.y, cell.radius * 1.5 + 2 * canvas.pixels_per_um)
        if window is None:
            continue
        rows, columns = np.nonzero(canvas.instances[window.place] == cell.instance)
        if not rows.size:
            continue
        rows, columns = rows + window.rows.start, columns + window.columns.start
        # The mean of a bent shape may fall outside it; the nearest pixel of the shape is inside for certain.
        nearest = int(np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2))
        cells.append(
            Cell(
                type=cell.type,
                centroid=(float(columns[nearest]), float(rows[nearest])),
                box=(int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1),
                instance=cell.instance,
                nucleus_area=int(canvas.nucleus[rows, columns].sum()),
                area=int(rows.size),
            )
        )
    return tuple(cells)
