"""The one record that every reader yields."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Box", "Sample"]


@dataclass(frozen=True, slots=True)
class Box:
    """A labelled rectangle in an image.

    Attributes:
        label: What the box holds, such as `"WBC"`.
        x0: Left edge in px, inclusive.
        y0: Top edge in px, inclusive.
        x1: Right edge in px, exclusive.
        y1: Bottom edge in px, exclusive.
    """

    label: str
    x0: int
    y0: int
    x1: int
    y1: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One image (or one frame or region of a file), its label, and what a split must respect.

    Attributes:
        path: The file that holds the pixels.
        name: Unique within the data set and portable between machines: the path relative to the data
            set's root in POSIX form, with `#frame` or `#x0,y0,x1,y1` behind it where a file holds several.
        label: Class name.
        dataset: Name of the data set in the catalogue.
        group: Subject, slide, source field or near-duplicate cluster; samples of one group never straddle
            a split. None where nothing is known.
        order: Position within the class as the source numbers it; block hold-outs cut along it.
        mask: Segmentation mask of the same height and width, where there is one.
        boxes: Labelled rectangles, where there are any.
        frame: Index into a file of many images (`.npz`), else None.
        crop: Region of the file as (x0, y0, x1, y1) px, exclusive at the far side, else None.
        part: The part that the source itself assigns (`"train"`, `"validation"`, `"test"`, `"fold_0"`), else None.
        source: Which of the several sources of a stage it comes from, and what `name` begins with; empty where there is one.
        members: Where a sample stands for a patient, the samples of the images; `path` is the first one's.
    """

    path: Path
    name: str
    label: str
    dataset: str
    group: str | None = None
    order: int = 0
    mask: Path | None = None
    boxes: tuple[Box, ...] = ()
    frame: int | None = None
    crop: tuple[int, int, int, int] | None = None
    part: str | None = None
    source: str = ""
    members: tuple[Sample, ...] = ()

    @property
    def images(self) -> tuple[Sample, ...]:
        """The samples of single images: itself, or its members."""
        return self.members or (self,)

    @property
    def key(self) -> str:
        """The same for one image in every stage, whether its data set stands there alone or beside others."""
        return self.name if self.source else f"{self.dataset}/{self.name}"
