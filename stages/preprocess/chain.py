"""The chain of steps that makes a picture of fixed size of any image; see `Preprocess`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
import numpy.typing as npt

from segmentation.cache import cache_folder, cached, read_cache, write_cache
from segmentation.errors import SegmentationError
from segmentation.files import sha256_of, write_bytes
from segmentation.finders import NETWORK, make_finder, weight_file
from segmentation.masks import Mask
from segmentation.threshold import isolate, move
from stages.bag_settings import CELLS, PATIENT, Bagging
from stages.data.images import load_rgb
from stages.data.sample import Sample
from stages.data.store import Preparation, open_store, resize
from stages.errors import DataError
from stages.preprocess.bags import Box, cell_boxes, cut_cells, spread, strip_of
from stages.preprocess.fitting import (
    Fitted,
    asks_for_fitting,
    fit,
    mask_files,
    masks_key,
    sharpening_width,
)
from stages.preprocess.sharpen import sharpen
from stages.settings import PreprocessSettings, StageSettings

__all__ = ["Preprocess", "apply_mask"]

_VERSION = 3
_MARGIN = 0.1
_COPY = "segmentation.safetensors"
Image = npt.NDArray[np.uint8]
Told = Callable[[int, int], None]


class Preprocess:
    """Prepares images: colour normalised, white cells found, sharpened, background taken away, resized; each where it is asked for.

    Args:
        settings: Every step, size, and how an image becomes square.
        fitted: What was found on the training part, see `fit`.
        weights: Weight file to use in place of the one that the settings name: the copy that travels with a model.
        bagging: How bags are made; None where every image stands for itself.
    """

    def __init__(
        self,
        settings: PreprocessSettings,
        fitted: Fitted | None = None,
        weights: Path | None = None,
        bagging: Bagging | None = None,
    ) -> None:
        self.settings = settings
        self.fitted = fitted or Fitted()
        self.bagging = bagging
        self._weights = weights or settings.segment.weights
        self._lock = Lock()

    def __reduce__(self) -> tuple[type[Preprocess], tuple[object, ...]]:
        # What is loaded, and its lock, stay with a process.
        return Preprocess, (self.settings, self.fitted, self._weights, self.bagging)

    def __call__(self, image: Image | Sequence[Image]) -> Image:
        """Return an image (H, W, 3) uint8 RGB of any size as the learner sees it, (S, S, 3) uint8; see `shape`.

        Args:
            image: The image; where patients are answered for, one or several of theirs.

        Raises:
            SegmentationError: If it cannot be segmented.
        """
        images = [image] if isinstance(image, np.ndarray) else image
        if self.bagging is None:
            return self._square(images[0])
        if self.bagging.unit == PATIENT:
            return self.strip(images[place] for place in spread(len(images), self.bagging.most))
        return self.cells(images[0])[1]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a prepared image: (S, S, 3), or of the strip of a bag (most * S, S, 3); see `stages.preprocess.bags`."""
        size = self.settings.image_size
        return (size * (self.bagging.most if self.bagging else 1), size, 3)

    def strip(self, images: Iterable[Image]) -> Image:
        """Return the strip of a patient's images, prepared one after the other; where bags are made of them.

        Args:
            images: 1 to `bagging.most` of (H, W, 3) uint8 RGB.

        Raises:
            SegmentationError: If one cannot be segmented.
        """
        return strip_of([self._square(one) for one in images], self._bags.most)

    def cells(self, image: Image, mask: Mask | None = None) -> tuple[list[Box], Image]:
        """Return the places (x0, y0, x1, y1) of the cells of a field, and the strip of their pictures; where bags are made of them.

        Args:
            image: (H, W, 3) uint8 RGB.
            mask: Of its white cells, where it is known.

        Raises:
            SegmentationError: If it cannot be segmented.
        """
        return self._cut(*self._prepared(image, mask))

    def _cut(self, seen: Image, mask: Mask | None) -> tuple[list[Box], Image]:
        boxes = cell_boxes(seen, mask, self._bags)
        pictures = [self._resized(one) for one in cut_cells(seen, boxes, self._bags)]
        return boxes, strip_of(pictures, self._bags.most)

    @property
    def _bags(self) -> Bagging:
        if self.bagging is None:
            raise ValueError("Expected a preprocessing that makes bags")
        return self.bagging

    def _square(self, image: Image) -> Image:
        return self._resized(self.before_resizing(image))

    def before_resizing(self, image: Image) -> Image:
        """Return an image (H, W, 3) uint8 RGB after all steps but the last; see `__call__`."""
        return self._prepared(image, None)[0]

    def _resized(self, image: Image) -> Image:
        return resize(image, self.settings.image_size, self.settings.fit)

    @property
    def identity(self) -> str:
        """The network that segments, by the checksum of its weights; empty without one."""
        if self.settings.segment.method != NETWORK:
            return ""
        if self._weights:
            return sha256_of(weight_file(self._weights))
        from segmentation.weights import SHIPPED, read_card

        return read_card(SHIPPED).sha256

    @property
    def key(self) -> str:
        """Everything that the result depends on besides the image; where files lie does not count.

        Raises:
            DataError: If masks that shall be fitted on are not there.
            ModelError: If weights are not there.
        """
        segment = self.settings.segment
        told = self.settings.model_dump(mode="json", exclude={"segment": {"weights": True, "settings": True}})
        masks = "" if self.fitted.bounds else masks_key(segment.fit)
        fitted = self.fitted.model_dump(mode="json")
        bags = [self.bagging.model_dump(mode="json")] if self.bagging else []
        return json.dumps(
            [_VERSION, told, segment.given, self.identity, masks, fitted, *bags], sort_keys=True
        )

    def check(self) -> None:
        """Refuse weights that are not of a network that segments, and masks that are not there, before any image is read.

        Raises:
            DataError: If masks that shall be fitted on are not there.
            ModelError: If the weights cannot be used.
        """
        segment = self.settings.segment
        if segment.fit not in (None, "own"):
            mask_files(Path(segment.fit or ""))
        elif segment.method != "none":
            _ = self._find

    def fit(self, samples: Sequence[Sample], fingerprint: str, told: Told | None = None) -> Preprocess:
        """Return what prepares images as these training images ask for; itself where nothing depends on them.

        Args:
            samples: Of the training part, and no others.
            fingerprint: Hash of the content of the data set that they are of.
            told: Called with (done, total) while they are measured.

        Raises:
            DataError: If images cannot be read, or do not show what is measured.
        """
        if not asks_for_fitting(self.settings):
            return self
        samples = [one for sample in samples for one in sample.images]
        key = json.dumps([self.key, fingerprint, [sample.name for sample in samples]])
        found = cached("preprocess", key, lambda: fit(self.settings, samples, told).model_dump(mode="json"))
        return Preprocess(self.settings, Fitted.model_validate(found), self._weights, self.bagging)

    def store(self, samples: Sequence[Sample], fingerprint: str, told: Told | None = None) -> Image:
        """Return the images of samples as the learner sees them, decoded once: from the store or into it.

        Args:
            samples: N of them.
            fingerprint: Hash of the samples' content.
            told: Called with (done, total) while images are decoded and prepared.

        Returns:
            Memory-mapped images (N, *shape) uint8 RGB, read-only.

        Raises:
            DataError: If images cannot be read or segmented, or the cache cannot be written.
        """
        settings, bagging = self.settings, self.bagging
        size, how = settings.image_size, settings.fit
        plain = {settings.normalise.method, settings.segment.method, settings.sharpen.method} == {"none"}
        if plain and bagging is None:
            return open_store(samples, fingerprint, size, how, progress=told)
        path = cache_folder() / "masks" / f"{_hash(self._mask_key, fingerprint)}.npz"
        known: list[Image] = []
        if settings.segment.method != "none":
            known = read_cache(path, lambda file: _read_masks(file, len(samples))) or []
        if settings.segment.method != "none" and not known:
            _ = self._find  # loaded once, and not by each of the threads
        rows = {sample.name: row for row, sample in enumerate(samples)}
        found: list[Image | None] = [None] * len(samples)

        def prepare(sample: Sample, image: Image) -> Image:
            row = rows[sample.name]
            try:
                if bagging is not None and bagging.unit == PATIENT:
                    own = sample.images
                    return self.strip(load_rgb(own[place]) for place in spread(len(own), bagging.most))
                seen, mask = self._prepared(image, _unpack(known[row]) if known else None)
            except SegmentationError as error:
                raise DataError(
                    f"Expected {sample.path} to be an image that can be segmented, but: {error}"
                ) from error
            found[row] = None if mask is None else _pack(mask)
            return seen if bagging is None else self._cut(seen, mask)[1]

        making = Preparation(self.key, prepare, bagging.most if bagging else None)
        images = open_store(samples, fingerprint, size, how, progress=told, prepare=making)
        new = [mask for mask in found if mask is not None]
        if len(new) == len(samples) and not known:
            write_cache(path, lambda temporary: _save(temporary, new))
        return images

    def save(self, folder: Path) -> None:
        """Write what `model.json` cannot hold: a copy of the weights that segment, with their card.

        Raises:
            WriteError: If they cannot be written.
        """
        if not self.identity or self._weights is None:
            return
        source = weight_file(self._weights)
        for suffix in (source.suffix, ".json"):
            write_bytes((folder / _COPY).with_suffix(suffix), source.with_suffix(suffix).read_bytes())

    @classmethod
    def of_model(
        cls, settings: PreprocessSettings, fitted: Fitted, folder: Path, bagging: Bagging | None = None
    ) -> Preprocess:
        """Return the preprocessing of a model that was saved in a folder."""
        return cls(settings, fitted, folder / _COPY if settings.segment.weights else None, bagging)

    @classmethod
    def of_stage(cls, settings: StageSettings) -> Preprocess:
        """Return the preprocessing of a stage, not yet fitted."""
        return cls(settings.preprocess, bagging=settings.bagging)

    @property
    def _mask_key(self) -> str:
        segment = self.settings.segment
        said = [segment.method, segment.given, self.identity, self.fitted.bounds]
        return json.dumps(
            [_VERSION, self.settings.normalise.method, self.fitted.colour, said], sort_keys=True
        )

    def _prepared(self, image: Image, mask: Mask | None) -> tuple[Image, Mask | None]:
        """Return an image before it is resized, and its mask, found if it is not given."""
        settings = self.settings
        if settings.normalise.method != "none":
            image = move(image, settings.normalise.method, np.array(self.fitted.colour))
        if settings.segment.method != "none" and mask is None:
            mask = self._find(image)
        if settings.sharpen.method != "none":
            aim, width = self.fitted.sharpness or 0.0, sharpening_width(settings, image)
            image = sharpen(image, aim, width, settings.sharpen.most)
        # Cells that are cut out one by one leave the field as large as it is.
        if mask is None or (
            self.bagging is not None and self.bagging.unit == CELLS and settings.segment.use == "crop"
        ):
            return image, mask
        return apply_mask(image, mask, settings.segment.use), mask

    @cached_property
    def _find(self) -> Callable[[Image], Mask]:
        segment = self.settings.segment
        find = make_finder(segment.method, segment.given | self.fitted.bounds, self._weights)
        if segment.method != NETWORK:
            return find

        def one_at_a_time(image: Image) -> Mask:
            with self._lock:  # a network takes all cores by itself
                return find(image)

        return one_at_a_time


def apply_mask(image: Image, mask: Mask, use: str) -> Image:
    """Return an image without what is no white cell; where no cell was found, the field counts as one.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) bool, true in white cells.
        use: `black` for the cells on black, `blue` for their blue channel on black (paper A), `crop` for the part that holds them.
    """
    if not mask.any():
        mask = np.ones_like(mask)
    if use != "crop":
        return isolate(image, mask, blue_only=use == "blue")
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    margin = round(_MARGIN * max(bottom - top, right - left))
    return image[max(top - margin, 0) : bottom + margin, max(left - margin, 0) : right + margin]


def _hash(*parts: str) -> str:
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:24]


def _pack(mask: Mask) -> Image:
    return np.asarray(cv2.imencode(".png", mask.astype(np.uint8) * 255)[1], np.uint8).ravel()


def _unpack(packed: Image) -> Mask:
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE)) > 0


def _read_masks(path: Path, count: int) -> list[Image]:
    """Return a PNG (bytes as uint8) of each of `count` masks."""
    with path.open("rb") as stream, np.load(stream) as known:
        masks = np.split(known["bytes"], known["ends"][:-1])
    if len(masks) != count:
        raise DataError(f"Expected {path} to hold {count} masks, but got {len(masks)}; do delete it")
    return masks


def _save(path: Path, masks: Sequence[Image]) -> None:
    with path.open("wb") as stream:  # an open file, because a path would get a suffix
        np.savez(stream, bytes=np.concatenate(masks), ends=np.cumsum([len(mask) for mask in masks]))
