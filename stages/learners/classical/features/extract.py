"""All families of features of many images: in threads, kept on the disk by what the images hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from segmentation.cache import cached_array
from stages.classical_settings import DEEP, ClassicalSettings
from stages.data.threads import in_threads
from stages.learners.classical.features import colour, dost, glcm, glrlm, lbp, ldp, shape
from stages.learners.classical.features.view import Floats, Image, View

if TYPE_CHECKING:
    from stages.learners.classical.features.deep import DeepFeatures

__all__ = ["Extractor"]

_VERSION = 1  # raise it when what a family says of an image changes
_AT_ONCE = 8
_FAMILIES: dict[str, ModuleType] = {
    "colour": colour,
    "glcm": glcm,
    "glrlm": glrlm,
    "lbp": lbp,
    "ldp": ldp,
    "shape": shape,
    "dost": dost,
}
Told = Callable[[int, int], None]


class Extractor:
    """Features of prepared images.

    Args:
        settings: Which families, and what they ask.
        segmented: Whether all but white cells is black in the images; it is masked out then.
        deep: The backbone, where `deep` is among the families.
    """

    def __init__(
        self, settings: ClassicalSettings, segmented: bool, deep: DeepFeatures | None = None
    ) -> None:
        self.settings = settings
        self.segmented = segmented
        self.deep = deep

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the F features, each after its family."""
        found: list[str] = []
        for family in self.settings.features:
            if family == DEEP:
                assert self.deep is not None  # noqa: S101 - tells the type checker
                names: Sequence[str] = [str(place) for place in range(self.deep.width)]
            else:
                names = _FAMILIES[family].columns(self.settings)
            found += [f"{family}: {name}" for name in names]
        return tuple(found)

    def __call__(self, images: Image, told: Told | None = None) -> Floats:
        """Return features (N, F) of prepared images (N, S, S, 3) uint8, family by family.

        Args:
            images: As the preprocessing leaves them.
            told: Called with (done, N times families).
        """
        tables = [
            self._family(family, images, _after(told, place, len(self.settings.features)))
            for place, family in enumerate(self.settings.features)
        ]
        return np.concatenate(tables, axis=1)

    def cached(self, images: Image, told: Told | None = None) -> Floats:
        """Return the same, each family from the disk or onto it.

        Raises:
            WriteError: If the cache cannot be written.
        """
        content = hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()
        tables = []
        for place, family in enumerate(self.settings.features):
            bar = _after(told, place, len(self.settings.features))
            key = json.dumps([_VERSION, content, images.shape, self.segmented, self._asked(family)])
            tables.append(cached_array("classical", key, lambda: self._family(family, images, bar)))  # noqa: B023
            bar(len(images), len(images))
        return np.concatenate(tables, axis=1)

    def _asked(self, family: str) -> list[object]:
        if family == DEEP and self.deep:
            return [family, self.deep.key]
        asks = getattr(_FAMILIES[family], "ASKS", ())
        return [family, *(getattr(self.settings, name) for name in asks)]

    def _family(self, family: str, images: Image, told: Told) -> Floats:
        if family == DEEP:
            assert self.deep is not None  # noqa: S101 - tells the type checker
            return self.deep(images, told)
        module, settings = _FAMILIES[family], self.settings
        starts = range(0, len(images), _AT_ONCE)

        def work(start: int) -> Floats:
            rows = [
                module.describe(View(np.asarray(image), self.segmented), settings)
                for image in images[start : start + _AT_ONCE]
            ]
            return np.stack(rows)

        def done(chunks: int, _: int) -> None:
            told(min(chunks * _AT_ONCE, len(images)), len(images))

        width = len(module.columns(settings))
        return np.concatenate([np.empty((0, width)), *in_threads(starts, work, done)])


def _after(told: Told | None, place: int, families: int) -> Told:
    def tell(done: int, total: int) -> None:
        if told:
            told(place * total + done, families * total)

    return tell
