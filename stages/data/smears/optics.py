"""From stain concentrations to the picture a microscope camera stores."""

import cv2
import numpy as np
import numpy.typing as npt

from stages.data.smears.noise import texture
from stages.data.smears.slides import Slide
from stages.errors import DataError

Array = npt.NDArray[np.float32]


def photograph(
    rng: np.random.Generator, slide: Slide, stains: Array, path: Array, pixels_per_um: float
) -> npt.NDArray[np.uint8]:
    """Light the smear, blur it, and expose, digitise and compress the image.

    Args:
        rng: Source of randomness.
        slide: Stain, light and camera.
        stains: (5, H, W) float32 concentrations.
        path: (H, W) float32 optical path of cells.
        pixels_per_um: Sampling.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    light = _transmitted(rng, slide, stains, pixels_per_um)
    light *= _rims(slide, path, pixels_per_um)[..., None]
    light = _blurred(rng, slide, light, pixels_per_um)
    light *= _illumination(slide, path.shape[0], path.shape[1])
    np.clip(light, 0, 1.0, out=light)
    if slide.gamma != 1:
        cv2.pow(light, slide.gamma, light)
    # A camera scales to its white point after its tone curve: the order keeps the background at the illuminant.
    light *= np.asarray(slide.illuminant, np.float32)
    return jpeg_decode(jpeg_encode(_sensor(rng, slide, light), slide.jpeg_quality))


def _transmitted(rng: np.random.Generator, slide: Slide, stains: Array, scale: float) -> Array:
    planes, height, width = stains.shape
    matrix = np.asarray(slide.stains, np.float32)
    density = (stains.reshape(planes, -1).T @ matrix).reshape(height, width, 3)
    # Plasma varies slowly, so it is drawn at a quarter of the size.
    film = texture(rng, "bend", (height // 4 + 1, width // 4 + 1), scale / 2)
    film = np.asarray(cv2.resize(film, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
    # Proteins of plasma take a little of every dye.
    tint = matrix.mean(axis=0) * np.float32(slide.film)
    density += np.clip(film * 0.6 + 1, 0, 3)[..., None] * tint
    density *= np.float32(-np.log(10))
    return np.asarray(cv2.exp(density), dtype=np.float32)


def _rims(slide: Slide, path: Array, scale: float) -> Array:
    # Slightly off focus, intensity changes with the curvature of the phase (transport of intensity).
    smooth = cv2.GaussianBlur(path, (0, 0), max(0.18 * scale, 0.6))
    curvature = cv2.Laplacian(smooth, cv2.CV_32F, ksize=1) * (0.18 * scale) ** 2
    return np.asarray(np.clip(1 + 0.16 * slide.refraction * curvature, 0.5, 1.6), dtype=np.float32)


def _blurred(rng: np.random.Generator, slide: Slide, light: Array, scale: float) -> Array:
    sigma = max(slide.defocus * scale * float(np.exp(rng.normal(0, 0.25))), 0.35)
    light = np.asarray(cv2.GaussianBlur(light, (0, 0), sigma), dtype=np.float32)
    shift = np.asarray(slide.aberration) * scale
    for channel, sign in ((0, 0.5), (2, -0.5)):
        move = np.asarray([[1, 0, sign * shift[0]], [0, 1, sign * shift[1]]], np.float32)
        moved = cv2.warpAffine(
            np.ascontiguousarray(light[..., channel]),
            move,
            (light.shape[1], light.shape[0]),
            borderMode=cv2.BORDER_REPLICATE,
        )
        light[..., channel] = moved
    return np.asarray(light, dtype=np.float32)


def _illumination(slide: Slide, height: int, width: int) -> Array:
    x = np.linspace(0, 1, width, dtype=np.float32) - np.float32(slide.vignette_centre[0])
    y = np.linspace(0, 1, height, dtype=np.float32) - np.float32(slide.vignette_centre[1])
    fall = (x**2)[None, :] + (y**2)[:, None]
    return np.asarray(slide.gain * (1 - 2 * slide.vignette * fall)[..., None], dtype=np.float32)


def _sensor(rng: np.random.Generator, slide: Slide, light: Array) -> npt.NDArray[np.uint8]:
    noise = rng.standard_normal(light.shape, np.float32)
    # Demosaicing spreads noise over neighbours; a light blur makes it look like film grain and not like salt.
    noise = np.asarray(cv2.GaussianBlur(noise, (3, 3), 0.6), dtype=np.float32)
    level = np.sqrt(slide.shot_noise**2 * light + np.float32(slide.read_noise**2)) * np.float32(1.6)
    return np.asarray(np.clip((light + level * noise) * 255 + 0.5, 0, 255), dtype=np.uint8)


def jpeg_encode(image: npt.NDArray[np.uint8], quality: int) -> bytes:
    """Compress an RGB image.

    Args:
        image: (H, W, 3) uint8 RGB.
        quality: 1 to 100.

    Returns:
        The bytes of a JPEG file.
    """
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    return bytes(data)


def jpeg_decode(data: bytes) -> npt.NDArray[np.uint8]:
    """Decode a JPEG file.

    Args:
        data: The bytes of the file.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        DataError: If the bytes are no image.
    """
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(
            f"Expected `data` to be a JPEG image, but got {len(data)} other bytes; do render anew."
        )
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)
