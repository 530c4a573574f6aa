"""What preprocessing learns, and from the training part alone: target colours, bounds of HSV, an aim of sharpness."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from segmentation.errors import SegmentationError
from segmentation.files import sha256_of
from segmentation.masks import NUCLEUS, Mask
from segmentation.settings import Settings
from segmentation.threshold import fit_hsv, measure, move, pool
from stages.data.images import load_mask, load_rgb
from stages.data.sample import Sample
from stages.data.threads import in_threads
from stages.data.tree import IMAGE_SUFFIXES
from stages.errors import DataError
from stages.preprocess.sharpen import sharpness
from stages.settings import PreprocessSettings

__all__ = ["Fitted", "asks_for_fitting", "fit", "mask_files", "masks_key", "sharpening_width"]

AT_MOST = 256
"""Training images that are measured, evenly spread."""
OWN = "own"
Image = npt.NDArray[np.uint8]
Told = Callable[[int, int], None]
T = TypeVar("T")


class Fitted(Settings):
    """What was found on the training part; it travels with the model.

    Attributes:
        colour: Target of the normaliser, see `segmentation.threshold.measure`; empty without one.
        bounds: Of method `hsv`, where they were fitted.
        sharpness: Aim of unsharpening, see `stages.preprocess.sharpen`.
        images: Training images that were measured.
    """

    colour: tuple[float, ...] = ()
    bounds: dict[str, float] = Field({})
    sharpness: float | None = None
    images: int = 0


def asks_for_fitting(settings: PreprocessSettings) -> bool:
    """Say whether settings leave something to be found on the training part."""
    return (
        settings.normalise.method != "none"
        or settings.segment.fit is not None
        or settings.sharpen.method != "none"
    )


def fit(settings: PreprocessSettings, samples: Sequence[Sample], told: Told | None = None) -> Fitted:
    """Measure training images.

    Args:
        settings: What is asked for.
        samples: Of the training part, and no others.
        told: Called with (done, total).

    Raises:
        DataError: If images cannot be read, or do not show what is measured.
    """
    chosen = _spread(samples)
    name = settings.normalise.method
    colour = _colour(name, chosen, told) if name != "none" else ()

    def seen(sample: Sample) -> Image:
        image = load_rgb(sample)
        return move(image, name, np.array(colour)) if name != "none" else image

    aim = None
    if settings.sharpen.method != "none":
        values = in_threads(chosen, lambda sample: _sharpness(settings, seen(sample)), told)
        aim = float(np.quantile(values, settings.sharpen.quantile))
    bounds = _bounds(settings.segment.fit, samples, seen) if settings.segment.fit else {}
    return Fitted(colour=colour, bounds=bounds, sharpness=aim, images=len(chosen))


def sharpening_width(settings: PreprocessSettings, image: Image) -> float:
    """Return sigma in px of an image that is yet to be resized."""
    shrunk: float = max(1.0, min(image.shape[:2]) / settings.image_size)
    return settings.sharpen.sigma * shrunk


def mask_files(folder: Path) -> dict[str, Path]:
    """Return the masks below a folder by their name without ending, relative to it.

    Raises:
        DataError: If there are none.
    """
    found = {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in IMAGE_SUFFIXES
    }
    if not found:
        raise DataError(
            f"Expected `segment.settings.fit` to be `own` or a folder of masks, but {folder} holds none; do check the path"
        )
    return found


def masks_key(source: str | None) -> str:
    """Return what the masks that `fit` names are: nothing, `own`, or a hash of the folder's names and files."""
    if source is None or source == OWN:
        return source or ""
    return "|".join(f"{name}:{sha256_of(path)}" for name, path in mask_files(Path(source)).items())


def _sharpness(settings: PreprocessSettings, image: Image) -> float:
    return sharpness(image, sharpening_width(settings, image))


def _colour(name: str, samples: Sequence[Sample], told: Told | None) -> tuple[float, ...]:
    found = in_threads(samples, lambda sample: measure(load_rgb(sample), name), told)
    shown = [one for one in found if one is not None]
    if not shown:
        raise DataError(
            f"Expected `normalise` {name} to find two stains in some training image, but got none in {len(samples)}; "
            "do choose grey-world or reinhard"
        )
    return tuple(float(value) for value in pool(shown, name))


def _bounds(source: str, samples: Sequence[Sample], seen: Callable[[Sample], Image]) -> dict[str, float]:
    masked = _spread(list(_masked(source, samples)))
    if not masked:
        wanted = "have masks of their own" if source == OWN else f"have masks of their name in {source}"
        raise DataError(
            f"Expected images of the training part to {wanted}, but none has; do name masks as their images, or give bounds"
        )
    images, masks = zip(*(_pair(seen(sample), path) for sample, path in masked), strict=True)
    try:
        found = fit_hsv(images, masks)
    except SegmentationError as error:
        raise DataError(str(error)) from error
    return {name: float(value) for name, value in found.model_dump().items() if name != "small"}


def _masked(source: str, samples: Sequence[Sample]) -> Iterator[tuple[Sample, Path]]:
    """Yield training samples that have a mask: their own, or one of their name or stem in a folder."""
    if source == OWN:
        yield from ((sample, sample.mask) for sample in samples if sample.mask is not None)
        return
    files = mask_files(Path(source))
    for sample in samples:
        names = Path(sample.name).with_suffix("").as_posix(), sample.path.stem
        path = next((files[name] for name in names if name in files), None)
        if path is not None and sample.frame is None and sample.crop is None:
            yield sample, path


def _pair(image: Image, path: Path) -> tuple[Image, Mask]:
    return image, load_mask(path, (image.shape[0], image.shape[1])) == NUCLEUS


def _spread(entries: Sequence[T]) -> list[T]:
    rows = np.linspace(0, len(entries) - 1, min(AT_MOST, len(entries))).round().astype(int)
    return [entries[row] for row in rows]
