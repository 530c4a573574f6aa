"""Band-limited noise for chromatin, cytoplasm and plasma, cut from tiles that are made once a process."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

TILE = 512
# Wavelengths in micrometres: granules, chromatin strands, chromatin clumps, clouds in cytoplasm, bent outlines.
BANDS: dict[str, float] = {"grain": 0.55, "fine": 0.9, "clump": 1.7, "cloud": 3.5, "bend": 8.0}


@lru_cache(maxsize=64)
def tile(band: str, pixels_per_um: float) -> Array:
    """Make one periodic tile of noise around one wavelength.

    Args:
        band: One of the keys of `BANDS`.
        pixels_per_um: Sampling of the image.

    Returns:
        (512, 512) float32, zero mean, unit variance, periodic on both axes.
    """
    # The seed is fixed on purpose: fields differ by where and how they cut the tile, so the costly
    # Fourier transform is paid once a process and not once a field.
    rng = np.random.default_rng([list(BANDS).index(band), 20_260])
    spectrum = np.fft.rfft2(rng.standard_normal((TILE, TILE)))
    frequency = np.hypot(np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)[None, :])
    centre = min(1.0 / (BANDS[band] * pixels_per_um), 0.45)
    ratio = np.maximum(frequency, 1e-6) / centre
    noise = np.fft.irfft2(spectrum * np.exp(-(np.log(ratio) ** 2) / (2 * 0.45**2)), s=(TILE, TILE))
    result: Array = ((noise - noise.mean()) / noise.std()).astype(np.float32)
    result.setflags(write=False)
    return result


def texture(rng: np.random.Generator, band: str, shape: tuple[int, int], pixels_per_um: float) -> Array:
    """Cut a patch of noise at a random place and orientation.

    Args:
        rng: Source of randomness.
        band: One of the keys of `BANDS`.
        shape: (height, width) of the patch, of any size: the tile repeats.
        pixels_per_um: Sampling of the image.

    Returns:
        `shape` float32, about zero mean and unit variance.
    """
    source = tile(band, pixels_per_um)
    if rng.random() < 0.5:
        source = source.T
    row, column = rng.integers(TILE, size=2)
    signs = rng.choice((-1, 1), size=2)
    rows = (row + signs[0] * np.arange(shape[0])) % TILE
    columns = (column + signs[1] * np.arange(shape[1])) % TILE
    patch: Array = source.take(rows, axis=0).take(columns, axis=1)
    return patch
