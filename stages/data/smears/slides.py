"""A slide: how one patient's smear was made, stained and photographed.

Colours are optical densities (log10 of incident over transmitted light) per RGB channel, so that stains add
(Beer-Lambert; Ruifrok & Johnston, Anal. Quant. Cytol. Histol. 23, 2001). The anchors below are typical densities
of published Wright-, Wright-Giemsa- and May-Gruenwald-Giemsa-stained smears; a slide mixes them at random, each
structure by itself, so that slides differ in colour more than cells do.
"""

from dataclasses import dataclass

import numpy as np

from stages.errors import DataError

STAINS: tuple[str, ...] = ("haemoglobin", "chromatin", "thiazine", "eosin", "azurophil")

_ANCHORS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "haemoglobin": (
        (0.05, 0.21, 0.22),
        (0.10, 0.14, 0.12),
        (0.08, 0.20, 0.20),
        (0.24, 0.18, 0.10),
        (0.17, 0.16, 0.11),
        (0.04, 0.17, 0.10),
    ),
    "chromatin": (
        (0.46, 0.80, 0.10),
        (0.62, 0.92, 0.33),
        (0.40, 0.68, 0.26),
        (0.46, 1.00, 0.40),
        (0.38, 0.58, 0.08),
        (0.16, 0.42, 0.06),
        (0.55, 0.66, 0.08),
    ),
    "thiazine": (
        (0.28, 0.29, 0.06),
        (0.20, 0.20, 0.08),
        (0.30, 0.26, 0.04),
        (0.16, 0.24, 0.06),
        (0.17, 0.25, 0.15),
    ),
    "eosin": ((0.06, 0.28, 0.16), (0.09, 0.29, 0.21), (0.05, 0.24, 0.07), (0.10, 0.26, 0.28)),
    "azurophil": ((0.25, 0.48, 0.12), (0.32, 0.55, 0.22), (0.18, 0.45, 0.20)),
}
_ILLUMINANTS: tuple[tuple[float, float, float], ...] = (
    (0.84, 0.88, 0.84),
    (1.00, 0.92, 0.81),
    (0.99, 0.94, 0.87),
    (1.00, 1.00, 0.62),
    (1.00, 1.00, 1.00),
    (0.98, 0.99, 0.95),
    (0.84, 0.84, 0.93),
    (0.93, 0.95, 1.00),
    (0.95, 0.86, 0.88),
)


@dataclass(frozen=True)
class Slide:
    """Stain, smear and camera of one patient's slide.

    Attributes:
        name: Short name, such as `slide-003`.
        stains: One (red, green, blue) optical density at unit concentration for each of `STAINS`.
        illuminant: White point in display values, 0 to 1 per channel.
        gain: Exposure, about 1; above 1 the background clips.
        gamma: Tone curve of the camera, about 1.
        vignette: Light lost in the corners, 0 to 0.4.
        vignette_centre: (x, y) of the brightest point, in parts of the frame.
        defocus: Typical blur, standard deviation in micrometres.
        aberration: Lateral colour shift (x, y) of red against blue, in micrometres.
        refraction: Bright or dark rims where the optical path changes; the sign is the side of focus.
        shot_noise: Standard deviation of photon noise at white, display units.
        read_noise: Standard deviation of sensor noise, display units.
        jpeg_quality: 1 to 100.
        film: Optical density of dried plasma.
        red_cover: Part of the area that red cells cover, 0 to 1.
        red_radius: Mean red-cell radius in micrometres.
        red_spread: Relative standard deviation of that radius (anisocytosis).
        red_odd: Part of red cells that are not round discs (poikilocytosis).
        pallor: Depth of the central pallor, 0 to 1.
        ghost: Part of the haemoglobin lost in fixation, 0 to 1; rims stay.
        rouleaux: Part of red cells that lie in stacks.
        overlap: How far neighbouring red cells may overlap, 0 to 1.
        platelets: Platelets in 1000 square micrometres.
        dirt: Stain precipitate, specks in 1000 square micrometres.
        smudges: Burst nuclei in 1000 square micrometres.
        sharpness: Width of cell edges in micrometres.
        basophilia: Factor on the cytoplasm of all white cells of the slide.
        chromasia: Factor on the chromatin of all white cells of the slide.
        membrane: How much darker the nuclear edge is.
    """

    name: str
    stains: tuple[tuple[float, float, float], ...]
    illuminant: tuple[float, float, float]
    gain: float
    gamma: float
    vignette: float
    vignette_centre: tuple[float, float]
    defocus: float
    aberration: tuple[float, float]
    refraction: float
    shot_noise: float
    read_noise: float
    jpeg_quality: int
    film: float
    red_cover: float
    red_radius: float
    red_spread: float
    red_odd: float
    pallor: float
    ghost: float
    rouleaux: float
    overlap: float
    platelets: float
    dirt: float
    smudges: float
    sharpness: float
    basophilia: float
    chromasia: float
    membrane: float


def _mixed(rng: np.random.Generator, anchors: tuple[tuple[float, float, float], ...]) -> list[float]:
    # A small Dirichlet parameter keeps most slides near one laboratory's look; a flat mean would be the same grey
    # compromise on every slide.
    weights = rng.dirichlet(np.full(len(anchors), 0.35))
    mixed: list[float] = (weights @ np.asarray(anchors)).tolist()
    return mixed


def _stain(rng: np.random.Generator, name: str) -> tuple[float, float, float]:
    density = (
        np.asarray(_mixed(rng, _ANCHORS[name])) * np.exp(rng.normal(0, 0.10, 3)) * np.exp(rng.normal(0, 0.12))
    )
    red, green, blue = density.tolist()
    return (red, green, blue)


def make_slide(seed: int, index: int) -> Slide:
    """Draw one slide at random.

    Args:
        seed: Seed of the whole collection, not negative.
        index: Number of the slide in the collection, not negative.

    Returns:
        The slide; the same arguments always give the same slide.

    Raises:
        DataError: If an argument is negative.
    """
    for name, value in (("seed", seed), ("index", index)):
        if value < 0:
            raise DataError(f"Expected `{name}` to be 0 or more, but got {value}; do choose another integer.")
    rng = np.random.default_rng([seed, index, 1])
    red, green, blue = np.clip(
        np.asarray(_mixed(rng, _ILLUMINANTS)) * rng.normal(1, 0.02, 3), 0.45, 1.0
    ).tolist()
    return Slide(
        name=f"slide-{index:03d}",
        stains=tuple(_stain(rng, name) for name in STAINS),
        illuminant=(red, green, blue),
        gain=float(rng.uniform(0.88, 1.08)),
        gamma=float(rng.uniform(0.85, 1.25)),
        vignette=float(rng.uniform(0.0, 0.22)),
        vignette_centre=(float(rng.uniform(0.4, 0.6)), float(rng.uniform(0.4, 0.6))),
        defocus=float(rng.choice((0.06, 0.11, 0.19), p=(0.4, 0.35, 0.25)) * rng.uniform(0.8, 1.3)),
        aberration=(float(rng.normal(0, 0.04)), float(rng.normal(0, 0.04))),
        refraction=float(rng.normal(0.4, 1.6)),
        shot_noise=float(rng.uniform(0.003, 0.013)),
        read_noise=float(rng.uniform(0.002, 0.008)),
        jpeg_quality=int(rng.integers(80, 97)),
        film=float(rng.uniform(0.0, 0.035)),
        red_cover=float(rng.uniform(0.18, 0.58)),
        red_radius=float(rng.uniform(3.3, 3.9)),
        red_spread=float(rng.uniform(0.03, 0.11)),
        red_odd=float(rng.uniform(0.03, 0.25)),
        pallor=float(rng.uniform(0.3, 1.0)),
        ghost=float(rng.uniform(0.5, 0.9) if rng.random() < 0.12 else rng.uniform(0, 0.2)),
        rouleaux=float(rng.uniform(0.0, 0.35)),
        overlap=float(rng.uniform(0.0, 0.3)),
        platelets=float(rng.uniform(0.1, 2.5)),
        dirt=float(rng.choice((0.0, 0.5, 4.0), p=(0.5, 0.35, 0.15))),
        smudges=float(rng.choice((0.0, 0.12), p=(0.7, 0.3))),
        sharpness=float(rng.uniform(0.15, 0.35)),
        basophilia=float(np.exp(rng.normal(0, 0.2))),
        chromasia=float(np.exp(rng.normal(0, 0.12))),
        membrane=float(rng.uniform(0.0, 0.3)),
    )
